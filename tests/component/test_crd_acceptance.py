"""Objects the API server must accept, what it makes of them, and what kubectl can do with them."""

from pathlib import Path

import pytest
import yaml
from dev.cluster import api
from dev.cluster.control_plane import ControlPlane
from tests.component.refusals import task
from tests.support import crd

from llmdeployment_operator.api.types import parse

pytestmark = pytest.mark.component

SAMPLES = sorted((Path(__file__).parents[2] / "manifests/samples").glob("*.yaml"))
LONGEST = "a" * 38


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    crd.install(control_plane)
    return control_plane


ACCEPTED = {
    **task.ACCEPTED,
    "the smallest": "{}",
    "the longest name": f"metadata: {{name: {LONGEST}}}",
    "a pinned revision": "spec: {model: {source: 'hf://a.b/c_d-1@0123abc'}}",
    "a branch with a slash": "spec: {model: {source: 'hf://a/b@refs/pr/1'}}",
    "a bucket with credentials": (
        "spec: {model: {source: 's3://my-models/llama/3.1', credentialsSecretRef: {name: store}}}"
    ),
    "a list on a web server": (
        "spec: {model: {source: 'https://host:8443/llama/SHA256SUMS', "
        f"sha256: '{'a1' * 32}', tokenSecretRef: {{name: web}}}}}}"
    ),
    "adapters of every source": (
        "spec: {model: {source: 'pvc://models', tokenSecretRef: {name: t}, credentialsSecretRef: {name: c}, adapters: ["
        f"{{name: a, source: 'hf://a/b@{'0' * 40}'}}, {{name: b, source: 's3://my-adapters/legal'}}, "
        f"{{name: c, source: 'https://host/SHA256SUMS', sha256: '{'a1' * 32}'}}, {{name: d, source: 'file:///x'}}]}}}}"
    ),
    "an image": "spec: {model: {source: 'oci://registry.example:5000/team/llama-3:8b'}}",
    "an image by its digest": (
        f"spec: {{model: {{source: 'oci://registry.example/llama@sha256:{'a1' * 32}'}}}}"
    ),
    "pickles": "spec: {model: {source: 'hf://a/b', allowPickle: true}}",
    "a whole claim": "spec: {model: {source: 'pvc://models'}}",
    "a path in the image": "spec: {model: {source: 'file:///opt/model-1.5'}}",
    "flags of every type": (
        "spec: {engine: {args: {max-model-len: 4096, gpu-memory-utilization: 0.9, "
        "enable-prefix-caching: true, dtype: auto, compilation-config.level: 3}}}"
    ),
    "variables of every kind": (
        "spec: {engine: {env: [{name: A, value: ''}, {name: B}, "
        "{name: C, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}, "
        "{name: HF_ENDPOINT, valueFrom: {configMapKeyRef: {name: m, key: k}}}]}}"
    ),
    "prompt defaults of every type": (
        "spec: {prompt: {system: Be brief., defaults: "
        "{temperature: 0.2, max_tokens: 5, stop: [a, b], response_format: {type: text}}}}"
    ),
    "eight GPUs": (
        "spec: {resources: {requests: {cpu: 500m, memory: 1Gi}, "
        "limits: {cpu: '0.5', memory: 1.5Gi, nvidia.com/gpu: '8'}}, "
        "parallelism: {tensor: 4, pipeline: 2}}"
    ),
    "another vendor's accelerators": "spec: {resources: {limits: {amd.com/gpu: 4}}}",
    "a pod template": (
        "spec: {podTemplate: {metadata: {labels: {a: b}}, spec: {nodeSelector: {a: b}, "
        "tolerations: [{operator: Exists}], containers: [{name: ray, tty: true}]}}}"
    ),
    "large bodies, and pages of browsers": (
        "spec: {gateway: {maxBodySize: 256Mi, cors: {allowOrigins: ['https://a.example', 'http://localhost:3000', "
        "'https://*.b.example:8443'], allowHeaders: [authorization, content-type], exposeHeaders: [x-a], allowCredentials: true, "
        "maxAge: 86400}}}"
    ),
    "pages of all origins": "spec: {gateway: {maxBodySize: 1Mi, cors: {allowOrigins: ['*'], allowHeaders: ['*']}}}",
    "replicas that take few requests": (
        "spec: {engine: {maxOngoingRequests: 1}, arms: [{name: a, weight: 50}, "
        "{name: b, weight: 50, overrides: {engine: {maxOngoingRequests: 4096}}}]}"
    ),
    "limits for one client": (
        "spec: {gateway: {apiKeysSecretRef: {name: a}, limits: {connectionsPerSource: 10, requestsPerKey: 2}}}"
    ),
    "an evaluation of questions in a ConfigMap": (
        "spec: {rollout: {evaluation: {golden: {configMapRef: {name: a}}}}}"
    ),
    "an evaluation with everything": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5}], evaluation: {golden: {pvc: 'pvc://a/b/c.jsonl'}, "
        "minScorePercent: 0, maxRegressionPercent: 100, compare: Paired, schedule: '0 3 * * 1-5', timeZone: Europe/Berlin, "
        "timeoutSeconds: 30, concurrency: 64, maxTokens: 1, "
        "judge: {url: 'http://judge.team.svc:8000/v1', model: org/m, apiKeySecretRef: {name: s, key: k}, prompt: 'YES or NO?'}}}}"
    ),
    "an API elsewhere": (
        "spec: {model: {source: 'external://@org/model:1'}, engine: {name: external, "
        "external: {baseURL: 'https://api.example.com:8443/openai/v1/', "
        "apiKeySecretRef: {name: k}, timeoutSeconds: 3600}}, resources: {requests: {cpu: 1}}}"
    ),
    "an API of this cluster, with a key": (
        "spec: {model: {source: 'external://m'}, engine: {name: external, "
        "external: {baseURL: 'http://vllm.team.svc:8000/v1', apiKeySecretRef: {name: k}}}}"
    ),
    "an arm elsewhere": (
        "spec: {arms: [{name: ours, weight: 90}, {name: theirs, weight: 10, overrides: "
        "{model: {source: 'external://m'}, "
        "engine: {name: external, external: {baseURL: 'https://host/v1'}}}}]}"
    ),
    "nothing running": "spec: {replicas: 0, paused: true, revisionHistoryLimit: 0}",
    "arms with overrides of every kind": (
        "spec: {arms: [{name: main, weight: 89, overrides: {}}, {name: terse, weight: 10, overrides: {prompt: {system: x, "
        "defaults: {temperature: 0}}}}, {name: big, weight: 1, overrides: {model: {source: 'hf://a/b'}, parallelism: {tensor: 2}, "
        "engine: {args: {seed: 1}, env: [{name: A, value: b}]}, resources: {limits: {nvidia.com/gpu: 2}}, image: x, "
        "podTemplate: {spec: {nodeSelector: {a: b}}}}}]}"
    ),
    "every metric there is": (
        "spec: {rollout: {strategy: Canary, steps: [{weight: 5, analysis: true}], analysis: {metrics: ["
        "{name: errorRate}, {name: ttft, milliseconds: 500}, {name: itl, milliseconds: 75}, "
        "{name: e2e, milliseconds: 5000, tolerancePercent: 3}, {name: outputTokens, tokens: 500}, {name: feedback}]}}}"
    ),
    "tasks of lm-evaluation-harness": (
        "spec: {rollout: {evaluation: {image: 'mine:lm-eval', golden: {lmEval: {tasks: [gsm8k, our.own+1], pvc: 'pvc://sets', "
        "limit: 1, numFewshot: 0}}}}}"
    ),
    "patterns with an API elsewhere": (
        "spec: {model: {source: 'external://m'}, engine: {name: external, external: {baseURL: 'https://api.example.com/v1'}}, "
        "monitoring: {outputPatterns: [{name: brand, pattern: '(?i)acme'}]}}"
    ),
    "a log of content on a claim": (
        "spec: {monitoring: {requestLog: {level: Content, samplePercent: 5, redact: [{name: case, pattern: 'C-[0-9]+'}], sink: PVC, "
        "pvc: {claimName: logs, subPath: a/b, retentionDays: 7, maxSizeGiB: 100}}}}"
    ),
    "a log to a collector": "spec: {monitoring: {requestLog: {sink: OTLP}}}",
    "adapters, and arms with others": (
        "spec: {model: {adapters: [{name: legal, source: 'pvc://team/legal/3'}, {name: Org/x.y:1, source: 'file:///x'}]}, "
        "arms: [{name: a, weight: 50}, "
        "{name: b, weight: 50, overrides: {model: {adapters: [{name: legal, source: 'pvc://team/legal/4'}]}}}]}"
    ),
    "an object's own name for an adapter, where the model has another": (
        "spec: {model: {servedName: base, adapters: [{name: chat, source: 'file:///a'}]}}"
    ),
    "a gateway with keys": (
        "spec: {gateway: {replicas: 3, apiKeysSecretRef: {name: keys}, "
        "hold: {maxRequests: 0, seconds: 1}, resources: {limits: {cpu: 2}}}}"
    ),
    "room for one replica": "spec: {rollout: {maxSurge: 1}}",
    "room for a share of them": "spec: {rollout: {maxSurge: 25%}}",
    "Gateways of the cluster": (
        "spec: {gateway: {mode: HTTPRoute, httpRoute: {hostnames: [a.example.com, '*.b.example.com'], "
        "parentRefs: [{name: public}, {name: public, namespace: gateways, sectionName: https}]}}, "
        "rollout: {strategy: Canary, steps: [{weight: 5}], analysis: {metrics: [{name: ttft, milliseconds: 500}]}}}"
    ),
    "replicas by latency": (
        "spec: {replicas: 5, scaling: {maxReplicas: 8, targets: {ttft: {milliseconds: 500}, "
        "itl: {milliseconds: 50, percentile: 50}, e2e: {milliseconds: 750000, percentile: 99}}, schedules: "
        "[{schedule: 0 8 * * 1-5, duration: 10h, timeZone: Europe/Berlin, minReplicas: 8}, "
        "{schedule: '*/5 * * * *', duration: 1m, minReplicas: 2}]}}"
    ),
    "none without requests": (
        "spec: {scaling: {minReplicas: 0, maxReplicas: 1, scaleToZeroAfter: 1h30m, targets: {e2e: {milliseconds: 1}}}}"
    ),
    "arms of a number that follows the load": (
        "spec: {scaling: {minReplicas: 2, maxReplicas: 2, targets: {ttft: {milliseconds: 500}}}, "
        "arms: [{name: a, weight: 50}, {name: b, weight: 50, overrides: {engine: {args: {seed: 1}}}}]}"
    ),
    "an assignment by every kind of key": (
        "spec: {gateway: {apiKeysSecretRef: {name: keys}, allowForcing: true, assignment: "
        "{keys: [Header/x-user, Body/user, Header/x_tenant, APIKey], salt: 'spring-2026;#'}}}"
    ),
    "an assignment without API keys": (
        "spec: {gateway: {assignment: {keys: [Body/user], salt: ''}}}"
    ),
}


