"""What the live run of the law asks for, and how it is compared."""

from bench.autoscale_live import ENGINE, MOST, Live, compare, requests, simulation, spec
from bench.profile_probe import Answer

from llmdeployment_operator.simulation.trace import Request
from llmdeployment_serving.queueing import parse_rates

GOOD = Answer(0.0, (0.2, 0.4), 10, 2)
LATE = Answer(0.0, (1.5, 1.7), 10, 2)
SLOW = Answer(0.0, (0.2, 0.7), 10, 2)


def test_the_engine_of_the_cluster_is_the_one_of_the_simulation() -> None:
    rates = parse_rates(spec()["engine"]["args"])
    assert rates.step_seconds(7, 300) == ENGINE.step_seconds(7, 300)
    assert rates.kv_cache_tokens == ENGINE.kv_cache_tokens


def test_the_conversations_are_faster_fewer_and_shorter() -> None:
    few, all_of_them = requests(10.0, 100), requests(1.0, 1)
    assert len(few) == len(all_of_them[::100])
    assert few[5].at == all_of_them[500].at / 10.0
    assert all(row.output_tokens >= 2 for row in few)


def test_a_request_that_failed_is_within_no_target() -> None:
    trace = [Request(float(at), 10, 2) for at in range(4)]
    live = Live([GOOD, LATE, SLOW, None], ["at 3.0 s: 503"], [(0.0, 1, 1), (2.0, 2, 1)], [], 8.0)
    found = compare(trace, live, simulation(trace, 8.0))
    assert found["failedOrCut"] == 1
    assert found["live"]["attainment"] == {"ttft": 50.0, "itl": 50.0, "all": 25.0}
    assert found["live"]["meanReplicas"] == 1.5 < MOST
    assert found["differenceInPoints"]["all"] == -75.0
