"""The replica and the gateway write `/stats` as docs/reference/contracts says, and the operator reads nothing else."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stats_contract import Declared, check, load, write_shadows

from llmdeployment_gateway import bounded as gateway_sample
from llmdeployment_gateway import routes, tally
from llmdeployment_gateway.tally import Tally
from llmdeployment_operator.analysis import counts as operator
from llmdeployment_operator.analysis.counts import CACHED, GROUPS, CountKey
from llmdeployment_operator.api.drift import DEFAULT_METRICS
from llmdeployment_operator.api.monitoring import MonitoringSpec
from llmdeployment_operator.api.rollout import SHARES, MetricSpec
from llmdeployment_operator.costs.types import ReplicaUsage, TokenCounts
from llmdeployment_operator.plan.observed import drift_counts
from llmdeployment_operator.plan.observed import stats as reader
from llmdeployment_operator.plan.observed.bounded_counts import (
    read_bounded_gateway_counts,
    read_bounded_replica_counts,
)
from llmdeployment_operator.plan.observed.cluster_state import GatewayState
from llmdeployment_operator.plan.observed.request_log import read_request_log
from llmdeployment_serving import bounded as replica_sample
from llmdeployment_serving import stats as replica
from llmdeployment_serving.log_queue import LogCounts, Reason
from llmdeployment_serving.output_shares import compile_pattern
from llmdeployment_serving.stats import (
    EngineSnapshot,
    Histogram,
    RevisionStats,
    add_users,
    build_stats,
    find_group,
    find_length_bucket,
)

METRICS = (
    MetricSpec(name="ttft", milliseconds=500),
    MetricSpec(name="itl", milliseconds=150),
    MetricSpec(name="e2e", milliseconds=30_000),
    MetricSpec(name="outputTokens", tokens=400),
    MetricSpec(name="errorRate"),
    MetricSpec(name="feedback"),
    MetricSpec(name="refusal"),
    MetricSpec(name="pattern/brand"),
)


def write_replica(seconds: list[float], *, cached: int = 3, adapter: str = "loaded") -> Any:
    """Return what a replica writes that answered a request for each of `seconds`."""
    row = RevisionStats(adapters={"legal": adapter} if adapter else {})
    row.set_patterns([compile_pattern("brand", "acme")])
    for number, each in enumerate(seconds):
        row.requests["200" if number % 2 else "500"] = number + 1
        length, group = find_length_bucket(1000 * number), find_group(b"%d" % (63 + number))
        for sample in (row.whole, row.bounded) if number else (row.whole,):
            for histogram in (sample.ttft, sample.itl, sample.e2e):
                histogram.observe(each, length, group)
            sample.output_tokens.observe(int(each), length, group)
            sample.shares.add({"refusal": number == 0, "pattern/brand": True}, length, group)
    row.usage_answers, row.usage_prompt_tokens = len(seconds), 10 * len(seconds)
    if seconds and cached:
        row.prompt_tokens, row.cached_prompt_tokens = 10 * cached, cached
    engine = {name: Histogram().as_json() for name in ("ttft", "itl", "e2e", "queue")}
    snapshot = EngineSnapshot(1, 2, 0.5, 30, 40, engine)
    document = build_stats("vllm", "chat", snapshot, {"7": row}, in_flight=3)
    return json.loads(json.dumps(add_users(document, {"7": row})))


def write_gateway() -> Any:
    """Return what a gateway's agent writes; its HTTP server adds the other fields (tests/component/gateway)."""
    counted = Tally()
    for line in (
        b"200 1000 -- main 1 70 1",
        b"503 20 SC main 1 6 -",
        b"-1 20 CR main 2 7 1",
        b"404 0 PR - - - -",
    ):
        counted.count_line(line)
    counted.count_vote("main", "1", 70, 800)
    counted.count_vote("main", "1", 70, 900)
    return {
        "routesHash": "0123456789abcdef",
        "held": 4,
        "refused": 5,
        "services": {"chat-1": {"servers": 2, "up": 1, "requests": 9}},
        "routes": counted.stats_with_users([("main", "1"), ("main", "3")]),
    }


@given(
    st.lists(st.floats(0, 1000), max_size=6),
    st.integers(0, 5),
    st.sampled_from(["", "loaded", "loading", "failed: no such file"]),
)
def test_a_replica_writes_what_the_contract_says(
    seconds: list[float], cached: int, adapter: str
) -> None:
    check("replica", write_replica(seconds, cached=cached, adapter=adapter))


EMPTY = {"buckets": [["+Inf", 0]], "sum": 0, "count": 0}
VOTES = {"votes": 1, "badThousandths": 800}
ROUTE = {
    "arm": "main",
    "revision": 1,
    "requests": {"2xx": 1, "4xx": 0, "5xx": 0},
    "durationSeconds": {"sum": 0, "count": 1},
}


