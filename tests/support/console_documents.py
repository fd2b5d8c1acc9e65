"""The documents of the stand-in for the console's server: the fleet, and shop/chat, at a tick of the story."""

import math

from tests.support.console_story import (
    BAD_SHARE,
    END,
    METRICS,
    PAST,
    STEP_TICKS,
    STEPS,
    Document,
    Story,
    compare_metric,
    count_requests,
    tell_point,
    tell_time,
    weigh_canary,
)

GOLDEN_ROWS = (
    (7, "capital-of-peru", "lost", True, False),
    (3, "question 3", "won", False, True),
    (12, "sum-of-three", "wrong", False, False),
)


def tell_golden(story: Story) -> Document:
    """Return what the questions of the golden set ask."""
    questions = [
        {
            "number": number,
            "id": story.say(name),
            "messages": [
                {"role": "system", "text": story.say("Be brief.")},
                {"role": "user", "text": story.say("What is the capital of Peru?")},
            ],
            "checks": [
                {"kind": "contains", "wanted": story.say('["Lima"]')},
                {"kind": "judge", "wanted": "is polite"},
            ],
        }
        for number, name, *_ in GOLDEN_ROWS
    ]
    return {"questions": questions, "message": None}


def tell_item(story: Story) -> Document:
    """Return the row of shop/chat."""
    point = tell_point(story.tick)
    newest = point["revisions"].get("4", point["revisions"].get("5"))
    return {
        "namespace": "shop",
        "name": "chat",
        "state": "Progressing" if story.arms[0]["canary"] else "Ready",
        "sentence": story.sentence,
        "arms": story.arms,
        "replicas": {"ready": 4, "desired": 4},
        "accelerators": 4,
        "costPerHour": {"amount": 8.4, "currency": "EUR"},
        "requestsPerSecond": point["requestsPerSecond"],
        "ttftP90": newest["ttftP90"],
        "spark": [0.41 + 0.05 * math.sin(each / 5) for each in range(60)],
        "age": 86400,
    }


_NEIGHBOURS = (
    ("search", "embed", "Ready", "Serves with revision r2.", 2, 2, 0.052, 140.2),
    (
        "support",
        "assistant",
        "Degraded",
        "Serves, but 1 of 3 replicas is missing: no node has a free GPU.",
        2,
        3,
        0.88,
        6.4,
    ),
    (
        "lab",
        "llama-next",
        "Progressing",
        "Starts revision r1: downloads the model, 40 s so far.",
        0,
        1,
        None,
        0.0,
    ),
    (
        "batch",
        "summaries",
        "Paused",
        "Serves. The canary is paused by a person at 20 %.",
        1,
        1,
        1.31,
        0.8,
    ),
    (
        "shop",
        "reviews",
        "Refused",
        "Not accepted: spec.model.source names no scheme; write hf://.",
        0,
        0,
        None,
        0.0,
    ),
)


def tell_fleet(story: Story, size: int | None) -> Document:
    """Return the fleet: some models, or `size` rows."""
    items = [tell_item(story)]
    for namespace, name, state, sentence, ready, desired, latency, rate in _NEIGHBOURS:
        serves = latency is not None
        arm = {"name": "main", "weight": 100, "stable": 2, "canary": None, "canaryWeight": None}
        spark = [
            latency * (1 + 0.1 * math.sin(each / 9 + len(name))) if serves else None
            for each in range(60)
        ]
        items.append(
            {
                "namespace": namespace,
                "name": name,
                "state": state,
                "sentence": sentence,
                "arms": [arm] if serves else [],
                "replicas": {"ready": ready, "desired": desired},
                "accelerators": desired if serves else None,
                "costPerHour": {"amount": 2.1 * desired, "currency": "EUR"},
                "requestsPerSecond": rate,
                "ttftP90": latency,
                "spark": spark,
                "age": 7200,
            }
        )
    if size is not None:
        items = [
            {**items[each % len(items)], "namespace": "team", "name": f"model-{each:03}"}
            for each in range(size)
        ]
    return {"items": items, "now": tell_time(story.tick)}


