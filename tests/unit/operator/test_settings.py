"""Settings of the operator from its environment: what makes no sense is refused in one sentence."""

import pytest

from llmdeployment_operator.plan.base.settings import ModelCache
from llmdeployment_operator.settings import SettingsError, plan_settings, runtime_settings

NEEDED = {
    "LLMD_SERVING_IMAGE_GPU": "serving:1-gpu",
    "LLMD_SERVING_IMAGE_CPU": "serving:1-cpu",
    "LLMD_SERVING_IMAGE_SIMULATED": "serving:1-simulated",
    "LLMD_GATEWAY_IMAGE": "gateway:1",
    "LLMD_OPERATOR_NAMESPACE": "llm",
}


def test_the_egress_of_models_is_restricted_unless_the_chart_says_otherwise() -> None:
    assert plan_settings(NEEDED).runtime_egress == "Restricted"
    given = {"LLMD_RUNTIME_EGRESS": "Open", "LLMD_EXTRA_EGRESS": '[{"ports": [{"port": 4317}]}]'}
    found = plan_settings(NEEDED | given)
    assert (found.runtime_egress, found.extra_egress) == ("Open", ({"ports": [{"port": 4317}]},))


def test_nobody_scrapes_unless_the_chart_says_so() -> None:
    assert plan_settings(NEEDED).scrapers == ()
    assert plan_settings(NEEDED).scrape_annotations is False
    assert plan_settings(NEEDED).console_labels == {}
    peers = '[{"namespaceSelector": {}}, {"podSelector": {"matchLabels": {"app": "prometheus"}}}]'
    found = plan_settings(NEEDED | {"LLMD_SCRAPERS": peers, "LLMD_SCRAPE_ANNOTATIONS": "true"})
    assert found.scrapers == (
        {"namespaceSelector": {}},
        {"podSelector": {"matchLabels": {"app": "prometheus"}}},
    )
    assert found.scrape_annotations is True


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LLMD_RUNTIME_EGRESS", "open", "must be Restricted or Open"),
        ("LLMD_EXTRA_EGRESS", "[", "is not JSON"),
        ("LLMD_EXTRA_EGRESS", "{}", "must be a JSON list of egress rules"),
        ("LLMD_EXTRA_EGRESS", "[1]", "must be a JSON list of egress rules"),
        ("LLMD_SCRAPERS", "[", "LLMD_SCRAPERS is not JSON"),
        ("LLMD_SCRAPERS", "[1]", "must be a JSON list of peers of a NetworkPolicy"),
        ("LLMD_SCRAPERS", "[{}]", "ipBlock, namespaceSelector, podSelector"),
        (
            "LLMD_SCRAPERS",
            '[{"namespace": "monitoring"}]',
            "ipBlock, namespaceSelector, podSelector",
        ),
        ("LLMD_HEAD_STORAGE", "disk", "must be auto, pvc or emptyDir"),
        ("LLMD_OPERATOR_LABELS", "[]", "LLMD_OPERATOR_LABELS must be a JSON object of labels"),
        ("LLMD_CONSOLE_LABELS", "[", "LLMD_CONSOLE_LABELS is not JSON"),
        ("LLMD_SERVING_IMAGE_GPU", "", "is not set"),
        ("LLMD_MODEL_CACHE_KIND", "NFS", "must be None, HostPath or PVC"),
        ("LLMD_MODEL_CACHE_KIND", "HostPath", "LLMD_MODEL_CACHE_PATH is not set"),
        ("LLMD_MODEL_CACHE_KIND", "PVC", "LLMD_MODEL_CACHE_CLAIM is not set"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        plan_settings(NEEDED | {name: value})


def test_nobody_is_told_unless_the_chart_says_so() -> None:
    assert runtime_settings({}).notifications.receivers == ()
    given = {
        "LLMD_RECEIVERS": '[{"name": "chat", "format": "Slack"}]',
        "LLMD_RECEIVERS_FOLDER": "/x",
    }
    found = runtime_settings(given).notifications
    assert [(each.name, each.format) for each in found.receivers] == [("chat", "Slack")]
    assert str(found.folder) == "/x"


def test_receivers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match="LLMD_RECEIVERS is no list of receivers"):
        runtime_settings({"LLMD_RECEIVERS": '[{"name": "chat", "format": "Teams"}]'})


def test_models_are_cached_only_where_the_chart_says_so() -> None:
    assert plan_settings(NEEDED).model_cache is None
    given = {
        "LLMD_MODEL_CACHE_KIND": "HostPath",
        "LLMD_MODEL_CACHE_PATH": "/var/lib/models",
        "LLMD_MODEL_CACHE_CLAIM": "ignored",
        "LLMD_MODEL_CACHE_SIZE": "200Gi",
    }
    found = plan_settings(NEEDED | given).model_cache
    assert found == ModelCache(path="/var/lib/models", size_bytes=200 * 2**30)
    given = {"LLMD_MODEL_CACHE_KIND": "PVC", "LLMD_MODEL_CACHE_CLAIM": "models"}
    found = plan_settings(NEEDED | given | {"LLMD_MODEL_CACHE_VERIFY": "Always"}).model_cache
    assert found == ModelCache(claim="models", verify="Always")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLMD_MODEL_CACHE_PATH", "models"),
        ("LLMD_MODEL_CACHE_PATH", "/"),
        ("LLMD_MODEL_CACHE_PATH", "/var/../etc"),
        ("LLMD_MODEL_CACHE_SIZE", "200GB"),
        ("LLMD_MODEL_CACHE_VERIFY", "Never"),
    ],
)
def test_a_cache_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    good = {"LLMD_MODEL_CACHE_KIND": "HostPath", "LLMD_MODEL_CACHE_PATH": "/var/lib/models"}
    with pytest.raises(SettingsError, match=name):
        plan_settings(NEEDED | good | {name: value})