BOUNDED_ROUTE = {
    "requests": ROUTE["requests"],
    "byUser": [[15, 1, 0]],
    "feedback": {**VOTES, "byUser": []},
}


def too_many_groups() -> Any:
    return {**BOUNDED_ROUTE, "byUser": [[16, 1, 0]]}


def test_rows_that_the_next_test_makes_invalid_are_valid() -> None:
    check("replica", {**write_replica([]), "histograms": {"ttft": {**EMPTY, "byUser": []}}})
    check("gateway", {**write_gateway(), "routes": [{**ROUTE, "byUser": []}]})
    rows = [{**ROUTE, "feedback": VOTES}, {**ROUTE, "feedback": {**VOTES, "byUser": []}}]
    rows.append({**ROUTE, "byUser": [], "bounded": BOUNDED_ROUTE})
    check("gateway", {**write_gateway(), "routes": rows})


def test_the_operator_reads_all_of_a_request_log() -> None:
    counts = LogCounts()
    assert counts.describe() == {"written": 0, "dropped": {}}
    counts.write(7)
    for reason in get_args(Reason):
        counts.drop(reason, 2)
        document = write_replica([0.1]) | {"requestLog": counts.describe()}
        check("replica", document)
        report = read_request_log(Declared(document, load("replica")))
        assert report is not None
        assert (report.written, report.failing) == (7, reason)
    assert report.dropped == 2 * len(get_args(Reason))


@pytest.mark.parametrize(
    "log",
    [7, {}, {"written": -1, "dropped": {}}, {"written": 1, "dropped": {"full": "2"}}, {"written": 1, "dropped": [1]}],
)  # fmt: skip
def test_a_request_log_that_is_not_of_its_form_says_nothing(log: Any) -> None:
    assert read_request_log({"requestLog": log}) is None


def test_a_gateway_writes_what_the_contract_says() -> None:
    check("gateway", write_gateway())


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("replica", {"running": -1}),
        ("replica", {"running": 1.5}),
        ("replica", {"kvCacheUsage": 2}),
        ("replica", {"revisions": {"one": {}}}),
        ("replica", {"more": 1}),
        ("replica", {"requestLog": {"written": 1}}),
        ("replica", {"requestLog": {"written": 1, "dropped": {"other": 1}}}),
        ("replica", {"requestLog": {"written": 1, "dropped": {}, "failing": ""}}),
        ("replica", {"shadows": []}),
        ("replica", {"shadows": [{**write_shadows()["shadows"][0], "compared": -1}]}),
        ("replica", {"histograms": {"ttft": {**EMPTY, "byUser": [[64, [0]]]}}}),
        ("replica", {"histograms": {"ttft": {**EMPTY, "byUser": [[0, [-1]]]}}}),
        ("replica", {"revisions": {"7": {**write_replica([])["revisions"]["7"], "bounded": {}}}}),
        ("gateway", {"held": "4"}),
        ("gateway", {"routes": [{**ROUTE, "byUser": [], "bounded": {}}]}),
        ("gateway", {"routes": [{**ROUTE, "bounded": BOUNDED_ROUTE}]}),
        ("gateway", {"routes": [{**ROUTE, "byUser": [], "bounded": too_many_groups()}]}),
        ("gateway", {"routes": [{**ROUTE, "byUser": [[64, 1, 0]]}]}),
        ("gateway", {"routes": [{**ROUTE, "byUser": [[0, 1]]}]}),
        ("gateway", {"routes": [{**ROUTE, "byUser": [], "users": "AAAA"}]}),
        ("gateway", {"routes": [{**ROUTE, "users": "A" * 1667 + "="}]}),
        ("gateway", {"routes": [{"arm": "main"}]}),
        ("gateway", {"routes": [{**ROUTE, "feedback": {"votes": 1}}]}),
        ("gateway", {"routes": [{**ROUTE, "feedback": {"votes": 1, "badThousandths": 0.5}}]}),
        ("gateway", {"routes": [{**ROUTE, "feedback": {**VOTES, "byUser": [[64, 1, 0]]}}]}),
    ],
)
def test_the_contract_refuses_what_is_not_of_its_form(kind: str, change: dict[str, Any]) -> None:
    document = write_replica([1.0]) if kind == "replica" else write_gateway()
    with pytest.raises(AssertionError):
        check(kind, {**document, **change})


