"""What a worker pod has to get its model."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import SETTINGS, World, admitted, sample

from llmdeployment_operator.plan.base.revisions import hash_runtime
from llmdeployment_operator.plan.base.settings import ModelCache
from llmdeployment_operator.plan.resources.network_policies import build_runtime_policies

NODE = ModelCache(path="/var/lib/models/", size_bytes=10**9)
CLAIM = ModelCache(claim="model-cache", verify="Always")


def pod_of(cache: ModelCache | None, model: dict[str, Any], env: Any = ()) -> dict[str, Any]:
    raw = sample("gpu")
    raw["spec"]["model"] = model
    raw["spec"]["engine"]["env"] = list(env)
    world = World(admitted(raw), settings=replace(SETTINGS, model_cache=cache))
    found = [o for o in world.plan().apply if o["kind"] == "Deployment"]
    worker = next(o for o in found if "gateway" not in o["metadata"]["name"])
    spec: dict[str, Any] = worker["spec"]["template"]["spec"]
    return spec


def read_env(container: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


def test_without_a_cache_a_pod_has_what_it_needs_and_no_more() -> None:
    pod = pod_of(None, {"source": "hf://a/b"})
    assert "model-cache" not in str(pod)
    (fetch,) = pod["initContainers"]
    assert fetch["args"] == ["fetch-model", "--source", "hf://a/b", "--to", "/models/model"]


@pytest.mark.parametrize(
    ("cache", "volume"),
    [
        (NODE, {"hostPath": {"path": "/var/lib/models/team", "type": "DirectoryOrCreate"}}),
        (CLAIM, {"persistentVolumeClaim": {"claimName": "model-cache"}}),
    ],
)
def test_a_cache_is_written_by_the_container_that_downloads_alone(
    cache: ModelCache, volume: dict[str, Any]
) -> None:
    pod = pod_of(cache, {"source": "s3://models/llama"})
    assert {"name": "model-cache", **volume} in pod["volumes"]
    (fetch,), (ray,) = pod["initContainers"], pod["containers"]
    mount = {"name": "model-cache", "mountPath": "/model-cache"}
    assert mount in fetch["volumeMounts"]
    assert {**mount, "readOnly": True} in ray["volumeMounts"]
    for container in (fetch, ray):
        assert read_env(container)["LLMD_MODEL_CACHE"] == "/model-cache"
        assert read_env(container)["LLMD_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    env = read_env(fetch)
    assert env.get("LLMD_MODEL_CACHE_BYTES") == ("1000000000" if cache is NODE else None)
    assert env.get("LLMD_MODEL_CACHE_VERIFY") == (None if cache is NODE else "Always")
    assert "LLMD_MODEL_CACHE_BYTES" not in read_env(ray)


@pytest.mark.parametrize("source", ["pvc://models/llama", "file:///opt/llama"])
def test_a_model_that_is_there_already_needs_no_cache(source: str) -> None:
    pod = pod_of(NODE, {"source": source})
    assert "model-cache" not in str(pod)
    assert "initContainers" not in pod


def test_a_bucket_has_the_keys_of_its_secret_and_no_others() -> None:
    model = {"source": "s3://models/llama", "credentialsSecretRef": {"name": "store"}}
    endpoint = {"name": "AWS_ENDPOINT_URL", "value": "http://elsewhere"}
    key_id = {"name": "AWS_ACCESS_KEY_ID", "value": "other"}
    pod = pod_of(None, model, [endpoint, key_id])
    env = read_env(pod["initContainers"][0])
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert env[key] == {"secretKeyRef": {"name": "store", "key": key, "optional": True}}
    assert env["AWS_ENDPOINT_URL"] == "http://elsewhere"
    names = [each["name"] for each in pod["initContainers"][0]["env"]]
    assert len(names) == len(set(names))
    assert "store" not in str(pod["containers"])


def test_a_list_on_a_web_server_goes_with_its_sha256_and_its_token() -> None:
    model = {
        "source": "https://host/llama/SHA256SUMS",
        "sha256": "a" * 64,
        "tokenSecretRef": {"name": "web"},
    }
    (fetch,) = pod_of(None, model)["initContainers"]
    assert fetch["args"][-2:] == ["--sha256", "a" * 64]
    env = read_env(fetch)
    assert env["LLMD_SOURCE_TOKEN"] == {"secretKeyRef": {"name": "web", "key": "token"}}
    assert "HF_TOKEN" not in env


def test_pickles_are_allowed_only_where_the_spec_says_so() -> None:
    for allowed in (False, True):
        model = {"source": "hf://a/b", "allowPickle": allowed}
        env = read_env(pod_of(None, model)["initContainers"][0])
        assert ("LLMD_ALLOW_PICKLE" in env) is allowed


def test_the_container_that_downloads_has_proxies_and_authorities_too() -> None:
    given = [
        {"name": name, "value": "x"} for name in ("HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "A")
    ]
    env = read_env(pod_of(None, {"source": "hf://a/b"}, given)["initContainers"][0])
    assert {"HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"} <= env.keys()
    assert "A" not in env


@pytest.mark.parametrize(
    ("model", "env", "port"),
    [
        ({"source": "s3://models/llama"}, {}, 443),
        ({"source": "s3://models/llama"}, {"AWS_ENDPOINT_URL": "http://minio.store:9000"}, 9000),
        ({"source": "https://host:8443/llama/SHA256SUMS"}, {}, 8443),
    ],
)
def test_pods_may_call_where_their_model_is(
    model: dict[str, Any], env: dict[str, str], port: int
) -> None:
    given = [{"name": name, "value": value} for name, value in env.items()]
    template = {"model": model, "engine": {"env": given}}
    worker = build_runtime_policies("chat", "1a2b3c4d", template, SETTINGS)[-1]
    ports = [p["port"] for rule in worker["spec"]["egress"] for p in rule.get("ports", ())]
    assert port in ports


COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADAPTERS = [
    {"name": "legal", "source": f"hf://a/legal@{COMMIT}"},
    {"name": "terse", "source": "https://host:8443/terse/SHA256SUMS", "sha256": "b" * 64},
    {"name": "old", "source": "pvc://team/old"},
]


def test_adapters_are_downloaded_by_a_container_of_their_own() -> None:
    model = {"source": "pvc://models/llama", "adapters": ADAPTERS, "tokenSecretRef": {"name": "t"}}
    pod = pod_of(CLAIM, model)
    (fetch,) = pod["initContainers"]
    assert fetch["name"] == "fetch-adapters"
    folders = [fetch["args"][at] for at in (3, 7)]
    assert fetch["args"] == [
        "fetch-adapters",
        *("--get", ADAPTERS[0]["source"], folders[0], ""),
        *("--get", ADAPTERS[1]["source"], folders[1], "b" * 64),
    ]
    assert len(set(folders)) == 2
    env = read_env(fetch)
    # The token of the hub is not for the web server.
    assert "HF_TOKEN" in env
    assert "LLMD_SOURCE_TOKEN" not in env
    assert "LLMD_MODEL_PIN" not in env
    (ray,) = pod["containers"]
    for container in (fetch, ray):
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/adapter-downloads", "/model-cache"} <= mounts
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert {"adapter-downloads", "adapters-1", "model-cache"} <= set(volumes)
    assert len(volumes) == len(set(volumes))


def test_a_model_and_its_adapters_are_downloaded_one_after_the_other() -> None:
    model = {"source": "hf://a/b", "adapters": ADAPTERS[:1]}
    pod = pod_of(None, model)
    assert [each["name"] for each in pod["initContainers"]] == ["fetch-model", "fetch-adapters"]


def test_other_downloads_need_other_pods_and_equal_ones_do_not() -> None:
    first, second, claimed = ADAPTERS

    def runtime(*adapters: dict[str, str]) -> str:
        return hash_runtime({"model": {"source": "pvc://models/llama", "adapters": [*adapters]}})

    assert runtime(first) != runtime(second)
    assert runtime(first, claimed) != runtime(claimed)
    assert runtime(first) == runtime({**first, "name": "other"})
    assert runtime(second) != runtime({**second, "sha256": "c" * 64})


@pytest.mark.parametrize("arm", [False, True])
def test_an_image_is_refused_where_the_cluster_mounts_none(*, arm: bool) -> None:
    raw = sample("gpu")
    source = {"source": "oci://registry.example/llama@sha256:" + "a" * 64}
    if arm:
        raw["spec"]["arms"] = [{"name": "a", "weight": 100, "overrides": {"model": source}}]
        raw["spec"]["model"].pop("tokenSecretRef", None)
    else:
        raw["spec"]["model"] = source
    world = World(admitted(raw))
    assert world.step().apply == ()
    told = next(c for c in world.status["conditions"] if c["type"] == "Accepted")
    assert told["status"] == "False"
    assert "this cluster does not mount images as volumes. Kubernetes does from 1.35 on." in str(
        world.status["conditions"]
    )


def test_an_image_is_a_volume_where_the_cluster_mounts_them() -> None:
    raw = sample("gpu")
    raw["spec"]["model"] = {"source": "oci://registry.example/llama:3"}
    world = World(admitted(raw), settings=replace(SETTINGS, image_volumes=True))
    deployments = [o for o in world.plan().apply if o["kind"] == "Deployment"]
    pod = next(o for o in deployments if "gateway" not in o["metadata"]["name"])
    spec = pod["spec"]["template"]["spec"]
    image = {"reference": "registry.example/llama:3", "pullPolicy": "IfNotPresent"}
    assert {"name": "model", "image": image} in spec["volumes"]
    mount = {"name": "model", "mountPath": "/models/image", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]
    assert "initContainers" not in spec
