"""From evidence to a canary that is rolled back: what is added up, what it says, the move."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmdeployment_operator.analysis.comparison import (
    Analysis,
    collect_counts,
    compare,
    fails_by_errors,
    select_strata,
)
from llmdeployment_operator.analysis.counts import (
    CACHED,
    UNKNOWN,
    CountKey,
    Counts,
    RevisionCounts,
)
from llmdeployment_operator.analysis.design_effect import Minutes, Users
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.sequential_test import Result, Verdict
from llmdeployment_operator.api.rollout import AnalysisSpec, MetricSpec, Pause, RolloutSpec, Step
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status, read_status
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.rollout.canary import plan_step
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import (
    RolloutState,
    build_arm_status,
    read_rollout_state,
)
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ERRORS = MetricSpec(name="errorRate")
TTFT = MetricSpec(name="ttft", milliseconds=400)
LENGTH = MetricSpec(name="outputTokens", tokens=40)
OWNER = ("team", "chat")


SPEC = AnalysisSpec(metrics=(ERRORS,), min_duration="0s")
POLICY = RolloutSpec(
    strategy="Canary",
    steps=(Step(weight=5, pause=Pause(duration="1m")), Step(weight=50, analysis=True)),
    analysis=SPEC,
)


def both(stable: Counts, canary: Counts) -> RevisionCounts:
    return {1: {CountKey("errorRate"): stable}, 2: {CountKey("errorRate"): canary}}


def known(stable: Counts, canary: Counts) -> Analysis:
    return Analysis({CountKey("errorRate"): Stratum(stable, canary)})


def collect(
    before: Analysis,
    fresh: RevisionCounts,
    users: dict[int, int] | None = None,
    seconds: int = 0,
    past: RevisionCounts | None = None,
) -> Analysis:
    return collect_counts(before, fresh, (1, 2), users or {}, seconds, past or {})


def test_evidence_adds_up() -> None:
    first = collect(Analysis(), both(Counts(10, 1), Counts(2)))
    second = collect(first, both(Counts(5), Counts(1, 1)))
    assert second.counts == known(Counts(15, 1), Counts(3, 1)).counts
    assert collect(second, {}).counts == second.counts


def test_users_are_not_forgotten_with_a_gateway_that_begins_anew() -> None:
    first = collect(Analysis(), {}, users={1: 40, 2: 5})
    assert collect(first, {}, users={1: 3, 2: 6}).users == Users(40, 6)
    assert collect(first, {}).users == Users(40, 5)


def test_each_minute_is_counted_once_and_the_one_under_way_apart() -> None:
    found = Analysis()
    for seconds, bad in ((10, 1), (50, 0), (65, 3), (130, 0)):
        found = collect(found, both(Counts(20, 2), Counts(10, bad)), seconds=seconds)
    minutes = found.minutes["errorRate"]
    # Minute 0: 1 of 20 canary requests against 4 of 40. Minute 1: 3 of 10 against 2 of 20.
    assert (minutes.number, minutes.minute, minutes.current) == (
        2,
        2,
        Stratum(Counts(20, 2), Counts(10)),
    )
    assert minutes.requests == 20 + 10
    assert minutes.difference == pytest.approx(20 * -0.05 + 10 * 0.2)
    assert minutes.square_difference_square == pytest.approx(400 * 0.05**2 + 100 * 0.2**2)
    # A clock that goes back begins another minute.
    assert collect(found, {}, seconds=20).minutes["errorRate"].number == 3


def test_counts_by_group_of_users_are_no_strata() -> None:
    key = CountKey("errorRate")
    grouped = {key._replace(group=g): Counts(5, 1) for g in (0, 63)}
    fresh = {n: {key: Counts(10, 2), **grouped} for n in (1, 2)}
    found = collect(Analysis(), fresh)
    assert found.counts[key._replace(group=63)] == Stratum(Counts(5, 1), Counts(5, 1))
    assert found.counts[key] == Stratum(Counts(10, 2), Counts(10, 2))
    evidence = Analysis({key: found.counts[key], key._replace(group=3): found.counts[key]})
    assert select_strata(evidence, "errorRate") == (found.counts[key],)


def step(
    state: RolloutState,
    fresh: RevisionCounts,
    policy: RolloutSpec = POLICY,
    weight: int = 50,
    **commands: Any,
) -> RolloutStep:
    inputs = RolloutInputs(
        stable=1,
        target=2,
        weight=weight,
        ready={1: 2, 2: 2},
        alive={1: 2, 2: 2},
        answered={1, 2},
        applied=True,
        replicas=2,
        fresh=fresh,
    )
    return plan_step(policy, inputs, state, Commands(**commands), NOW)


AT_TWO = RolloutState(stable=1, canary=2, step=1, weight=50, ready=2, since=NOW, progress_at=NOW)
GOOD = known(Counts(2000, 10), Counts(2000, 10))
BAD = known(Counts(2000, 10), Counts(200, 30))


def test_a_step_waits_for_the_verdict_and_says_what_it_takes() -> None:
    found = step(AT_TWO, both(Counts(40), Counts(40)))
    assert found.stage is not None
    assert found.stage.reason is Reason.ANALYZING
    assert "more canary requests are needed" in found.stage.message
    assert found.state.analysis is not None
    assert (found.state.analysis.requests_left or 0) > 10
    assert (
        read_rollout_state(Status(arms=(build_arm_status(found.state, "main"),)), "main")
        == found.state
    )


def test_a_pass_goes_on() -> None:
    assert step(replace(AT_TWO, analysis=GOOD), {}).state.step == 2
    assert compare(SPEC, GOOD)[1].result is Result.PASS


def test_a_failure_gives_the_canary_up_at_any_step() -> None:
    first = replace(AT_TWO, step=0, weight=5, analysis=BAD)
    found = step(first, {}, weight=5)
    assert (found.stable, found.canary, found.needs) == (1, None, {1: 2})
    assert found.stage is not None
    assert found.stage.reason is Reason.ROLLED_BACK
    assert "15.0 % of 200 canary requests were errors" in found.stage.message
    assert "llmdeployment.dev/retry: 2/1" in found.stage.message
    assert found.state.rejected is not None


def test_counts_of_another_split_are_not_mixed_in() -> None:
    on_the_way = replace(AT_TWO, since=None, weight=5)
    found = step(on_the_way, both(Counts(40), Counts(40)), weight=5)
    assert found.state.analysis is not None
    assert found.state.analysis.counts == {}
    given_back = step(AT_TWO, both(Counts(40), Counts()), weight=0)
    assert given_back.state.analysis is not None
    assert given_back.state.analysis.counts == {}
    passed = step(replace(AT_TWO, analysis=GOOD), {})
    assert passed.state.analysis is None


def test_who_promotes_it_has_the_last_word() -> None:
    assert step(replace(AT_TWO, analysis=BAD), {}, promote={2: None}).stable == 2
    waiting = step(AT_TWO, both(Counts(40), Counts(40)), promote={2: 2})
    assert waiting.state.step == 2


def test_the_first_seconds_warm_up() -> None:
    begun = replace(AT_TWO, step=0, weight=5, since=NOW - timedelta(seconds=9))
    fresh = both(Counts(9), Counts(9))
    early = step(begun, fresh, weight=5).state.analysis
    late = step(replace(begun, since=NOW - timedelta(seconds=10)), fresh, weight=5).state.analysis
    assert early is not None
    assert late is not None
    assert (early.counts, late.counts) == ({}, known(Counts(9), Counts(9)).counts)


@pytest.mark.parametrize("requests", [100, 120])
@pytest.mark.parametrize(("then", "canary"), [("Hold", 2), ("Promote", 2), ("Rollback", None)])
def test_without_a_verdict_by_the_limit(then: Any, canary: int | None, requests: int) -> None:
    spec = AnalysisSpec(metrics=(ERRORS,), max_requests=100, on_inconclusive=then)
    evidence = known(Counts(100, 4), Counts(requests, 5))
    found = step(
        replace(AT_TWO, analysis=evidence), {}, POLICY.model_copy(update={"analysis": spec})
    )
    assert found.canary == canary
    assert (found.state.step == 2) == (then == "Promote")


def test_another_threshold_is_another_metric() -> None:
    verdict, told = compare(AnalysisSpec(metrics=(TTFT,)), GOOD)
    assert verdict.result is Result.NEED_MORE_DATA
    assert told.counts == GOOD.counts


def lengths(**strata: tuple[Counts, Counts]) -> Analysis:
    """Return TTFT by stratum, the pairs being stable and canary."""
    names = {"short": "1024", "long": "+Inf", "unknown": UNKNOWN}
    return Analysis(
        {CountKey("ttft>400ms", names[name]): Stratum(*pair) for name, pair in strata.items()}
    )


MIXED = lengths(
    short=(Counts(45_000, 900), Counts(1000, 20)),
    long=(Counts(5000, 2000), Counts(4000, 1600)),
)
"""2 % of the short and 40 % of the long prompts are slow on both; the canary has the long ones."""


def test_a_canary_that_gets_the_long_prompts_is_compared_with_the_long_prompts() -> None:
    spec = AnalysisSpec(metrics=(TTFT,), min_duration="0s")
    verdict, told = compare(spec, MIXED)
    assert verdict.result is Result.PASS
    assert "(weighted like the canary's)" in verdict.message
    assert told.counts == MIXED.counts
    blind = lengths(unknown=(Counts(50_000, 2900), Counts(5000, 1620)))
    assert compare(spec, blind)[0].result is Result.FAIL


def test_counts_without_length_on_one_side_are_compared_as_one_stratum() -> None:
    evidence = lengths(
        unknown=(Counts(9000, 180), Counts()),
        short=(Counts(), Counts(200, 4)),
        long=(Counts(1, 1), Counts(8, 3)),
    )
    assert select_strata(evidence, "ttft>400ms") == (Stratum(Counts(9001, 181), Counts(208, 7)),)
    assert compare(AnalysisSpec(metrics=(TTFT,)), evidence)[0].findings[0].requests == 208


def test_strata_and_the_cache_are_known_to_an_operator_that_starts_again() -> None:
    cache = {CountKey(CACHED): Stratum(Counts(900, 300), Counts(10, 4))}
    counts = {**MIXED.counts, **cache, **GOOD.counts}
    grouped = CountKey("ttft>400ms", group=63)
    minutes = Minutes(2, 30.0, 1.0, 500.0, -0.25, 5.0, 7, Stratum(Counts(9, 1), Counts(4)))
    analysis = Analysis(
        {**counts, grouped: Stratum(Counts(40, 2), Counts(9, 1))},
        {"ttft>400ms": minutes},
        Users(340, 17),
        441,
    )
    state = replace(AT_TWO, analysis=analysis)
    (row,) = dump_status(Status(arms=(build_arm_status(state, "main"),)))["arms"]
    assert row["analysis"]["metrics"][0] == {
        "name": "ttft>400ms",
        "stable": 50_000,
        "stableBad": 2900,
        "canary": 5000,
        "canaryBad": 1620,
        "before": 0,
        "beforeBad": 0,
        "strata": [
            {
                "promptBytes": "1024",
                "stable": 45_000,
                "stableBad": 900,
                "canary": 1000,
                "canaryBad": 20,
                "before": 0,
                "beforeBad": 0,
            },
            {
                "promptBytes": "+Inf",
                "stable": 5000,
                "stableBad": 2000,
                "canary": 4000,
                "canaryBad": 1600,
                "before": 0,
                "beforeBad": 0,
            },
        ],
        "groups": "63:40,2,9,1",
        "minutes": {"number": 2, "sums": "30,1,500,-0.25,5", "minute": 7, "current": "9,1,4,0"},
    }
    known_users = (row["analysis"][key] for key in ("stableUsers", "canaryUsers", "seconds"))
    assert tuple(known_users) == (340, 17, 441)
    assert "strata" not in row["analysis"]["metrics"][1]
    assert read_rollout_state(read_status({"arms": [row]}), "main").analysis == state.analysis


def test_a_status_of_before_there_were_strata_is_one_stratum() -> None:
    row = {"name": "ttft>400ms", "stable": 40, "stableBad": 2, "canary": 10, "canaryBad": 1}
    arms = [{"name": "main", "analysis": {"result": "NeedMoreData", "metrics": [row]}}]
    found = read_rollout_state(read_status({"arms": arms}), "main").analysis
    assert found is not None
    assert found.counts == lengths(unknown=(Counts(40, 2), Counts(10, 1))).counts


def test_long_answers_have_a_wide_tolerance_and_a_word_of_their_own() -> None:
    evidence = Analysis({CountKey("outputTokens>40"): Stratum(Counts(9000, 900), Counts(500, 250))})
    verdict, _ = compare(AnalysisSpec(metrics=(LENGTH,)), evidence)
    assert verdict.result is Result.FAIL
    assert "outputTokens>40: 50.0 % of 500 canary requests were long" in verdict.message
    assert verdict.message.endswith("The tolerance is 10 points.")


@pytest.mark.parametrize(
    ("stable", "canary", "words"),
    [
        (Counts(1000, 380), Counts(50, 20), " Cached prompt tokens: 40 % (canary), 38 % (stable)."),
        (Counts(1000, 377), Counts(50, 20), " Cached prompt tokens: 40 % (canary), 38 % (stable)."),
        (Counts(1000, 380), Counts(), " Cached prompt tokens: unknown (canary), 38 % (stable)."),
        (Counts(), Counts(), ""),
    ],
)
def test_the_words_say_how_warm_the_caches_are(stable: Counts, canary: Counts, words: str) -> None:
    evidence = Analysis({**GOOD.counts, CountKey(CACHED): Stratum(stable, canary)})
    verdict, told = compare(SPEC, evidence)
    assert verdict.message == compare(SPEC, GOOD)[0].message + words
    assert told.message == verdict.message
    assert [finding.name for finding in verdict.findings] == ["errorRate"]


def by_user(
    stable: Counts, canary: dict[int, Counts], users: Users, seconds: int = 600
) -> Analysis:
    """Return errors of a canary by group of users, beside a stable revision whose users are alike."""
    key = CountKey("errorRate")
    total = Counts(
        sum(each.total for each in canary.values()), sum(each.bad for each in canary.values())
    )
    part = Counts(stable.total / 64, stable.bad / 64)
    groups = {key._replace(group=g): Stratum(part, canary.get(g, Counts())) for g in range(64)}
    return Analysis({key: Stratum(stable, total), **groups}, {}, users, seconds)


ONE_USER_FAILS = by_user(
    Counts(6400, 64), {g: Counts(40, 38 if g == 3 else 0) for g in range(10)}, Users(200, 10)
)
"""9.5 % of the canary's requests are errors, and all of them are one user's."""


def test_one_user_cannot_fail_a_canary() -> None:
    verdict, _ = compare(SPEC, ONE_USER_FAILS)
    assert verdict.result is Result.NEED_MORE_DATA
    assert "The canary had 10 users, and the stable revision 200." in verdict.message
    assert "Requests of one user or one minute are alike" in verdict.message
    spread = by_user(Counts(6400, 64), {g: Counts(40, 4) for g in range(10)}, Users(200, 10))
    assert compare(SPEC, spread)[0].result is Result.FAIL
    assert "alike" not in compare(SPEC, spread)[0].message


def test_a_failure_by_errors_is_told_from_another() -> None:
    late = CountKey("ttft>400ms")
    slow = {late: Stratum(Counts(2000, 10), Counts(200, 150))}
    spec = AnalysisSpec(metrics=(ERRORS, TTFT), min_duration="0s")
    by_errors, by_time = (compare(spec, Analysis({**e.counts, **slow}))[0] for e in (BAD, GOOD))
    assert by_errors.result is by_time.result is Result.FAIL
    assert (fails_by_errors(by_errors), fails_by_errors(by_time)) == (True, False)


def test_too_few_users_are_no_verdict() -> None:
    spread = by_user(Counts(6400, 64), {g: Counts(40, 4) for g in range(10)}, Users(200, 10))
    spec = SPEC.model_copy(update={"min_users": 11})
    verdict, told = compare(spec, spread)
    assert (verdict.result, told.result, verdict.requests_left) == (
        Result.NEED_MORE_DATA,
        Result.NEED_MORE_DATA,
        None,
    )
    assert verdict.message.startswith("The canary has had 10 of at least 11 users (spec.rollout.")
    assert compare(spec, replace(spread, users=Users(200, 11)))[0].result is Result.FAIL
    # Requests without a key have no users.
    assert compare(spec, replace(spread, users=Users()))[0].result is Result.FAIL


def test_a_canary_passes_after_min_duration_and_fails_before() -> None:
    spec = AnalysisSpec(metrics=(ERRORS,))
    early, late = replace(GOOD, seconds=299), replace(GOOD, seconds=300)
    assert compare(spec, early)[0].message.startswith(
        "The comparison has lasted 299 s, and lasts at least 5m"
    )
    assert compare(spec, early)[0].result is Result.NEED_MORE_DATA
    assert compare(spec, late)[0].result is Result.PASS
    assert compare(spec, replace(BAD, seconds=3))[0].result is Result.FAIL


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("refusal", "10.0 % of 400 canary requests were refusals, and 0.50 % of 400 stable ones."),
        (
            "pattern/brand",
            "10.0 % of 400 canary requests were answered with the pattern brand, and",
        ),
        ("empty", "requests were empty, and"),
        ("truncated", "requests were truncated, and"),
        ("repetition", "requests were loops, and"),
        ("invalidJson", "requests were answered with invalid JSON, and"),
        ("invalidToolCall", "requests were answered with an invalid tool call, and"),
        ("languageSwitch", "requests were answered in another script, and"),
    ],
)
def test_what_answers_are_like_decides_as_other_metrics_do(name: str, part: str) -> None:
    seen = {CountKey(name, "1024"): Stratum(Counts(400, 2), Counts(400, 40))}
    spec = AnalysisSpec(metrics=(MetricSpec(name=name, tolerance_percent=3),))
    verdict, evidence = compare(spec, Analysis(seen))
    assert verdict.result is Result.FAIL
    assert evidence.message.startswith(f"{name}: ")
    assert part in evidence.message


FEEDBACK = AnalysisSpec(metrics=(MetricSpec(name="feedback"),))


def judge_votes(stable: Counts, canary: Counts) -> Verdict:
    evidence = Analysis({CountKey("feedback"): Stratum(stable, canary)}, seconds=600)
    return compare(FEEDBACK, evidence)[0]


def test_votes_fail_a_canary_in_words_that_say_what_they_are() -> None:
    verdict = judge_votes(Counts(1200, 96), Counts(120, 37))
    assert verdict.result is Result.FAIL
    assert verdict.message.startswith(
        "feedback: 30.8 % of 120 canary votes were bad, and 8.0 % of 1,200 stable ones."
    )
    assert "The tolerance is 5 points." in verdict.message


def test_a_canary_without_votes_waits_and_says_why() -> None:
    verdict = judge_votes(Counts(1200, 96), Counts())
    assert (verdict.result, verdict.requests_left) == (Result.NEED_MORE_DATA, None)
    assert verdict.message == (
        "No verdict is in sight. feedback: the stable revision and the canary have no comparable votes yet."
    )
    few = judge_votes(Counts(1200, 96), Counts(10, 1))
    assert re.match(r"About [0-9,]+ more canary votes are needed\. feedback: ", few.message)


def test_votes_do_not_fail_a_canary_by_its_errors() -> None:
    assert not fails_by_errors(judge_votes(Counts(1200, 96), Counts(120, 37)))
