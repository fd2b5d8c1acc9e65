"""What the stand-in for the console's server says: a fleet, and a canary that goes from 5 to 100 percent in a virtual clock.

The shapes are those of the contract between the server and the page. Everything is computed from the number of the tick: a tick is
5 seconds of the story, however fast the server plays it.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Document = dict[str, Any]

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TICK_SECONDS = 5
PAST = 240
"""Ticks before the canary begins: twenty minutes."""
STEPS = (5, 20, 50, 80)
"""Weights of the canary's steps in percent."""
STEP_TICKS = 30
"""Ticks that a step lasts."""
END = PAST + len(STEPS) * STEP_TICKS
"""The tick of the promotion."""
REQUESTS_PER_SECOND = 12.0
TOLERANCE = 0.05
BAD_SHARE = 0.02
"""Share of bad requests of the stable revision, in each metric."""
METRICS = ("error", "ttft>500ms")
HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
"""Text that is harmless only if it is put in as text."""


def tell_time(tick: int) -> str:
    """Return the time of a tick, in RFC 3339."""
    return (START + timedelta(seconds=tick * TICK_SECONDS)).isoformat().replace("+00:00", "Z")


def weigh_canary(tick: int) -> int:
    """Return the canary's weight in percent: 0 before it begins, 100 when it is promoted."""
    if tick < PAST:
        return 0
    return 100 if tick >= END else STEPS[(tick - PAST) // STEP_TICKS]


def count_requests(tick: int) -> int:
    """Return how many requests the canary had until a tick.

    At 12 requests/s and 5 s a tick, a tick at 5 % adds 3 requests.

    >>> [count_requests(PAST + each) for each in (0, 1, 30, 31)]
    [0, 3, 90, 102]
    """
    ticks = range(PAST, min(tick, END))
    return round(
        sum(REQUESTS_PER_SECOND * TICK_SECONDS * weigh_canary(each) / 100 for each in ticks)
    )


def compare_metric(name: str, requests: int) -> Document:
    """Return the difference of a metric with an interval that narrows as 1/sqrt(requests)."""
    settled, wide = {"error": (0.001, 0.9), "ttft>500ms": (0.012, 1.5)}[name]
    difference = settled + 0.02 * math.sin(requests / 40) / math.sqrt(1 + requests / 20)
    half = wide / math.sqrt(1 + requests)
    return {
        "tolerance": TOLERANCE,
        "difference": round(difference, 4),
        "low": round(difference - half, 4),
        "high": round(difference + half, 4),
    }


def tell_point(tick: int) -> Document:
    """Return one point of the live stream."""
    weight, requests = weigh_canary(tick), count_requests(tick)
    wave = math.sin(tick / 25)
    share = {"4": 100 - weight, "5": weight}
    latency = {"4": 0.41 + 0.05 * wave, "5": 0.36 + 0.05 * wave + 0.02 * math.sin(tick / 3)}
    revisions = {
        number: {
            "ttftP50": round(latency[number] * 0.55, 3),
            "ttftP90": round(latency[number], 3),
            "requestsPerSecond": round(REQUESTS_PER_SECOND * share[number] / 100, 2),
        }
        for number in ("4", "5")
        if share[number]
    }
    analysis = {}
    if PAST <= tick < END and requests:
        analysis = {
            name: {"requests": requests, "users": requests // 9, **compare_metric(name, requests)}
            for name in METRICS
        }
    desired = 4 if tick >= 60 else 3
    return {
        "at": tell_time(tick),
        "requestsPerSecond": round(REQUESTS_PER_SECOND * (1 + 0.2 * wave), 2),
        "waiting": max(0, round(3 * wave)),
        "replicas": {"ready": 4 if tick >= 75 else 3, "desired": desired},
        "revisions": revisions,
        "analysis": analysis,
    }


@dataclass
class Story:
    """A canary of shop/chat.

    Attributes:
        tick: the time of the story, in ticks.
        hostile: whether names and texts are attacks on the page.
        applied: the actions that were sent, in order.
        second: whether there is a second arm, terse, with a canary too.
    """

    tick: int = PAST
    hostile: bool = False
    applied: tuple[str, ...] = ()
    second: bool = False

    def say(self, text: str) -> str:
        """Return a text from outside, or an attack in its place."""
        return f"{text} {HOSTILE}" if self.hostile else text

    @property
    def sentence(self) -> str:
        """What happens, in one sentence."""
        if self.tick < PAST:
            return self.say("Serves with revision r4.")
        if self.tick >= END:
            return self.say("Serves with revision r5, which was promoted.")
        weight = weigh_canary(self.tick)
        left = max(0, count_requests(END) - count_requests(self.tick))
        return self.say(f"Serves. Canary r5 has {weight} %, about {left} requests until a verdict.")

    @property
    def arms(self) -> list[Document]:
        """The traffic of the arms."""
        weight = weigh_canary(self.tick)
        ended = weight in {0, 100}
        main = {
            "name": "main",
            "weight": 75 if self.second else 100,
            "stable": 5 if weight == 100 else 4,
            "canary": None if ended else 5,
            "canaryWeight": None if ended else weight,
        }
        terse = {"name": "terse", "weight": 25, "stable": 6, "canary": 7, "canaryWeight": 40}
        return [main, terse] if self.second else [main]