def tell_revisions(story: Story) -> list[Document]:
    """Return the revisions."""
    point, weight = tell_point(story.tick), weigh_canary(story.tick)
    changes = {3: "replicas", 4: "model.source", 5: "prompt.system"}
    rows = []
    for number, change in changes.items():
        row = point["revisions"].get(str(number), {})
        rows.append(
            {
                "number": number,
                "age": 86400 // number,
                "replicas": 2 if row else 0,
                "ready": 2 if row else 0,
                "state": tell_state(number, weight),
                "change": story.say(change),
                "serves": bool(row),
                "chat": bool(row),
                "ttftP50": row.get("ttftP50"),
                "ttftP90": row.get("ttftP90"),
                "errorRatio": 0.002 if row else None,
                "outputTokensPerSecond": 812.0 if row else None,
            }
        )
    return rows


def tell_state(number: int, weight: int) -> str:
    """Return what a revision is: stable, canary or history."""
    stable = 5 if weight == 100 else 4
    if number == stable:
        return "stable"
    return "canary" if number == 5 and weight else "history"


def tell_analysis(story: Story) -> list[Document]:
    """Return the comparison while there is a canary."""
    requests = count_requests(story.tick)
    if not story.arms[0]["canary"]:
        return []
    metrics = []
    for name in METRICS:
        compared = compare_metric(name, requests)
        bad = round(requests * (BAD_SHARE + compared["difference"]))
        stable = 6 * requests + 1648
        metrics.append(
            {
                "name": name,
                **compared,
                "stable": {"total": stable, "bad": round(stable * BAD_SHARE)},
                "canary": {"total": requests, "bad": bad},
            }
        )
    return [
        {
            "arm": "main",
            "result": "NeedMoreData",
            "message": story.say("No metric is worse than its tolerance allows so far."),
            "requestsLeft": max(0, count_requests(END) - requests),
            "users": {"stable": 342, "canary": requests // 9},
            "metrics": metrics,
        }
    ]


def tell_deployment(story: Story) -> Document:
    """Return the document of shop/chat."""
    arm = story.arms[0]
    step = 1 + (story.tick - PAST) // STEP_TICKS if arm["canary"] else None
    steps = [{"weight": each, "pause": "150s", "analysis": each < 80} for each in STEPS]
    steps[-1]["pause"] = "until promoted"
    evaluation = {
        "stable": {
            "revision": 4,
            "score": 92,
            "passed": 46,
            "total": 50,
            "at": tell_time(10),
            "message": "",
        },
        "canary": {
            "revision": 5,
            "score": 94,
            "passed": 47,
            "total": 50,
            "at": tell_time(PAST - 10),
            "message": "",
            "wrong": [
                {"number": 7, "id": story.say("capital-of-peru")},
                {"number": 12, "id": "sum-of-three"},
            ],
            "comparison": {
                "revision": 4,
                "lost": 1,
                "won": 2,
                "difference": "2.0",
                "low": "-3.1",
                "high": "7.1",
                "questions": [story.say("capital-of-peru")],
                "message": story.say("The difference may be noise."),
            },
        },
        "questions": [
            {"number": number, "id": story.say(name), "kind": kind, "stable": before, "canary": now}
            for number, name, kind, before, now in GOLDEN_ROWS
        ],
        "readable": True,
    }
    row, said = tell_item(story), story.say("The canary goes on by itself.")
    return {
        "namespace": "shop",
        "name": "chat",
        "state": row["state"],
        "sentence": story.sentence,
        "generation": 7,
        "conditions": tell_conditions(story),
        "revisions": tell_revisions(story),
        "rollout": [
            {**each, "step": step, "steps": steps, "sentence": said} for each in story.arms
        ],
        "analysis": tell_analysis(story),
        "evaluation": evaluation,
        "experiment": tell_experiment(story),
        "cost": tell_cost(),
        "scaling": tell_scaling(story),
        "events": tell_events(story),
        "actions": tell_actions(story),
        "past": True,
    }


def tell_conditions(story: Story) -> list[Document]:
    """Return the conditions."""
    hostile_link = "javascript:alert(3)" if story.hostile else None
    rows = (
        ("Available", "True", "Serving", "Requests are answered.", hostile_link),
        (
            "Ready",
            "False",
            "CanaryRunning",
            "Revision 5 has a part of the traffic.",
            "https://docs.example/runbooks/CanaryRunning",
        ),
        ("Scaling", "True", "TooManyReplicas", "maxReplicas is 4.", "#/runbooks/TooManyReplicas"),
    )
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": story.say(message),
            "lastTransitionTime": tell_time(PAST),
            "runbook": link,
        }
        for kind, status, reason, message, link in rows
    ]


