"""What is refused of `spec.gateway`: a patch of the smallest good object, and words of the refusal."""

ROUTED = """
spec:
  gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}}
  rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: %s}}
"""


def _pages(fields: str) -> str:
    return f"spec: {{gateway: {{cors: {{{fields}}}}}}}"


_ORIGIN = "must be an origin in lower case and without a path, such as https://chat.example.com"

REFUSED = {
    "bodies of no size": ("spec: {gateway: {maxBodySize: 0Mi}}", "from 1Mi to 256Mi, such as 32Mi"),
    "bodies of 257 MiB": (
        "spec: {gateway: {maxBodySize: 257Mi}}",
        "from 1Mi to 256Mi, such as 32Mi",
    ),
    "bodies of a GiB": ("spec: {gateway: {maxBodySize: 1Gi}}", "from 1Mi to 256Mi, such as 32Mi"),
    "bodies of a number": (
        "spec: {gateway: {maxBodySize: 32}}",
        "spec.gateway.maxBodySize in body must be of type string",
    ),
    "pages of no origin": (
        _pages("allowOrigins: []"),
        "allowOrigins in body should have at least 1 items",
    ),
    "pages without origins": (
        _pages("maxAge: 5"),
        "spec.gateway.cors.allowOrigins: Required value",
    ),
    "a page instead of its origin": (_pages("allowOrigins: ['https://a.example/chat']"), _ORIGIN),
    "an origin without a scheme": (_pages("allowOrigins: [a.example]"), _ORIGIN),
    "an origin in upper case": (_pages("allowOrigins: ['https://A.example']"), _ORIGIN),
    "a wildcard inside": (_pages("allowOrigins: ['https://a.*.example']"), _ORIGIN),
    "an origin twice": (_pages("allowOrigins: ['https://a.b', 'https://a.b']"), "Duplicate value"),
    "an origin besides all": (
        _pages("allowOrigins: ['*', 'https://a.b']"),
        "* means all, so it must be the only entry.",
    ),
    "a header besides all": (
        _pages("allowOrigins: ['*'], allowHeaders: ['*', x-user]"),
        "* means all, so it must be the only entry.",
    ),
    "cookies for all pages": (
        _pages("allowOrigins: ['*'], allowCredentials: true"),
        "spec.gateway.cors.allowCredentials cannot be true with allowOrigins *",
    ),
    "a header with a space": (
        _pages("allowOrigins: ['*'], exposeHeaders: [a b]"),
        "must be the name of a header and contain only letters, digits, - and _",
    ),
    "an age of nothing": (
        _pages("allowOrigins: ['*'], maxAge: 0"),
        "spec.gateway.cors.maxAge in body should be greater than or equal to 1",
    ),
    "pages of a route": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}, cors: {allowOrigins: ['*']}}}",
        "spec.gateway.cors has no effect with spec.gateway.mode HTTPRoute",
    ),
    "no gateway": (
        "spec: {gateway: {replicas: 0}}",
        "spec.gateway.replicas in body should be greater than or equal to 1",
    ),
    "API keys without a name": (
        "spec: {gateway: {apiKeysSecretRef: {}}}",
        "spec.gateway.apiKeysSecretRef.name: Required value",
    ),
    "a limit for keys without keys": (
        "spec: {gateway: {limits: {requestsPerKey: 5}}}",
        "spec.gateway.limits.requestsPerKey needs spec.gateway.apiKeysSecretRef.",
    ),
    "no connection for anybody": (
        "spec: {gateway: {limits: {connectionsPerSource: 0}}}",
        "spec.gateway.limits.connectionsPerSource in body should be greater than or equal to 1",
    ),
    "a hold without an end": (
        "spec: {gateway: {hold: {seconds: 0}}}",
        "spec.gateway.hold.seconds in body should be greater than or equal to 1",
    ),
    "a route without Gateways": (
        "spec: {gateway: {mode: HTTPRoute}}",
        "spec.gateway.mode HTTPRoute needs spec.gateway.httpRoute, such as",
    ),
    "a route to no Gateway": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: []}}}",
        "spec.gateway.httpRoute.parentRefs in body should have at least 1 items",
    ),
    "Gateways for the built-in gateway": (
        "spec: {gateway: {httpRoute: {parentRefs: [{name: public}]}}}",
        "spec.gateway.httpRoute is for spec.gateway.mode HTTPRoute only.",
    ),
    "API keys that nobody checks": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}, apiKeysSecretRef: {name: keys}}}",
        "spec.gateway.apiKeysSecretRef has no effect with spec.gateway.mode HTTPRoute",
    ),
    "an error rate that nobody counts": (
        ROUTED % "[{name: errorRate}]",
        "spec.rollout.analysis cannot compare errorRate with spec.gateway.mode HTTPRoute",
    ),
    "votes that nobody takes": (
        ROUTED % "[{name: feedback}]",
        "spec.rollout.analysis cannot compare feedback with spec.gateway.mode HTTPRoute",
    ),
    "a host name with a port": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}], hostnames: ['a.b:80']}}}",
        "must be a host name such as chat.example.com or *.example.com, without a port",
    ),
    "an unknown mode": (
        "spec: {gateway: {mode: Ingress}}",
        'Unsupported value: "Ingress"',
    ),
    "an assignment that nobody makes": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}, assignment: {keys: [Header/x-user]}}}",
        "spec.gateway.assignment.keys and allowForcing have no effect with spec.gateway.mode HTTPRoute",
    ),
    "an assignment by nothing": (
        "spec: {gateway: {assignment: {keys: []}}}",
        "spec.gateway.assignment.keys in body should have at least 1 items",
    ),
    "five keys": (
        "spec: {gateway: {assignment: {keys: [Header/a, Header/b, Header/c, Header/d, Header/e]}}}",
        "spec.gateway.assignment.keys: Too many: 5: must have at most 4 items",
    ),
    "a key twice": (
        "spec: {gateway: {assignment: {keys: [Header/x-user, Body/user, Header/x-user]}}}",
        "spec.gateway.assignment.keys contains a key twice. Remove one of the two.",
    ),
    "a key of another kind": (
        "spec: {gateway: {assignment: {keys: [Cookie/session]}}}",
        "spec.gateway.assignment.keys can contain Header/<name> (lower case), Body/<top-level field> and APIKey only",
    ),
    "a header in upper case": (
        "spec: {gateway: {assignment: {keys: [Header/X-User]}}}",
        "spec.gateway.assignment.keys can contain Header/<name> (lower case)",
    ),
    "a field of a field": (
        "spec: {gateway: {assignment: {keys: [Body/metadata.user]}}}",
        "Body/<top-level field>",
    ),
    "the gateway's own header as a key": (
        "spec: {gateway: {assignment: {keys: [Header/x-llm-arm]}}}",
        "spec.gateway.assignment.keys cannot contain the gateway's own headers x-llm-*. Use another header.",
    ),
    "the authorization header as a key": (
        "spec: {gateway: {assignment: {keys: [Header/authorization]}}}",
        "spec.gateway.assignment.keys cannot contain Header/authorization. Use APIKey instead.",
    ),
    "assigned by API keys that nobody has": (
        "spec: {gateway: {assignment: {keys: [Header/x-user, APIKey]}}}",
        "spec.gateway.assignment.keys contains APIKey, but clients have no API keys. Set spec.gateway.apiKeysSecretRef, or remove APIKey.",
    ),
    "a salt with a space": (
        "spec: {gateway: {assignment: {salt: a b}}}",
        "spec.gateway.assignment.salt must contain only printable ASCII characters without spaces.",
    ),
    "a salt of 65 characters": (
        f"spec: {{gateway: {{assignment: {{salt: {'a' * 65}}}}}}}",
        "spec.gateway.assignment.salt: Too long: may not be more than 64",
    ),
    "forcing as text": (
        "spec: {gateway: {allowForcing: 'yes'}}",
        "spec.gateway.allowForcing in body must be of type boolean",
    ),
    "a toleration of any value and of one": (
        "spec: {gateway: {tolerations: [{key: a, operator: Exists, value: b}]}}",
        "A toleration with the operator Exists must not have a value.",
    ),
    "a toleration of nothing": (
        "spec: {gateway: {tolerations: [{value: b}]}}",
        "A toleration without a key must have the operator Exists.",
    ),
    "a toleration for a time without an effect": (
        "spec: {gateway: {tolerations: [{key: a, operator: Exists, tolerationSeconds: 5}]}}",
        "A toleration with tolerationSeconds must have the effect NoExecute.",
    ),
    "a node's label with a space": (
        "spec: {gateway: {nodeSelector: {a: b c}}}",
        "must be the value of a label or taint",
    ),
    "pods spread over nothing": (
        "spec: {gateway: {topologySpreadConstraints: [{maxSkew: 1}]}}",
        "spec.gateway.topologySpreadConstraints[0].topologyKey: Required value",
    ),
    "an affinity that does not exist": (
        "spec: {gateway: {affinity: {podAffinty: {}}}}",
        'unknown field "spec.gateway.affinity.podAffinty"',
    ),
    "a class of nothing": (
        "spec: {gateway: {service: {loadBalancerClass: example.com/internal}}}",
        "spec.gateway.service.loadBalancerClass is for type LoadBalancer only.",
    ),
    "a policy for traffic that does not come": (
        "spec: {gateway: {service: {externalTrafficPolicy: Local}}}",
        "spec.gateway.service.externalTrafficPolicy is for the types NodePort and LoadBalancer only.",
    ),
    "a service of another kind": (
        "spec: {gateway: {service: {type: ExternalName}}}",
        'Unsupported value: "ExternalName"',
    ),
    "a service that is not made": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}, service: {type: LoadBalancer}}}",
        "spec.gateway.service has no effect with spec.gateway.mode HTTPRoute",
    ),
}
