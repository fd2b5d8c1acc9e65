import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.analysis.shadow import (
    FEWEST,
    PairedShare,
    ShadowCounts,
    ShadowResult,
    collect_shadow,
    describe_shadow,
    judge_shadow,
    name_counts,
)
from llmdeployment_operator.api.shadow import ShadowSpec

POLICY = ShadowSpec(requests=100, min_agreement_percent=80, timeout_seconds=600)
GOOD = ShadowCounts(compared=100, agreement=80_000)


def judge(counts: ShadowCounts, seconds: float = 0) -> tuple[str, str]:
    result, message = judge_shadow(POLICY, counts, 1, seconds)
    return result.value, message


@pytest.mark.parametrize(
    ("counts", "seconds", "result"),
    [
        (ShadowCounts(), 0, "Running"),
        (ShadowCounts(compared=99, agreement=0), 599.9, "Running"),
        (ShadowCounts(compared=98, failed=1), 0, "Running"),
        (GOOD, 0, "Passed"),
        (ShadowCounts(compared=99, failed=1, agreement=99_000), 0, "Passed"),
        (ShadowCounts(compared=98, failed=2, agreement=98_000), 0, "Refused"),
        (ShadowCounts(failed=100), 0, "Refused"),
        (ShadowCounts(compared=100, agreement=79_999), 0, "Refused"),
        # When time is up, what there is has to do, unless it is nearly nothing.
        (ShadowCounts(compared=10, agreement=8_000), 600, "Passed"),
        (ShadowCounts(compared=10, agreement=7_999), 600, "Refused"),
        (ShadowCounts(compared=9, agreement=0), 600, "TimedOut"),
        (ShadowCounts(skipped=5000), 600, "TimedOut"),
    ],
)
def test_how_a_shadow_stands(counts: ShadowCounts, seconds: float, result: str) -> None:
    assert judge(counts, seconds)[0] == result
    assert FEWEST == 10


@pytest.mark.parametrize(
    ("canary", "stable", "both", "shares", "result"),
    [
        # 5 points are tolerated. Of 1 share, E(0.05) must reach 20: it is 12.6 for 12, and 21.4 for 13.
        (12, 0, 0, 1, "Passed"),
        (13, 0, 0, 1, "Refused"),
        # Of 4 shares it must reach 80: it is 65.1 for 15, and 115.8 for 16.
        (15, 0, 0, 4, "Passed"),
        (16, 0, 0, 4, "Refused"),
        # What both do is no difference, and what only the stable one does is evidence against one.
        (90, 90, 90, 1, "Passed"),
        (62, 45, 42, 1, "Passed"),
        (63, 45, 42, 1, "Refused"),
        (0, 60, 0, 1, "Passed"),
    ],
)
def test_a_share_that_is_worse(
    canary: int, stable: int, both: int, shares: int, result: str
) -> None:
    rows = {f"other{n}": PairedShare(100) for n in range(shares - 1)}
    rows["refusal"] = PairedShare(100, stable, canary, both)
    found, message = judge(ShadowCounts(compared=100, agreement=80_000, shares=rows))
    assert found == result
    if result == "Refused":
        assert message == (
            f"Share refusal: {canary} of its answers to 100 live requests, and {stable} of revision 1. "
            "At most 5 points more are allowed (spec.rollout.shadow.tolerancePercent)."
        )


def test_what_is_said_of_a_refusal() -> None:
    _, failed = judge(ShadowCounts(compared=95, failed=5, agreement=95_000))
    assert failed == (
        "It failed 5 of 100 live requests that it was asked too (5.0 %), and revision 1 did not. "
        "At most 1 % may fail (spec.rollout.shadow.maxFailedPercent)."
    )
    _, differs = judge(ShadowCounts(compared=100, agreement=61_250, identical=7))
    assert differs == (
        "Its answers to 100 live requests agree with those of revision 1 by 61.2 %, and 7 are identical. "
        "It needs 80 % (spec.rollout.shadow.minAgreementPercent)."
    )
    _, late = judge(ShadowCounts(skipped=3, excluded=2), 600)
    assert late == (
        "Shadow: 0 of 100 requests, 3 skipped, 2 excluded. "
        "These are too few to say anything, and spec.rollout.shadow.timeoutSeconds are over."
    )


NUMBER = st.integers(0, 50)
SHARE = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER).map(
    lambda n: PairedShare(sum(n), n[0] + n[1], n[0] + n[2], n[0])
)
COUNTS = st.builds(
    lambda same, other, failed, dropped, shares: ShadowCounts(
        same + other, failed, dropped, dropped // 2, same, 1000 * same + 300 * other, shares
    ),
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    st.dictionaries(st.sampled_from(["refusal", "pattern/brand", "empty"]), SHARE),
)


@given(COUNTS)
def test_counts_come_back_from_their_names(counts: ShadowCounts) -> None:
    fresh = {2: name_counts(counts, 1)}
    assert collect_shadow(ShadowCounts(), fresh, 1, 2) == counts
    # Of another pair of revisions they say nothing.
    assert collect_shadow(counts, fresh, 3, 2) == counts
    assert collect_shadow(counts, fresh, 1, 4) == counts


@given(COUNTS, COUNTS)
def test_counts_add_up(one: ShadowCounts, other: ShadowCounts) -> None:
    both = collect_shadow(one, {2: name_counts(other, 1)}, 1, 2)
    assert both.known == one.known + other.known
    assert both.agreement == one.agreement + other.agreement
    total = sum(row.total for each in (one, other) for row in each.shares.values())
    assert sum(row.total for row in both.shares.values()) == total


@given(COUNTS, st.floats(0, 1000))
def test_there_is_always_a_sentence(counts: ShadowCounts, seconds: float) -> None:
    result, message = judge_shadow(POLICY, counts, 1, seconds)
    assert message.endswith(".")
    assert (result is ShadowResult.RUNNING) == (counts.known < 100 and seconds < 600)
    assert describe_shadow(POLICY, counts).startswith(f"Shadow: {counts.known} of 100 requests")


def test_differences_of_a_replica_that_began_anew_are_no_fault() -> None:
    # After a restart the parts of a sum may come from different times.
    assert PairedShare(1, 5, 7, 9).pairs.total == 1
    assert PairedShare(1, 9, 7, 2).pairs.total == 12