def tell_experiment(story: Story) -> Document:
    """Return an experiment with one arm."""
    metric = {
        "name": "feedback",
        "control": "71.2 %",
        "arm": "74.9 %",
        "difference": "+3.7",
        "low": "-0.4",
        "high": "7.8",
        "result": "Undecided",
    }
    arm = {
        "name": story.say("terse"),
        "revision": 6,
        "controlRevision": 4,
        "counting": True,
        "users": 311,
        "controlUsers": 305,
        "requests": 1412,
        "controlRequests": 1391,
        "result": "Undecided",
        "metrics": [metric],
    }
    return {
        "startedAt": tell_time(0),
        "control": "main",
        "outcome": "Running",
        "message": story.say("No arm is better yet."),
        "plan": "About 4 hours until a difference of 5 points shows.",
        "arms": [arm],
    }


def tell_cost() -> Document:
    """Return the cost."""
    rows = [
        {
            "revision": 4,
            "perHour": "6.30",
            "monthToDate": "212.40",
            "perThousandRequests": "0.19",
            "perMillionOutputTokens": "1.12",
        },
        {
            "revision": 5,
            "perHour": "2.10",
            "monthToDate": "4.20",
            "perThousandRequests": None,
            "perMillionOutputTokens": None,
        },
    ]
    return {
        "currency": "EUR",
        "month": "2026-03",
        "perHour": "8.40",
        "idlePerHour": "1.20",
        "monthToDate": "216.60",
        "budget": "6000",
        "budgetPercent": 4,
        "revisions": rows,
    }


def tell_scaling(story: Story) -> list[Document]:
    """Return the decisions of autoscaling."""
    message = story.say("35.2 % of ttft lie above 0.5 s; 10 % may.")
    return [
        {
            "at": tell_time(-900),
            "runtime": "ac4119e4",
            "from": 4,
            "to": 3,
            "reason": "LowLoad",
            "message": "Three replicas are enough.",
        },
        {
            "at": tell_time(60),
            "runtime": "ac4119e4",
            "from": 3,
            "to": 4,
            "reason": "TargetMissed",
            "message": message,
        },
    ]


def tell_events(story: Story) -> list[Document]:
    """Return the events, newest first."""
    rows = [
        (PAST + 1, "Normal", "CanaryStarted", "Revision 5 gets 5 % of the requests."),
        (60, "Normal", "Scaled", "3 to 4 replicas."),
        (20, "Warning", "ReplicaShort", "A node was drained."),
    ]
    return [
        {"at": tell_time(tick), "type": kind, "reason": reason, "message": story.say(message)}
        for tick, kind, reason, message in rows
    ]


def tell_actions(story: Story) -> list[Document]:
    """Return the buttons."""
    canary = bool(story.arms[0]["canary"])
    why = None if canary else "There is no canary."
    return [
        {"name": "promote", "label": "Promote r5", "possible": canary, "why": why},
        {"name": "pause", "label": "Pause", "possible": canary, "why": why},
        {"name": "resume", "label": "Resume", "possible": False, "why": "Nothing is paused."},
        {"name": "abort", "label": "Abort", "possible": canary, "why": why},
        {"name": "undo", "label": "Undo", "possible": True, "why": None},
        {"name": "retry", "label": "Retry", "possible": False, "why": "Nothing was rolled back."},
    ]
