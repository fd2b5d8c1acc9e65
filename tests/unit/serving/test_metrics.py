"""A replica's page for Prometheus: whose numbers they are, and that it parses."""

from prometheus_client.parser import text_string_to_metric_families

from llmdeployment_serving.metrics import Owner, read_owner, render_metrics
from llmdeployment_serving.stats import EngineSnapshot, RevisionStats, build_stats


def render(owner: Owner) -> str:
    stats = RevisionStats()
    stats.requests["200"] += 2
    stats.whole.ttft.observe(0.3, 0)
    stats.whole.output_tokens.observe(40, 1)
    snapshot = EngineSnapshot(1, 2, 0.5, 10, 20, {})
    document = build_stats("simulated", "chat", snapshot, {"3": stats})
    return render_metrics(document, owner).decode()


def test_the_text_format_says_whose_numbers_these_are() -> None:
    lines = render(Owner("team", "shop")).splitlines()

    owner = 'name="shop",namespace="team"'
    labels = f'engine="simulated",model="chat",{owner}'
    assert f"llmdeployment_requests_running{{{labels}}} 1.0" in lines
    assert f"llmdeployment_requests_waiting{{{labels}}} 2.0" in lines
    assert f"llmdeployment_kv_cache_usage_ratio{{{labels}}} 0.5" in lines
    assert f"llmdeployment_prompt_tokens_total{{{labels}}} 10.0" in lines
    assert f"llmdeployment_generation_tokens_total{{{labels}}} 20.0" in lines
    assert f"llmdeployment_engine_restarts_total{{{labels}}} 0.0" in lines
    assert f'llmdeployment_requests_total{{code="200",{labels},revision="3"}} 2.0' in lines
    for name, bound in (("time_to_first_chunk_seconds", "0.3"), ("output_tokens", "50")):
        row = f'engine="simulated",le="{bound}",model="chat",{owner},revision="3"'
        assert f"llmdeployment_{name}_bucket{{{row}}} 1.0" in lines


def test_every_series_names_its_deployment_and_none_is_an_engines_own() -> None:
    for family in text_string_to_metric_families(render(Owner("team", "shop"))):
        assert family.name.startswith("llmdeployment_")
        for sample in family.samples:
            assert (sample.labels["namespace"], sample.labels["name"]) == ("team", "shop")


def test_the_owner_is_in_the_environment() -> None:
    assert read_owner({"LLMD_NAMESPACE": "team", "LLMD_NAME": "shop"}) == Owner("team", "shop")
    assert read_owner({}) == Owner("", "")
