"""Objects the API server must refuse, each with a sentence that names the field and the fix."""

import pytest
from dev.cluster.control_plane import ControlPlane
from tests.support import crd

from llmdeployment_operator.api.rules import RESERVED_FLAGS

pytestmark = pytest.mark.component

LONGEST = "a" * 38
SYSTEM = 'spec: {prompt: {system: "%s"}}'
EXTERNAL = "spec: {model: {source: 'external://m'}, engine: {name: external, external: {%s}}}"
ELSEWHERE = (EXTERNAL % "baseURL: 'https://host/v1'").removesuffix("}")
TWO_SOURCES = """
spec:
  engine:
    env:
    - name: A
      valueFrom: {fieldRef: {fieldPath: a}, secretKeyRef: {name: s, key: k}}
"""
ROUTED = """
spec:
  gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}}
  rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: %s}}
"""


@pytest.fixture
def installed(control_plane: ControlPlane) -> ControlPlane:
    crd.install(control_plane)
    return control_plane


REFUSED = {
    # metadata
    "name of 39 characters": (
        f"metadata: {{name: {LONGEST}a}}",
        "metadata.name must be at most 38 characters: pods and labels are named after it",
    ),
    "name starts with a digit": (
        "metadata: {name: 3chat}",
        "metadata.name must start with a letter",
    ),
    "name with a dot": ("metadata: {name: chat.v2}", "metadata.name must start with a letter"),
    # model
    "no model": ("spec: {model: null}", "spec.model: Required value"),
    "no source": ("spec: {model: {source: null}}", "spec.model.source: Required value"),
    "empty source": (
        'spec: {model: {source: ""}}',
        "spec.model.source in body should be at least 1 chars long",
    ),
    "bare repository": (
        "spec: {model: {source: organisation/name}}",
        "spec.model.source must start with hf://, pvc://, file:// or external://",
    ),
    "unknown scheme": (
        "spec: {model: {source: 's3://bucket/path'}}",
        "spec.model.source must start with hf://, pvc://, file:// or external://",
    ),
    "hub without organisation": (
        "spec: {model: {source: 'hf://name'}}",
        "spec.model.source must be hf://organisation/name or hf://organisation/name@revision",
    ),
    "hub with an empty revision": (
        "spec: {model: {source: 'hf://organisation/name@'}}",
        "spec.model.source must be hf://organisation/name or hf://organisation/name@revision",
    ),
    "claim with upper case": (
        "spec: {model: {source: 'pvc://Models/path'}}",
        "spec.model.source must be pvc://claim/path",
    ),
    "path out of the claim": (
        "spec: {model: {source: 'pvc://models/../secrets'}}",
        "a path without .. or spaces",
    ),
    "no claim": ("spec: {model: {source: 'pvc:///path'}}", "must be pvc://claim/path"),
    "file with a relative path": (
        "spec: {model: {source: 'file://models/x'}}",
        "spec.model.source must be file:///path: an absolute path",
    ),
    "path out of the image": (
        "spec: {model: {source: 'file:///models/../etc'}}",
        "spec.model.source must be file:///path",
    ),
    "source too long": (
        f"spec: {{model: {{source: 'file:///{'a' * 1024}'}}}}",
        "spec.model.source: Too long: may not be more than 1024",
    ),
    "served name with a space": (
        "spec: {model: {servedName: my model}}",
        "spec.model.servedName must start with a letter or digit and hold letters, digits",
    ),
    "token for a claim": (
        "spec: {model: {source: 'pvc://models/x', tokenSecretRef: {name: hub}}}",
        "spec.model.tokenSecretRef goes with an hf:// source only: remove it",
    ),
    "token without a name": (
        "spec: {model: {tokenSecretRef: {key: token}}}",
        "spec.model.tokenSecretRef.name: Required value",
    ),
    "Secret name with an underscore": (
        "spec: {model: {tokenSecretRef: {name: my_secret}}}",
        "must be the name of a Kubernetes object",
    ),
    "Secret key with a slash": (
        "spec: {model: {tokenSecretRef: {name: hub, key: a/b}}}",
        "must be a key of the object",
    ),
    # arms
    "weights that do not sum": (
        "spec: {arms: [{name: a, weight: 90}, {name: b, weight: 20}]}",
        "spec.arms: the weights must add up to 100",
    ),
    "an arm without a weight": ("spec: {arms: [{name: a}]}", "spec.arms[0].weight: Required value"),
    "an arm of weight 0": (
        "spec: {arms: [{name: a, weight: 100}, {name: b, weight: 0}]}",
        "spec.arms[1].weight in body should be greater than or equal to 1",
    ),
    "two arms of one name": (
        "spec: {arms: [{name: a, weight: 50}, {name: a, weight: 50}]}",
        'spec.arms[1]: Duplicate value: {"name":"a"}',
    ),
    "an arm with the name of a revision": (
        "spec: {arms: [{name: canary, weight: 100}]}",
        "spec.arms: stable and canary are names of revisions, not of arms: choose another name",
    ),
    "an arm with a capital": (
        "spec: {arms: [{name: A, weight: 100}]}",
        "must start with a letter and hold lower-case letters",
    ),
    "nine arms": (
        f"spec: {{arms: [{', '.join(f'{{name: a{n}, weight: {20 if n else 0}}}' for n in range(9))}]}}",
        "spec.arms: Too many: 9: must have at most 8 items",
    ),
    "an arm that overrides a policy": (
        "spec: {arms: [{name: a, weight: 100, overrides: {replicas: 3}}]}",
        'unknown field "spec.arms[0].overrides.replicas"',
    ),
    "an arm of another served name": (
        "spec: {arms: [{name: a, weight: 100, overrides: {model: {servedName: b}}}]}",
        'unknown field "spec.arms[0].overrides.model.servedName"',
    ),
    "an arm with a flag that cannot be set": (
        "spec: {arms: [{name: a, weight: 100, overrides: {engine: {args: {port: 1}}}}]}",
        "cannot hold port: the operator sets it",
    ),
    # adapters
    "an adapter of the Hub": (
        "spec: {model: {adapters: [{name: legal, source: 'hf://a/b'}]}}",
        "the source of an adapter must start with pvc:// or file://: copy one of the Hub onto a claim",
    ),
    "an adapter out of its claim": (
        "spec: {model: {adapters: [{name: legal, source: 'pvc://team/../b'}]}}",
        "the source of an adapter must be pvc://claim/path",
    ),
    "an adapter with a relative path": (
        "spec: {model: {adapters: [{name: legal, source: 'file://legal'}]}}",
        "the source of an adapter must be file:///path: an absolute path",
    ),
    "an adapter without a source": (
        "spec: {model: {adapters: [{name: legal}]}}",
        "spec.model.adapters[0].source: Required value",
    ),
    "an adapter with a space in its name": (
        "spec: {model: {adapters: [{name: le gal, source: 'file:///legal'}]}}",
        "the name of an adapter must start with a letter or digit",
    ),
    "an adapter with the engine's mark in its name": (
        "spec: {model: {adapters: [{name: legal@2, source: 'file:///legal'}]}}",
        "the name of an adapter must start with a letter or digit",
    ),
    "two adapters of one name": (
        "spec: {model: {adapters: [{name: a, source: 'file:///a'}, {name: a, source: 'file:///b'}]}}",
        'spec.model.adapters[1]: Duplicate value: {"name":"a"}',
    ),
    "an adapter of the served name": (
        "spec: {model: {servedName: base, adapters: [{name: base, source: 'file:///a'}]}}",
        "spec.model.adapters holds the name of the model itself",
    ),
    "an adapter of the object's name": (
        "spec: {model: {adapters: [{name: chat, source: 'file:///a'}]}}",
        "spec.model.adapters holds the name of the model itself",
    ),
    "seventeen adapters": (
        "spec: {model: {adapters: ["
        + ", ".join(f"{{name: a{n}, source: 'file:///a'}}" for n in range(17))
        + "]}}",
        "spec.model.adapters: Too many: 17: must have at most 16 items",
    ),
    "an arm with an adapter of the Hub": (
        "spec: {arms: [{name: a, weight: 100, overrides: {model: {adapters: [{name: b, source: 'hf://a/b'}]}}}]}",
        "the source of an adapter must start with pvc:// or file://",
    ),
    "an adapter for an API elsewhere": (
        (
            "spec: {model: {source: 'external://gpt', adapters: [{name: a, source: 'file:///a'}]}, "
            "engine: {name: external, external: {baseURL: 'https://api.example.com/v1'}}}"
        ),
        "spec.model.adapters cannot be set with spec.engine.name external",
    ),
    # engine
    "unknown engine": (
        "spec: {engine: {name: tgi}}",
        'spec.engine.name: Unsupported value: "tgi": supported values: "vllm", "simulated", "external"',
    ),
    "an external engine without an API": (
        "spec: {model: {source: 'external://m'}, engine: {name: external}}",
        "spec.engine.external goes with spec.engine.name external",
    ),
    "an API for another engine": (
        "spec: {engine: {external: {baseURL: 'https://host/v1'}}}",
        "spec.engine.external goes with spec.engine.name external",
    ),
    "an API without an address": (
        "spec: {model: {source: 'external://m'}, engine: {name: external, external: {}}}",
        "spec.engine.external.baseURL: Required value",
    ),
    "an external engine with flags": (
        ELSEWHERE.removesuffix("}") + ", args: {seed: 1}}}",
        "spec.engine.args cannot be set with spec.engine.name external",
    ),
    "an address without a scheme": (
        EXTERNAL % "baseURL: host/v1",
        "spec.engine.external.baseURL must be https://host/path",
    ),
    "credentials in an address": (
        EXTERNAL % "baseURL: 'https://user:password@host/v1'",
        "a key goes into spec.engine.external.apiKeySecretRef",
    ),
    "a query in an address": (
        EXTERNAL % "baseURL: 'https://host/v1?key=x'",
        "a key goes into spec.engine.external.apiKeySecretRef",
    ),
    "a fragment in an address": (
        EXTERNAL % "baseURL: 'https://host/v1#x'",
        "a key goes into spec.engine.external.apiKeySecretRef",
    ),
    "a key over http to the internet": (
        EXTERNAL % "baseURL: 'http://api.example.com/v1', apiKeySecretRef: {name: k}",
        "spec.engine.external: a key goes over https only",
    ),
    "a key without its Secret's name": (
        EXTERNAL % "baseURL: 'https://host/v1', apiKeySecretRef: {key: k}",
        "spec.engine.external.apiKeySecretRef.name: Required value",
    ),
    "no patience": (
        EXTERNAL % "baseURL: 'https://host/v1', timeoutSeconds: 0",
        "spec.engine.external.timeoutSeconds in body should be greater than or equal to 1",
    ),
    "files for an external engine": (
        "spec: {engine: {name: external, external: {baseURL: 'https://host/v1'}}}",
        "go together: set both or neither",
    ),
    "a model elsewhere for an engine here": (
        "spec: {model: {source: 'external://m'}}",
        "go together: set both or neither",
    ),
    "a token of the Hub for a model elsewhere": (
        "spec: {model: {source: 'external://m', tokenSecretRef: {name: t}}}",
        "spec.model.tokenSecretRef goes with an hf:// source only",
    ),
    "a model elsewhere with a space": (
        "spec: {model: {source: 'external://a b'}}",
        "spec.model.source must be external://<the model's name at the API>",
    ),
    "accelerators for an external engine": (
        ELSEWHERE + ", resources: {limits: {amd.com/gpu: 1}}}",
        "spec.resources cannot hold accelerators with spec.engine.name external",
    ),
    "parallelism of an external engine": (
        ELSEWHERE + ", parallelism: {pipeline: 2}}",
        "spec.parallelism cannot be set with spec.engine.name external",
    ),
    "engine args as a list": (
        "spec: {engine: {args: ['--max-model-len=4096']}}",
        "spec.engine.args in body must be of type object",
    ),
    "host among engine args": (
        "spec: {engine: {args: {host: 0.0.0.0}}}",
        "spec.engine.args cannot hold host: the operator sets it",
    ),
    "model among engine args": (
        "spec: {engine: {args: {model: other}}}",
        "spec.engine.args cannot hold model: set spec.model.source",
    ),
    "tensor parallelism among engine args": (
        "spec: {engine: {args: {tensor-parallel-size: 2}}}",
        "spec.engine.args cannot hold tensor-parallel-size: set spec.parallelism.tensor",
    ),
    "a switch among engine args": (
        "spec: {engine: {args: {disable-log-stats: true}}}",
        "spec.engine.args cannot hold disable-log-stats: scaling and rollouts decide on",
    ),
    "a variable of the operator": (
        "spec: {engine: {env: [{name: LLMD_GPUS, value: '8'}]}}",
        "is the operator's own: names with LLMD_ cannot be set",
    ),
    "a variable of Ray's authentication": (
        "spec: {engine: {env: [{name: RAY_AUTH_TOKEN, value: x}]}}",
        "is the operator's own: names with RAY_AUTH_ cannot be set",
    ),
    "a token in the open": (
        "spec: {engine: {env: [{name: HF_TOKEN, value: hf_x}]}}",
        "must not hold the token itself: set spec.model.tokenSecretRef",
    ),
    "a variable with a dash": (
        "spec: {engine: {env: [{name: MY-VAR, value: x}]}}",
        "must be the name of an environment variable",
    ),
    "a variable twice": (
        "spec: {engine: {env: [{name: A, value: x}, {name: A, value: y}]}}",
        "spec.engine.env[1]: Duplicate value",
    ),
    "value and valueFrom": (
        "spec: {engine: {env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: a}}}]}}",
        "set value or valueFrom, not both",
    ),
    "valueFrom nothing": (
        "spec: {engine: {env: [{name: A, valueFrom: {}}]}}",
        "valueFrom must have exactly one of secretKeyRef, configMapKeyRef and fieldRef",
    ),
    "valueFrom two": (
        TWO_SOURCES,
        "valueFrom must have exactly one of secretKeyRef, configMapKeyRef and fieldRef",
    ),
    "a number as a variable's value": (
        "spec: {engine: {env: [{name: A, value: 1}]}}",
        "spec.engine.env[0].value in body must be of type string",
    ),
    # prompt
    "system prompt too long": (
        SYSTEM % ("a" * 16385),
        "spec.prompt.system: Too long: may not be more than 16384",
    ),
    "messages among prompt defaults": (
        "spec: {prompt: {defaults: {messages: [{role: user}]}}}",
        "spec.prompt.defaults cannot hold messages: every request brings its own",
    ),
    "stream among prompt defaults": (
        "spec: {prompt: {defaults: {stream: true}}}",
        "spec.prompt.defaults cannot hold stream: every request brings its own",
    ),
    # resources
    "not a quantity": (
        "spec: {resources: {limits: {memory: 16 gigabytes}}}",
        "spec.resources.limits.memory in body should match",
    ),
    "negative GPUs": (
        "spec: {resources: {limits: {nvidia.com/gpu: -1}}}",
        "should be greater than or equal to 0",
    ),
    "a float": (
        "spec: {resources: {limits: {cpu: 0.5}}}",
        'spec.resources.limits.cpu in body must be of type integer,string: "number"',
    ),
    "a resource that does not exist": (
        "spec: {resources: {limits: {cpus: 1}}}",
        "use cpu, memory, ephemeral-storage, or a name with a domain such as nvidia.com/gpu",
    ),
    "requests above limits": (
        "spec: {resources: {requests: {memory: 8Gi}, limits: {memory: 4096Mi}}}",
        "requests must not exceed limits: raise the limit or lower the request",
    ),
    "GPUs that are not used": (
        "spec: {resources: {limits: {nvidia.com/gpu: 4}}, parallelism: {tensor: 2}}",
        "spec.parallelism.pipeline: a replica uses all GPUs it asks for",
    ),
    "parallelism without the GPUs": (
        "spec: {resources: {limits: {nvidia.com/gpu: '1'}}, parallelism: {tensor: 2}}",
        "must be spec.parallelism.tensor x spec.parallelism.pipeline",
    ),
    "no tensor parallelism": (
        "spec: {parallelism: {tensor: 0}}",
        "spec.parallelism.tensor in body should be greater than or equal to 1",
    ),
    "no pipeline parallelism": (
        "spec: {parallelism: {pipeline: 0}}",
        "spec.parallelism.pipeline in body should be greater than or equal to 1",
    ),
    # pods
    "image with a space": ("spec: {image: 'serving :1.0'}", "must be an image reference"),
    "pod template as a string": (
        "spec: {podTemplate: spec}",
        "spec.podTemplate in body must be of type object",
    ),
    "unknown field of the pod template": (
        "spec: {podTemplate: {nodeSelector: {a: b}}}",
        'unknown field "spec.podTemplate.nodeSelector"',
    ),
    # policy
    "negative replicas": (
        "spec: {replicas: -1}",
        "spec.replicas in body should be greater than or equal to 0",
    ),
    "too many replicas": (
        "spec: {replicas: 1001}",
        "spec.replicas in body should be less than or equal to 1000",
    ),
    "replicas as text": (
        "spec: {replicas: '2'}",
        "spec.replicas in body must be of type integer",
    ),
    "no gateway": (
        "spec: {gateway: {replicas: 0}}",
        "spec.gateway.replicas in body should be greater than or equal to 1",
    ),
    "API keys without a name": (
        "spec: {gateway: {apiKeysSecretRef: {}}}",
        "spec.gateway.apiKeysSecretRef.name: Required value",
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
        "spec.gateway.httpRoute goes with spec.gateway.mode HTTPRoute only",
    ),
    "API keys that nobody checks": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {parentRefs: [{name: public}]}, apiKeysSecretRef: {name: keys}}}",
        "spec.gateway.apiKeysSecretRef has no effect with spec.gateway.mode HTTPRoute",
    ),
    "an error rate that nobody counts": (
        ROUTED % "[{name: errorRate}]",
        "spec.rollout.analysis cannot compare errorRate with spec.gateway.mode HTTPRoute",
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
        "spec.gateway.assignment.keys names a key twice: remove one of them",
    ),
    "a key of another kind": (
        "spec: {gateway: {assignment: {keys: [Cookie/session]}}}",
        "spec.gateway.assignment.keys holds Header/<name> (lower case), Body/<top-level field> and APIKey only",
    ),
    "a header in upper case": (
        "spec: {gateway: {assignment: {keys: [Header/X-User]}}}",
        "spec.gateway.assignment.keys holds Header/<name> (lower case)",
    ),
    "a field of a field": (
        "spec: {gateway: {assignment: {keys: [Body/metadata.user]}}}",
        "Body/<top-level field>",
    ),
    "the gateway's own header as a key": (
        "spec: {gateway: {assignment: {keys: [Header/x-llm-arm]}}}",
        "spec.gateway.assignment.keys cannot hold the gateway's own headers, x-llm-*: take another header",
    ),
    "the authorization header as a key": (
        "spec: {gateway: {assignment: {keys: [Header/authorization]}}}",
        "spec.gateway.assignment.keys cannot hold Header/authorization: use APIKey",
    ),
    "assigned by API keys that nobody has": (
        "spec: {gateway: {assignment: {keys: [Header/x-user, APIKey]}}}",
        "spec.gateway.assignment.keys has APIKey and clients have no keys: set spec.gateway.apiKeysSecretRef, or remove APIKey",
    ),
    "a salt with a space": (
        "spec: {gateway: {assignment: {salt: a b}}}",
        "spec.gateway.assignment.salt must hold printable ASCII characters without spaces",
    ),
    "a salt of 65 characters": (
        f"spec: {{gateway: {{assignment: {{salt: {'a' * 65}}}}}}}",
        "spec.gateway.assignment.salt: Too long: may not be more than 64",
    ),
    "forcing as text": (
        "spec: {gateway: {allowForcing: 'yes'}}",
        "spec.gateway.allowForcing in body must be of type boolean",
    ),
    "negative history": (
        "spec: {revisionHistoryLimit: -1}",
        "spec.revisionHistoryLimit in body should be greater than or equal to 0",
    ),
    "canary without steps": (
        "spec: {rollout: {strategy: Canary}}",
        "spec.rollout.strategy Canary needs spec.rollout.steps, such as",
    ),
    "steps without canary": (
        "spec: {rollout: {steps: [{weight: 10}]}}",
        "spec.rollout.steps go with strategy Canary only: set it, or remove the steps",
    ),
    "steps that go down": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 50}, {weight: 25}]}}",
        "spec.rollout.steps must rise in weight",
    ),
    "a step twice": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 50}, {weight: 50}]}}",
        "spec.rollout.steps must rise in weight",
    ),
    "a step of everything": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 100}]}}",
        "spec.rollout.steps[0].weight in body should be less than or equal to 99",
    ),
    "a step of nothing": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 0}]}}",
        "spec.rollout.steps[0].weight in body should be greater than or equal to 1",
    ),
    "a pause without a unit": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5, pause: {duration: '600'}}]}}",
        "must be a duration such as 90s, 10m or 1h30m",
    ),
    "a step without what it waits for": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5, analysis: true}]}}",
        "spec.rollout.steps with analysis: true need spec.rollout.analysis: say which metrics",
    ),
    "an analysis of nothing": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: []}}}",
        "spec.rollout.analysis.metrics in body should have at least 1 items",
    ),
    "an analysis without canary": (
        "spec: {rollout: {analysis: {metrics: [{name: errorRate}]}}}",
        "spec.rollout.analysis goes with strategy Canary only",
    ),
    "a metric twice": (
        "spec: {rollout: {analysis: {metrics: [{name: errorRate}, {name: errorRate}]}}}",
        "Duplicate value",
    ),
    "a latency without a threshold": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: ttft}]}}}",
        "milliseconds goes with ttft, itl and e2e, which need it, such as milliseconds: 500, and with no other metric",
    ),
    "errors with a threshold": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: errorRate, milliseconds: 5}]}}}",
        "milliseconds goes with ttft, itl and e2e, which need it, such as milliseconds: 500, and with no other metric",
    ),
    "a length without a threshold": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: outputTokens}]}}}",
        "tokens goes with outputTokens, which needs it, such as tokens: 500, and with no other metric",
    ),
    "a latency in tokens": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: ttft, milliseconds: 5, tokens: 5}]}}}",
        "tokens goes with outputTokens, which needs it, such as tokens: 500, and with no other metric",
    ),
    "a length that no replica counts": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: outputTokens, tokens: 75001}]}}}",
        "spec.rollout.analysis.metrics[0].tokens in body should be less than or equal to 75000",
    ),
    "an unknown metric": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: cpu}]}}}",
        'Unsupported value: "cpu"',
    ),
    "an evaluation without questions": (
        "spec: {rollout: {evaluation: {minScorePercent: 90}}}",
        "spec.rollout.evaluation.golden: Required value",
    ),
    "an evaluation that does not say where its questions are": (
        "spec: {rollout: {evaluation: {golden: {}}}}",
        "spec.rollout.evaluation.golden must have exactly one of configMapRef and pvc",
    ),
    "an evaluation with two sets of questions": (
        "spec: {rollout: {evaluation: {golden: {configMapRef: {name: a}, pvc: 'pvc://a/b'}}}}",
        "spec.rollout.evaluation.golden must have exactly one of configMapRef and pvc",
    ),
    "questions in a claim without a file": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a'}}}}",
        "spec.rollout.evaluation.golden.pvc must be pvc://claim/path/file.jsonl",
    ),
    "an evaluation with Recreate": (
        "spec: {rollout: {strategy: Recreate, evaluation: {golden: {pvc: 'pvc://a/b'}}}}",
        "spec.rollout.evaluation goes with strategy Canary and BlueGreen",
    ),
    "a score above everything": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, minScorePercent: 101}}}",
        "spec.rollout.evaluation.minScorePercent in body should be less than or equal to 100",
    ),
    "a judge with a password": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, judge: {url: 'https://a:b@c/v1', model: m}}}}",
        "spec.rollout.evaluation.judge.url must be http(s)://host/v1",
    ),
    "a judge without a model": (
        "spec: {rollout: {evaluation: {golden: {pvc: 'pvc://a/b'}, judge: {url: 'https://a/v1'}}}}",
        "spec.rollout.evaluation.judge.model: Required value",
    ),
    "an unknown strategy": (
        "spec: {rollout: {strategy: RollingUpdate}}",
        'Unsupported value: "RollingUpdate"',
    ),
    "no room for a new replica": (
        "spec: {rollout: {maxSurge: 0}}",
        "spec.rollout.maxSurge in body should be greater than or equal to 1",
    ),
    "a share of nothing": (
        "spec: {rollout: {maxSurge: '0%'}}",
        "spec.rollout.maxSurge in body should match",
    ),
    "a deadline of nothing": (
        "spec: {rollout: {progressDeadlineSeconds: 0}}",
        "spec.rollout.progressDeadlineSeconds in body should be greater than or equal to 30",
    ),
    "paused as text": (
        "spec: {paused: 'yes'}",
        "spec.paused in body must be of type boolean",
    ),
    # what this version does not know
    "limbs": ("spec: {limbs: [{name: a}]}", 'unknown field "spec.limbs"'),
    "a typing error": ("spec: {replica: 2}", 'unknown field "spec.replica"'),
    "status in spec": ("spec: {status: {}}", 'unknown field "spec.status"'),
}


@pytest.mark.parametrize(("patch", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_object_is_refused_with_what_to_do(
    installed: ControlPlane, namespace: str, patch: str, message: str
) -> None:
    status, answer = crd.dry_run(installed, namespace, crd.deployment(patch))

    assert status in {400, 422}, answer
    assert message in answer["message"]


def test_the_table_is_long_enough() -> None:
    assert len(REFUSED) >= 40


@pytest.mark.parametrize("flag", RESERVED_FLAGS)
def test_every_reserved_flag_is_refused(installed: ControlPlane, namespace: str, flag: str) -> None:
    switch = flag in {"headless", "grpc", "disable-log-stats", "enable-lora"}
    body = crd.deployment()
    body["spec"]["engine"] = {"args": {flag: True if switch else "x"}}

    status, answer = crd.dry_run(installed, namespace, body)

    assert status == 422
    assert f"cannot hold {flag}: {RESERVED_FLAGS[flag]}" in answer["message"]
