"""What the bench of scrapes serves and sums up."""

import doctest
import json
from argparse import Namespace

import pytest
from bench import body_key, scrape
from prometheus_client import generate_latest

from llmdeployment_gateway import config
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.settings import Settings

OPTIONS = Namespace(crs=100, gateways=2, replicas=1, interval=30)


def test_examples() -> None:
    assert doctest.testmod(scrape).failed == 0
    assert doctest.testmod(scrape).attempted


def test_the_operators_page_grows_with_the_llmdeployments() -> None:
    one, ten = (scrape.count_series(generate_latest(scrape.fill_operator(n).registry)) for n in (1, 10))  # fmt: skip
    page = generate_latest(scrape.fill_operator(10).registry).decode()
    assert ten - one == 9 * (one - scrape.count_series(generate_latest(scrape.fill_operator(0).registry)))  # fmt: skip
    for name in ("model-0", "model-9"):
        assert f'llmdeployment_condition{{condition="Ready",name="{name}",namespace="team",status="False"}}' in page  # fmt: skip
        assert f'llmdeployment_cost_total{{currency="EUR",name="{name}",namespace="team",revision="2"}}' in page  # fmt: skip


def test_a_page_is_as_large_as_an_engines() -> None:
    page = scrape.render_replica(*scrape.build_replica())
    assert b"vllm_h14_bucket" in page
    assert b"llmdeployment_request_seconds_bucket" in page
    assert scrape.count_series(b'# HELP a b\n# TYPE a gauge\na 1\na{b="c"} 2\n\n') == 2


@pytest.mark.parametrize(("replica", "met"), [(2.0, True), (12.0, False)])
def test_the_result_says_whether_the_goal_is_met(replica: float, *, met: bool) -> None:
    least = {"operator": 60.0, "gateway": 1.0, "replica": replica, "peer": 2.0}
    sizes = {"operator": 6000, "gateway": 40, "replica": 1000, "peer": 1000}
    found = scrape.describe(least, sizes, OPTIONS)
    assert found["met"] is met
    assert found["perSeriesRatioToPeer"]["replica"] == replica / 2
    assert json.loads(json.dumps(found))["percentOfACore"] == round(
        (60 + 100 * (2 * 1 + replica)) / 1000 / 30 * 100, 2
    )


def test_the_gateway_without_counting_differs_by_the_counting_alone() -> None:
    text = config.render(
        Settings("bench", "chat", "none"), {"slot0": [Address("127.0.0.1", 1)]}, {}
    )
    less = body_key.remove_recent(text)
    gone = set(text.splitlines()) - set(less.splitlines())
    assert len(gone) == 3
    assert all("recent" in line for line in gone)
    assert "backend recent" in less
    with pytest.raises(SystemExit, match="COUNTING"):
        body_key.remove_recent(less)