def test_the_operator_reads_all_of_a_replica_and_nothing_that_is_not_declared() -> None:
    document = Declared(write_replica([0.1, 0.7, 40.0]), load("replica"))

    sample = reader.read_sample(document, 5.0)
    assert sample is not None
    assert (sample.running, sample.waiting, sample.kv_usage) == (1, 2, 0.5)
    assert (sample.prompt_tokens, sample.generation_tokens) == (30, 40)
    assert [counts[-1] for counts in sample.histograms.values()] == [3, 3, 3]
    assert reader.read_adapters(document) == {7: {"legal": "loaded"}}
    # Of 1, 2 and 3 answers with a status, 2 ended well; their tokens are 0 + 0 + 40.
    assert reader.read_usage(document) == ReplicaUsage(3, 70, {7: TokenCounts(2, 30, 40)})
    counts = reader.read_replica_counts(document, METRICS)
    assert {key.metric for key in counts[7]} == {
        "ttft>500ms",
        "itl>150ms",
        "e2e>30000ms",
        "outputTokens>400",
        "refusal",
        "pattern/brand",
        CACHED,
    }
    groups = {
        key.group: found
        for key, found in counts[7].items()
        if key.metric == "ttft>500ms" and key.group is not None
    }
    assert groups == dict.fromkeys(range(GROUPS), reader.Counts()) | {
        63: reader.Counts(1, 0),
        0: reader.Counts(1, 1),
        1: reader.Counts(1, 1),
    }
    refusals = {key: seen for key, seen in counts[7].items() if key.metric == "refusal"}
    shares = {key.stratum: seen for key, seen in refusals.items() if key.group is None}
    assert shares == {
        "1024": reader.Counts(2, 1),
        "8192": reader.Counts(1, 0),
        "+Inf": reader.Counts(0, 0),
    }
    bounded = read_bounded_replica_counts(document, METRICS)[7]
    assert {key.metric for key in bounded} == {
        f"{key.metric}, bounded" for key in counts[7] if key.metric != CACHED
    }
    of_ttft = {k.group: n for k, n in bounded.items() if k.metric == "ttft>500ms, bounded"}
    seen = {group: n for group, n in of_ttft.items() if group is not None and n.total}
    assert seen == {0: reader.Counts(1, 1), 1: reader.Counts(1, 1)}
    by_group = {key.group: seen for key, seen in refusals.items() if key.group is not None}
    assert by_group == dict.fromkeys(range(GROUPS), reader.Counts()) | {
        63: reader.Counts(1, 1),
        0: reader.Counts(1, 0),
        1: reader.Counts(1, 0),
    }


def test_a_replica_of_an_older_image_has_no_shares() -> None:
    document = write_replica([0.1])
    del document["revisions"]["7"]["shares"]
    check("replica", document)
    counts = reader.read_replica_counts(document, METRICS)
    assert "ttft>500ms" in {key.metric for key in counts[7]}
    assert "refusal" not in {key.metric for key in counts[7]}


@pytest.mark.parametrize(
    "share",
    [
        7,
        {},
        {"byPromptBytes": []},
        {"total": 1, "bad": 0, "byPromptBytes": [[1024, 1]]},
        {"total": 1, "bad": 0, "byPromptBytes": [], "byUser": [[3, 2, 0]]},
        {"total": 1, "bad": 0, "byPromptBytes": [], "byUser": [[64, 1, 0]]},
        {"total": 1, "bad": 0, "byPromptBytes": [], "byUser": [[3, 1, 0], [3, 0, 0]]},
        {"total": 1, "bad": 0, "byPromptBytes": [], "byUser": 7},
        {"total": 1, "bad": 0, "byPromptBytes": [[1024, 1, 2]]},
        {"total": 1, "bad": 0, "byPromptBytes": [[1024, "1", 0]]},
        {"total": 1, "bad": 0, "byPromptBytes": [["x", 1, 0]]},
        {"total": 1, "bad": 0, "byPromptBytes": [[below, 1, 0] for below in range(1, 9)]},
    ],
)
def test_a_share_that_is_not_of_its_form_says_nothing(share: Any) -> None:
    document = write_replica([0.1])
    document["revisions"]["7"]["shares"]["refusal"] = share
    assert reader.read_replica_counts(document, METRICS) == {}


