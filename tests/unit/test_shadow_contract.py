"""A replica writes its shadows as docs/reference/contracts says, and the operator reads them."""

from typing import Any

import pytest
from tests.support.stats_contract import Declared, check, load, write_shadows
from tests.unit.test_stats_contract import write_replica

from llmdeployment_operator.analysis.shadow import PairedShare, ShadowCounts, name_counts
from llmdeployment_operator.plan.observed import shadow_counts


def test_the_operator_reads_all_of_a_shadow() -> None:
    document = write_replica([0.1]) | write_shadows()
    check("replica", document)
    found = shadow_counts.read_shadow_counts(Declared(document, load("replica")))
    shares = {"refusal": PairedShare(2, 1, 2, 1)}
    counts = ShadowCounts(2, 3, 4, 5, 1, 1500, shares)
    assert found == {8: name_counts(counts, 7)}
    assert shadow_counts.read_shadow_counts(write_replica([0.1])) == {}
    assert shadow_counts.read_shadow_counts({"shadows": write_shadows()["shadows"] * 2}) == found


@pytest.mark.parametrize(
    "change",
    [
        {"stable": "7"},
        {"revision": -1},
        {"compared": 1.5},
        {"compared": 10**15},
        {"identical": 3},
        {"agreementThousandths": 2001},
        {"failed": True},
        {"shares": 7},
        {"shares": {"refusal": {"total": 2, "stableBad": 1, "canaryBad": 2}}},
        {"shares": {"refusal": {"total": 2, "stableBad": 1, "canaryBad": 2, "bothBad": 2}}},
        {"shares": {"refusal": {"total": 2, "stableBad": 3, "canaryBad": 2, "bothBad": 2}}},
    ],
)
def test_a_shadow_that_is_not_of_its_form_says_nothing(change: Any) -> None:
    (row,) = write_shadows()["shadows"]
    assert shadow_counts.read_shadow_counts({"shadows": [row]}) != {}
    assert shadow_counts.read_shadow_counts({"shadows": [{**row, **change}]}) == {}


@pytest.mark.parametrize("shadows", [7, [7], [{}], None])
def test_shadows_that_are_none_say_nothing(shadows: Any) -> None:
    assert shadow_counts.read_shadow_counts({"shadows": shadows}) == {}
