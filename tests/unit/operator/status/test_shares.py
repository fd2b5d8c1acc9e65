"""What the status says of recent answers, and when it is written."""

from datetime import timedelta

from tests.support.stories import serving_world
from tests.support.world import NOW, World

from llmdeployment_operator.analysis.counts import CountKey, Counts


def tell(world: World, bad: int, total: int = 1000, seconds: float = 60) -> list[dict[str, object]]:
    """Return the rows after a pass that saw these answers, so many seconds later."""
    world.now += timedelta(seconds=seconds)
    half = Counts(total // 2, bad // 2)
    recent = {
        CountKey("refusal", "1024"): half,
        CountKey("refusal", "+Inf"): Counts(total - half.total, bad - half.bad),
        CountKey("refusal", group=3): Counts(total, total),
        CountKey("invalidJson", "1024"): Counts(),
    }
    world.observe(recent={1: recent})
    world.step()
    rows: list[dict[str, object]] = world.status["revisions"][0].get("shares", [])
    return rows


def written_at(world: World) -> str:
    return str(world.status["revisions"][0]["sharesAt"])


def test_shares_are_summed_over_prompt_lengths() -> None:
    world = serving_world()
    assert tell(world, 15) == [
        {"name": "refusal", "answers": 1000, "percent": "1.5"},
        {"name": "invalidJson", "answers": 0},
    ]


def test_they_are_written_when_a_figure_changes_and_once_a_minute_at_most() -> None:
    world = serving_world()
    tell(world, 15)
    first = written_at(world)
    # A figure that is the same when rounded.
    tell(world, 150, total=10_001)
    assert written_at(world) == first
    assert world.plan().status is None
    (refusal, _) = tell(world, 17, seconds=60)
    assert refusal["percent"] == "1.7"
    (refusal, _) = tell(world, 19, seconds=59)
    assert refusal["percent"] == "1.7"
    (refusal, _) = tell(world, 19, seconds=1)
    assert refusal["percent"] == "1.9"
    # A clock that was put back does not stop it.
    (refusal, _) = tell(world, 21, seconds=-3600)
    assert refusal["percent"] == "2.1"


def test_what_was_said_stays_while_nobody_is_asked() -> None:
    world = serving_world()
    rows = tell(world, 15)
    world.observe(recent={})
    world.now = NOW + timedelta(days=1)
    assert world.plan().status is None
    assert world.status["revisions"][0]["shares"] == rows


def test_an_object_at_rest_stays_at_rest() -> None:
    world = serving_world()
    tell(world, 15)
    assert world.settle().requeue_after is None