@pytest.mark.parametrize("patch", ACCEPTED.values(), ids=ACCEPTED)
def test_a_good_object_is_accepted_and_the_operator_can_read_it(
    installed: ControlPlane, namespace: str, patch: str
) -> None:
    status, answer = crd.dry_run(installed, namespace, crd.deployment(patch))

    assert status == 201, answer["message"]
    assert parse(answer).metadata.name == answer["metadata"]["name"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_accepted(installed: ControlPlane, namespace: str, path: Path) -> None:
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    for body in (document for document in documents if document["kind"] == "LLMDeployment"):
        status, answer = crd.dry_run(installed, namespace, body)

        assert status == 201, answer["message"]


def test_the_defaults_are_those_of_the_types(installed: ControlPlane, namespace: str) -> None:
    _, answer = crd.dry_run(installed, namespace, crd.deployment())

    bare = crd.merged(crd.deployment(), {"metadata": {"namespace": "any", "uid": "any"}})
    assert parse(answer).spec == parse(bare).spec
    assert answer["spec"]["gateway"]["hold"] == {"maxRequests": 64, "seconds": 120}
    assert answer["spec"]["replicas"] == 1


def test_what_a_lenient_client_sends_too_much_is_dropped(
    installed: ControlPlane, namespace: str
) -> None:
    body = crd.deployment("spec: {limbs: [{name: a}]}")

    answer = api.call(installed.access, "POST", crd.collection(namespace), body)

    assert "limbs" not in answer["spec"]


def test_the_scale_subresource_sets_the_replicas(installed: ControlPlane, namespace: str) -> None:
    path = crd.collection(namespace)
    api.call(installed.access, "POST", path, crd.deployment())
    scale = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"replicas": 3},
    }

    api.call(installed.access, "PUT", f"{path}/chat/scale", scale)

    assert api.call(installed.access, "GET", f"{path}/chat")["spec"]["replicas"] == 3


def test_a_table_has_the_columns_people_look_for(installed: ControlPlane, namespace: str) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"

    _, table = crd.request(installed, crd.collection(namespace), accept=accept)

    names = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert names == [
        *("Name", "Ready", "Up-to-date", "Available", "Reason", "Traffic", "Age"),
    ]
