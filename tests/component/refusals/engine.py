"""What is refused of `spec.engine`: a patch of the smallest good object, and words of the refusal."""

EXTERNAL = "spec: {model: {source: 'external://m'}, engine: {name: external, external: {%s}}}"
ELSEWHERE = (EXTERNAL % "baseURL: 'https://host/v1'").removesuffix("}")
TWO_SOURCES = """
spec:
  engine:
    env:
    - name: A
      valueFrom: {fieldRef: {fieldPath: a}, secretKeyRef: {name: s, key: k}}
"""

REFUSED = {
    "unknown engine": (
        "spec: {engine: {name: tgi}}",
        'spec.engine.name: Unsupported value: "tgi": supported values: "vllm", "transformers", "simulated", "external"',
    ),
    "adapters for the transformers engine": (
        "spec: {model: {adapters: [{name: a, source: 'pvc://models/a'}]}, engine: {name: transformers}}",
        "spec.model.adapters cannot be set with spec.engine.name transformers, which loads no LoRA adapters.",
    ),
    "several GPUs for the transformers engine": (
        "spec: {engine: {name: transformers}, parallelism: {pipeline: 2}}",
        "spec.parallelism cannot be set with spec.engine.name transformers, which runs a replica on one GPU.",
    ),
    "an external engine without an API": (
        "spec: {model: {source: 'external://m'}, engine: {name: external}}",
        "spec.engine.external is for spec.engine.name external, which needs it.",
    ),
    "an API for another engine": (
        "spec: {engine: {external: {baseURL: 'https://host/v1'}}}",
        "spec.engine.external is for spec.engine.name external, which needs it.",
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
        "Put a key into the Secret of spec.engine.external.apiKeySecretRef.",
    ),
    "a query in an address": (
        EXTERNAL % "baseURL: 'https://host/v1?key=x'",
        "Put a key into the Secret of spec.engine.external.apiKeySecretRef.",
    ),
    "a fragment in an address": (
        EXTERNAL % "baseURL: 'https://host/v1#x'",
        "Put a key into the Secret of spec.engine.external.apiKeySecretRef.",
    ),
    "a key over http to the internet": (
        EXTERNAL % "baseURL: 'http://api.example.com/v1', apiKeySecretRef: {name: k}",
        "spec.engine.external.apiKeySecretRef needs an https:// baseURL",
    ),
    "a key for a host that looks like a Service": (
        EXTERNAL % "baseURL: 'http://a.b.svc.attacker.com/v1', apiKeySecretRef: {name: k}",
        "spec.engine.external.apiKeySecretRef needs an https:// baseURL",
    ),
    "a key for an address as a number": (
        EXTERNAL % "baseURL: 'http://2130706433/v1', apiKeySecretRef: {name: k}",
        "spec.engine.external.apiKeySecretRef needs an https:// baseURL",
    ),
    "a key for an address in hexadecimal": (
        EXTERNAL % "baseURL: 'http://0x7f000001/v1', apiKeySecretRef: {name: k}",
        "spec.engine.external.apiKeySecretRef needs an https:// baseURL",
    ),
    "a key for an address": (
        EXTERNAL % "baseURL: 'http://127.0.0.1/v1', apiKeySecretRef: {name: k}",
        "spec.engine.external.apiKeySecretRef needs an https:// baseURL",
    ),
    "an API at a port above the last": (
        EXTERNAL % "baseURL: 'https://host:65536/v1'",
        "spec.engine.external.baseURL must be https://host/path",
    ),
    "an API at no port": (
        EXTERNAL % "baseURL: 'https://host:0/v1'",
        "spec.engine.external.baseURL must be https://host/path",
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
        "and no other engine may have one. Set both or neither.",
    ),
    "a model elsewhere for an engine here": (
        "spec: {model: {source: 'external://m'}}",
        "and no other engine may have one. Set both or neither.",
    ),
    "a token of the Hub for a model elsewhere": (
        "spec: {model: {source: 'external://m', tokenSecretRef: {name: t}}}",
        "spec.model.tokenSecretRef is for hf:// and https:// sources only.",
    ),
    "a model elsewhere with a space": (
        "spec: {model: {source: 'external://a b'}}",
        "spec.model.source must be external://<the model's name at the API>",
    ),
    "accelerators for an external engine": (
        ELSEWHERE + ", resources: {limits: {amd.com/gpu: 1}}}",
        "spec.resources cannot contain accelerators with spec.engine.name external",
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
        "spec.engine.args cannot contain host, because the operator sets it.",
    ),
    "model among engine args": (
        "spec: {engine: {args: {model: other}}}",
        "spec.engine.args cannot contain model, because spec.model.source sets it.",
    ),
    "tensor parallelism among engine args": (
        "spec: {engine: {args: {tensor-parallel-size: 2}}}",
        "spec.engine.args cannot contain tensor-parallel-size, because spec.parallelism.tensor sets it.",
    ),
    "a switch among engine args": (
        "spec: {engine: {args: {disable-log-stats: true}}}",
        "spec.engine.args cannot contain disable-log-stats, because scaling and rollouts decide on",
    ),
    "a variable of the operator": (
        "spec: {engine: {env: [{name: LLMD_GPUS, value: '8'}]}}",
        "cannot start with LLMD_, because the operator sets these variables.",
    ),
    "a variable of Ray's authentication": (
        "spec: {engine: {env: [{name: RAY_AUTH_TOKEN, value: x}]}}",
        "cannot start with RAY_AUTH_, because the operator sets these variables.",
    ),
    "a token in the open": (
        "spec: {engine: {env: [{name: HF_TOKEN, value: hf_x}]}}",
        "must not contain the token itself. Set spec.model.tokenSecretRef instead.",
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
        "Set value or valueFrom, not both.",
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
}
