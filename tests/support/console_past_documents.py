"""The documents of the stand-in for the console's server about the past: a simulation of it, and points of Prometheus."""

import math

from tests.support.console_story import Document, Story, tell_time


def tell_what_if(story: Story, choice: Document | None) -> Document:
    """Return a simulation: as it is, and with a choice."""
    load = [12 + 3 * math.sin(each / 9) for each in range(120)]
    spec = {"milliseconds": 500, "minimum": 1, "maximum": 4}
    now = tell_run(spec, load)
    return {
        "begins": 1772442000,
        "now": now,
        "changed": tell_run(choice, load) if choice else None,
        "assumptions": [
            story.say("Prompts have 500 tokens on average, as nobody recorded them."),
            "A replica takes 18 s from its order to its first request.",
        ],
        "choice": {"metric": "ttft", "percentile": 90, **spec},
        "steps": [100, 200, 300, 500, 750, 1000],
        "mostReplicas": 64,
    }


def tell_run(choice: Document, load: list[float]) -> Document:
    """Return one simulated hour."""
    replicas = [
        min(choice["maximum"], max(choice["minimum"], round(each / choice["milliseconds"] * 100)))
        for each in load
    ]
    mean = sum(replicas) / len(replicas)
    target = {"metric": "ttft", "percentile": 90, "milliseconds": choice["milliseconds"]}
    return {
        "minimum": choice["minimum"],
        "maximum": choice["maximum"],
        "targets": [{**target, "share": 0.9 + mean / 60}],
        "requests": 43120,
        "failed": 0,
        "meanReplicas": mean,
        "ttftP90": choice["milliseconds"] * 0.88 / 1000,
        "cost": {"amount": mean * 2.1, "currency": "EUR"},
        "slotSeconds": 30,
        "load": load,
        "replicas": replicas,
        "decisions": 7,
    }


def tell_past(hours: int) -> list[Document]:
    """Return points of Prometheus: as many as the server gives, of revision 4 and, in the last third, of revision 5."""
    points = []
    for index in range(360):
        wave = math.sin(index / 15)
        rows = {
            "4": {"ttftP50": 0.2, "ttftP90": 0.4 + 0.1 * wave, "requestsPerSecond": 9 + 3 * wave}
        }
        if index >= 240:
            rows["5"] = {"ttftP50": None, "ttftP90": 0.3, "requestsPerSecond": 1.5}
        at = tell_time((index - 360) * hours * 2)
        point = {"at": at, "requestsPerSecond": 9.0, "waiting": None, "revisions": rows}
        points.append({**point, "replicas": {"ready": None, "desired": None}, "analysis": {}})
    return points
