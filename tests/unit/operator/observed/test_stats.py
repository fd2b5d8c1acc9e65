"""What the operator believes of a replica's `/stats`."""

from typing import Any

import pytest
from tests.support.fleet import Counts, histogram

from llmdeployment_operator.plan.observed.cluster_state import GatewayState
from llmdeployment_operator.plan.observed.stats import read_gateway, read_sample

GOOD = Counts(5, 1).stats(2, 1)


def changed(**fields: Any) -> Any:
    return {**GOOD, **fields}


@pytest.mark.parametrize(
    "stats",
    [
        {},
        changed(running=float("nan")),
        changed(running="2"),
        changed(kvCacheUsage=None),
        changed(promptTokens=True),
        changed(generationTokens=1.5),
        changed(revisions=[]),
        changed(revisions={"1": {}}),
        changed(revisions={"1": {"ttft": {"buckets": [[1, 2]]}}}),
        changed(revisions={"1": {name: {"buckets": "no"} for name in ("ttft", "itl", "e2e")}}),
    ],
)
def test_what_no_replica_writes_is_none(stats: Any) -> None:
    assert read_sample(stats, 1.0) is None


def test_a_gateway_says_what_it_gave_to_each_service() -> None:
    services = {"a": {"servers": 2, "up": 1, "requests": 7}, "b": {"servers": 1, "up": 1}}
    told = {"routesHash": "x", "held": 3, "refused": 1, "services": services}
    assert read_gateway("g-0", told) == GatewayState("g-0", "x", {"a": 1, "b": 1}, 3, 1, {"a": 7})
    assert read_gateway("g-0", {}) == GatewayState("g-0", "", {})


def test_an_answer_has_the_sums_of_its_revisions() -> None:
    rows = {n: dict.fromkeys(("ttft", "itl", "e2e"), histogram(2, 1)) for n in ("1", "2")}
    found = read_sample(changed(revisions=rows), 7.0)
    assert found is not None
    assert found.histograms["e2e"][-1] == 6
    assert (found.at, found.running, found.waiting) == (7.0, 2, 1)
