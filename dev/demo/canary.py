"""`make demo-canary`: three changes of the running demo under load.

The changes are a prompt (in the same pods), an engine argument (in a second Ray cluster beside the first), and a bad version that
its verdict rolls back. The demo begins and ends with the repository's sample, so that it can run again.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import yaml
from bench.rollout_judge import OK, Answer, Applied, judge_cell

from dev.cluster.stages import StageError, wait_until
from dev.demo import progress
from dev.demo.ask import connect_gateway
from dev.demo.kube import Kube, Object
from dev.demo.load import Load

PER_SECOND, WAITING = 0.7, 4
"""Requests per second, and how many may wait for their answers: the demo shows rollouts, and two engines on two CPUs are soon full."""

GOOD_TOKENS, BAD_TOKENS = 16, 240
PAUSE = {"pause": {"duration": "12s"}}
STEPS = [{"weight": 20, **PAUSE}, {"weight": 50, **PAUSE}]
JUDGED_STEPS = [{"weight": 20, **PAUSE}, {"weight": 50, "analysis": True}]
ERRORS = {"name": "errorRate", "tolerancePercent": 10}
LENGTH = {"name": "outputTokens", "tokens": 100}
"""The one metric that is the same on slow and on busy machines."""
ROLLOUT: dict[str, Any] = {
    "strategy": "Canary",
    "analysis": {"metrics": [ERRORS], "minRequests": 10, "minDuration": "0s"},
    "progressDeadlineSeconds": 600,
    "rollbackWindow": "15m",
}
"""Wide tolerances, so that a minute of light load is enough for a verdict. A long window, so that restoring the sample is quick."""
AT_ONCE = {"rollbackWindow": "0s"}
SECONDS = 600
"""Seconds that one rollout may take."""
EVERY_SECONDS = 15.0
"""Seconds between two lines, at most, so that nobody wonders whether the demo still runs."""

Say = Callable[[str], None]


def demonstrate_canary(kube: Kube, name: str, sample: str, say: Say) -> None:
    """Change the running demo three times under load.

    Raises:
        StageError: a rollout did not end as expected.
    """
    body: Object = yaml.safe_load(sample)
    begin = {**body["spec"], "rollout": {**ROLLOUT, "steps": STEPS}}
    begin["prompt"] = {"defaults": {"temperature": 0, "max_tokens": GOOD_TOKENS}}
    say("== preparation: short answers with the sample's engine")
    # A revision that an earlier run kept warm would take over at once, without steps.
    replace_spec(kube, name, {**begin, "rollout": AT_ONCE})
    progress.wait_ready(kube, name, SECONDS, say)
    replace_spec(kube, name, begin)
    try:
        with (
            connect_gateway(kube, name) as url,
            Load(url, name, PER_SECOND, at_once=WAITING) as load,
        ):
            changes = change_three_times(kube, name, begin, load, say)
    finally:
        say("\n== restoring the sample")
        replace_spec(kube, name, body["spec"])
        progress.wait_ready(kube, name, SECONDS, say)
        replace_spec(kube, name, {**body["spec"], "rollout": AT_ONCE})
        wait_until(
            lambda: not has_warm_replicas(kube, name), "no revision is kept warm", seconds=60
        )
        replace_spec(kube, name, body["spec"])
    conclude(kube, load.answers, changes, say)


def change_three_times(kube: Kube, name: str, begin: Object, load: Load, say: Say) -> list[Applied]:
    """Make the changes, and return each revision with the time at which it was applied."""
    changes = [Applied(find_stable(kube, name), time.monotonic())]

    def change(title: str, spec: Object) -> None:
        say(f"\n== {title}")
        at = time.monotonic()
        replace_spec(kube, name, spec)
        watch(kube, name, load, is_promoted, say)
        changes.append(Applied(find_stable(kube, name), at))

    prompt = {**begin["prompt"], "system": "Answer in one short sentence."}
    spec = {**begin, "prompt": prompt}
    change("1. another prompt: the same pods carry both revisions, 20 %, 50 %, 100 %", spec)
    args = {**begin["engine"]["args"], "max-num-seqs": 8}
    spec = {**spec, "engine": {**begin["engine"], "args": args}}
    change("2. another engine argument: a second Ray cluster beside the first", spec)

    say(
        f"\n== 3. a bad version: every answer has {BAD_TOKENS} tokens instead of at most {GOOD_TOKENS}"
    )
    # Without ignore_eos the model ends its answer early, and the bad version would not be bad.
    endless = {**prompt["defaults"], "max_tokens": BAD_TOKENS, "ignore_eos": True}
    bad = {**prompt, "defaults": endless}
    analysis = {**ROLLOUT["analysis"], "metrics": [ERRORS, LENGTH]}
    rollout = {**ROLLOUT, "steps": JUDGED_STEPS, "analysis": analysis}
    changes.append(Applied("", time.monotonic()))
    replace_spec(kube, name, {**spec, "prompt": bad, "rollout": rollout})
    watch(kube, name, load, is_rolled_back, say)
    found = kube.get("llm", name) or {}
    say(f"\n  {progress.find_message(found, 'Degraded')}")
    return changes


def watch(kube: Kube, name: str, load: Load, done: Callable[[Object], bool], say: Say) -> None:
    """Print a rollout until it is done: a line for each change of shares, reason or verdict, and at least every `EVERY_SECONDS`.

    Raises:
        StageError: the rollout takes too long, or ends otherwise.
    """
    started, known, said_at = time.monotonic(), "", 0.0
    while True:
        found = kube.get("llm", name) or {}
        now = time.monotonic() - started
        key, line = describe_rollout(found)
        if key != known or now - said_at > EVERY_SECONDS:
            failed = sum(answer.status != OK for answer in load.answers)
            say(f"{now:7.1f} s  {line}  [{failed} of {len(load.answers)} requests failed]")
            known, said_at = key, now
        if done(found):
            return
        if done is is_promoted and is_rolled_back(found):
            raise StageError(progress.find_message(found, "Degraded") or "rolled back")
        if done is is_rolled_back and is_promoted(found):
            raise StageError(
                "the bad version was promoted instead of rolled back",
                advice="read the verdict in `kubectl llm status`",
            )
        if now > SECONDS:
            raise StageError(f"the rollout did not end within {SECONDS} s")
        time.sleep(0.5)  # why: polling


def describe_rollout(found: Object) -> tuple[str, str]:
    """Return a key whose change is worth a line, and the line: shares, reason and verdict."""
    status = found.get("status", {})
    progressing = progress.find_condition(found, "Progressing")
    arm: dict[str, Any] = next(iter(status.get("arms") or []), {})
    verdict = arm.get("analysis", {})
    parts = [f"{status.get('traffic', ''):<20}", f"{progressing.get('reason', ''):<14}"]
    if verdict and arm.get("canaryWeight"):
        left = verdict.get("requestsLeft")
        more = f", about {left} requests needed" if left is not None else ""
        parts.append(f"verdict: {verdict['result']}{more}")
    elif progressing.get("status") == "True":
        parts.append(progress.find_message(found, "Progressing")[:90])
    key = " ".join((parts[0], parts[1], verdict.get("result", "")))
    return key, " ".join(parts)


def is_promoted(found: Object) -> bool:
    """Return whether the newest revision has all traffic."""
    traffic = found.get("status", {}).get("traffic", "")
    arm: dict[str, Any] = next(iter(found.get("status", {}).get("arms") or []), {})
    return progress.is_ready(found) and "canary" not in arm and traffic.endswith(" 100%")


def is_rolled_back(found: Object) -> bool:
    """Return whether the newest revision was rolled back."""
    degraded = progress.find_condition(found, "Degraded")
    fresh = degraded.get("observedGeneration") == found.get("metadata", {}).get("generation")
    return fresh and degraded.get("reason") == "RolledBack"


def find_stable(kube: Kube, name: str) -> str:
    """Return the number of the stable revision, as in the header of answers."""
    return str((kube.get("llm", name) or {})["status"]["arms"][0]["stable"])


def has_warm_replicas(kube: Kube, name: str) -> bool:
    """Return whether an earlier revision is kept warm."""
    rows = (kube.get("llm", name) or {}).get("status", {}).get("arms") or []
    return any(row.get("warm") for row in rows)


def replace_spec(kube: Kube, name: str, spec: Object) -> None:
    """Replace the whole spec."""
    change = [{"op": "replace", "path": "/spec", "value": spec}]
    kube.run("patch", "llm", name, "--type=json", f"--patch={json.dumps(change)}")


def conclude(kube: Kube, answers: list[Answer], changes: list[Applied], say: Say) -> None:
    """Print how many requests failed, and how many users were moved back.

    Raises:
        StageError: requests failed, or users lost a revision they had.
    """
    upgraded = [answer for answer in answers if answer.ended < changes[-1].at]
    revisions = {change.letter: change.letter for change in changes[:-1]}
    moved = judge_cell(upgraded, changes[:-1], revisions).moved_back
    failed = sum(answer.status != OK for answer in answers)
    slowest = max(answer.ended - answer.started for answer in answers)
    say(f"\n{kube.run('get', 'llm').rstrip()}\n")
    say(f"  {failed} of {len(answers)} requests failed; the slowest took {slowest:.1f} s")
    say(f"  {moved} users were moved back in the two rollouts that were promoted")
    if failed or moved:
        raise StageError(
            "requests failed or users were moved back",
            advice="read the operator's log and `kubectl describe llm`",
        )
