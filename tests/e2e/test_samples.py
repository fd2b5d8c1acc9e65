"""Every sample as it is in manifests/samples: it gets ready, or stands in the condition that its own comment names."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dev.demo.kube import REPOSITORY, Kube
from tests.support.live import Live
from tests.support.load import ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SAMPLES = REPOSITORY / "manifests/samples"
WAVES = [
    ["canary", "canary-evaluation", "external", "gpu", "httproute"],
    ["autoscaling", "ab-test"],
]
"""Those that fit a node of two CPUs at once."""
ELSEWHERE = {
    "simulated": "test_readme.py",
    "smollm2-cpu": "test_model.py",
    "smollm2-transformers": "test_model.py",
}
"""Samples that other stories apply as they are."""
ACCEPTED = ("bucket", "embedder", "reranker")
"""Samples whose models come from a bucket or a hub that tests do not reach: the API server takes them, and no pod is made."""
LACKING = {
    "external": ("SecretMissing", "Secret example-api of "),
    "gpu": ("SecretMissing", "Secret hub of spec.model.tokenSecretRef"),
    "httproute": ("CRDMissing", "Install the CRDs of the Gateway API"),
}
"""Samples that need what an empty namespace does not have: the reason, and words of the sentence that says what to do."""


def read(sample: str) -> tuple[Path, str]:
    """Return a sample's file and the name of its LLMDeployment."""
    path = SAMPLES / f"{sample}.yaml"
    documents = yaml.safe_load_all(path.read_text())
    (name,) = [d["metadata"]["name"] for d in documents if d["kind"] == "LLMDeployment"]
    return path, name


def test_every_sample_is_tried() -> None:
    tried = {sample for wave in WAVES for sample in wave} | ELSEWHERE.keys() | set(ACCEPTED)

    for sample, story in ELSEWHERE.items():
        assert f"manifests/samples/{sample}.yaml" in (Path(__file__).parent / story).read_text()
    assert tried == {path.stem for path in SAMPLES.glob("*.yaml")}


@pytest.mark.parametrize("sample", ACCEPTED)
def test_a_sample_is_accepted(sample: str, kube: Kube) -> None:
    path, name = read(sample)
    answer = kube.run("apply", "--dry-run=server", f"--filename={path}")
    assert f"/{name} created (server dry run)" in answer


@pytest.fixture
def apply(kube: Kube) -> Iterator[Callable[[str], Live]]:
    """Apply samples word for word; all are deleted at the end. The next wave's pods wait until there is room."""
    made: list[Path] = []

    def applied(sample: str) -> Live:
        path, name = read(sample)
        kube.run("apply", f"--filename={path}")
        made.append(path)
        return Live(kube, name)

    yield applied
    for path in made:
        kube.run("delete", f"--filename={path}", "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("wave", WAVES, ids=" ".join)
def test_a_sample_runs_as_it_is(wave: list[str], apply: Callable[[str], Live]) -> None:
    applied = {sample: apply(sample) for sample in wave}

    for sample, found in applied.items():
        if sample in LACKING:
            reason, words = LACKING[sample]
            assert words in found.until_reason(reason, 60)
        else:
            found.until_condition("Ready", lambda ready: ready.get("status") == "True", 400)
            if found.object["status"]["replicas"]:
                until(found.reached, 60, f"the gateway of {found.name} answers")
                status, body, _ = ask(found.url, found.object["status"]["model"])
                assert status == 200
                assert "[simulated]" in body["choices"][0]["message"]["content"]