def test_the_operator_reads_all_of_a_gateway_and_nothing_that_is_not_declared() -> None:
    document = Declared(write_gateway(), load("gateway"))

    gateway = reader.read_gateway("gateway-0", document)
    assert (gateway.routes_hash, gateway.held, gateway.refused) == ("0123456789abcdef", 4, 5)
    assert (gateway.up, gateway.requests) == ({"chat-1": 1}, {"chat-1": 9})
    counts = reader.read_gateway_counts(document, METRICS)
    assert counts[1][CountKey("feedback")] == counts[1][CountKey("feedback", group=6)]
    assert counts[1][CountKey("feedback")] == reader.Counts(2, 1)
    counts = reader.read_gateway_counts(document, [MetricSpec(name="errorRate")])
    whole = CountKey("errorRate")
    assert {number: found[whole] for number, found in counts.items()} == {
        1: reader.Counts(2, 1),
        3: reader.Counts(0, 0),
        2: reader.Counts(0, 0),
    }
    assert {n: len(found) - 1 for n, found in counts.items()} == {1: GROUPS, 3: GROUPS, 2: 0}
    seen = {key.group: found for key, found in counts[1].items() if found.total}
    assert seen == {None: reader.Counts(2, 1), 6: reader.Counts(2, 1)}
    assert reader.read_gateway_users(document) == {1: 1 << 70}
    bounded = read_bounded_gateway_counts(document, METRICS)
    assert {key: found for key, found in bounded[1].items() if found.total} == {
        CountKey("errorRate, bounded"): reader.Counts(2, 1),
        CountKey("errorRate, bounded", group=6): reader.Counts(2, 1),
        CountKey("feedback, bounded"): reader.Counts(2, 1),
        CountKey("feedback, bounded", group=6): reader.Counts(2, 1),
    }


def test_all_three_have_the_same_buckets_and_groups() -> None:
    assert operator.GROUPS == replica.GROUPS == tally.GROUPS
    assert operator.BOUNDED_GROUPS == replica.BOUNDED_GROUPS == tally.BOUNDED_GROUPS
    assert operator.USER_BOUND == replica_sample.BOUND == gateway_sample.BOUND
    assert operator.BUCKETS == routes.BUCKETS
    assert [find_group(b"%d" % bucket) for bucket in (0, 9_999, 10_000)] == [0, 15, None]


@pytest.mark.parametrize("kind", ["replica", "gateway"])
@pytest.mark.parametrize("answer", [[], "x", 7, {"revisions": 1, "routes": 1, "services": 1}])
def test_an_answer_that_is_not_of_its_form_says_nothing(kind: str, answer: Any) -> None:
    if kind == "replica":
        assert reader.read_sample(answer, 5.0) is None
        assert reader.read_adapters(answer) == {}
        assert reader.read_usage(answer) is None
        assert reader.read_replica_counts(answer, METRICS) == {}
    else:
        assert reader.read_gateway_counts(answer, METRICS) == {}
        assert reader.read_gateway("a", answer) == GatewayState("a", routes_hash="", up={})


def test_the_operator_reads_what_is_compared_with_a_first_window() -> None:
    """Prompts of 0, 1,000, 2,000 ... 9,000 bytes, and as many tokens of an answer as seconds."""
    monitoring = MonitoringSpec.model_validate(
        {"outputPatterns": [{"name": "brand", "pattern": "acme"}], "drift": {}}
    )
    document = write_replica([float(each) for each in range(0, 100, 10)])
    found = drift_counts.read_drift_counts(document, monitoring)[7]
    whole = {
        key.metric: counts
        for key, counts in found.items()
        if key.group is None and key.stratum == ""
    }
    assert whole["promptLength>=1024"] == operator.Counts(10, 8)
    assert whole["promptLength>=8192"] == operator.Counts(10, 1)
    longer = {
        length: sum(
            counts.bad
            for key, counts in found.items()
            if key.metric == f"outputTokens>{length}" and key.group is None
        )
        for length in (10, 50, 75, 100)
    }
    assert longer == {10: 8, 50: 4, 75: 2, 100: 0}
    assert found[CountKey("pattern/brand", "1024")].bad == 2
    assert {key.metric for key in found} == {
        *drift_counts.PROMPT_METRICS,
        *(f"outputTokens>{length}" for length in drift_counts.TOKENS),
        *DEFAULT_METRICS[2:],
        "pattern/brand",
    }
    shares = drift_counts.read_share_counts(document, monitoring)[7]
    assert {key.metric for key in shares} == {*SHARES, "pattern/brand"}
    assert {key.group for key in shares} == {None}


def test_lengths_that_are_compared_are_bounds_of_the_replicas_histograms() -> None:
    assert set(drift_counts.TOKENS) <= set(replica.TOKEN_BOUNDS)
    assert drift_counts.PROMPT_BYTES == replica.PROMPT_BYTES


@pytest.mark.parametrize(
    "strata", [None, [], [[1024]], [[1024, [-1]]], [["x", [1]], ["+Inf", [1]]], [[1, [1]]] * 8]
)
def test_lengths_of_prompts_that_make_no_sense_are_none(strata: Any) -> None:
    found = reader.read_prompt_lengths(
        {"revisions": {"1": {"e2e": {"byPromptBytes": strata}}}}, "promptLength"
    )
    assert found in ({}, {1: {}})
