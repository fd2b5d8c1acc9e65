"""`make demo-autoscale`: a burst of requests on the running demo. The operator adds a second replica, and removes it after the burst.

A few users ask all the time. A burst begins, and ends when the operator has ordered a second replica. Then only the few users ask,
until the operator removes the replica. The demo prints each decision with its reason. It begins and ends with the repository's sample.
"""

import time
from collections.abc import Callable
from typing import Any

import yaml
from bench.rollout_judge import OK, Answer

from dev.cluster.stages import StageError, wait_until
from dev.demo import progress
from dev.demo.ask import connect_gateway
from dev.demo.canary import AT_ONCE, EVERY_SECONDS, replace_spec
from dev.demo.kube import Kube, Object
from dev.demo.load import QUESTIONS, USERS, Load

CALM_PER_SECOND, RUSH_PER_SECOND = 0.2, 5.0
CALM_SECONDS = 40.0
TOKENS = 48
TARGET = {"percentile": 90, "milliseconds": 1000}
SCALING = {"minReplicas": 1, "maxReplicas": 2, "targets": {"ttft": TARGET}}
SECONDS = 900.0

ONE_CORE = (
    {"name": "OMP_NUM_THREADS", "value": "1"},
    {"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"},
)
"""Each replica computes on one core: two replicas on the same two cores wait for each other and are slower than one."""

Say = Callable[[str], None]


def build_question(number: int) -> tuple[str, Object]:
    """Return a question with a streamed answer, because only streams have a first token."""
    message = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
    body = {"messages": [message], "max_tokens": TOKENS, "stream": True}
    return f"user-{number % USERS}", body


def demonstrate_autoscale(kube: Kube, name: str, sample: str, say: Say) -> None:
    """Let the running demo scale by a load that comes and goes.

    Raises:
        StageError: the demo did not scale, or requests failed.
    """
    spec: Object = yaml.safe_load(sample)["spec"]
    engine = {**spec["engine"], "env": [*spec["engine"]["env"], *ONE_CORE]}
    promise = f"{TARGET['percentile']} % of first tokens within {TARGET['milliseconds']} ms"
    # why: a new engine argument starts as many new replicas as are ready now, and four do not fit a small machine.
    replace_spec(kube, name, spec)
    wait_until(
        lambda: is_alone(kube.get("llm", name) or {}),
        "one ready replica at the start",
        seconds=SECONDS,
    )
    say(f"== spec.scaling: {promise}, with one or two replicas of one core each")
    answers: list[Answer] = []
    replace_spec(kube, name, {**spec, "engine": engine, "scaling": SCALING, "rollout": AT_ONCE})
    try:
        progress.wait_ready(kube, name, SECONDS, say)
        with connect_gateway(kube, name) as url:
            vary_load(Watch(kube, name, answers, say), url, name, say)
    finally:
        say("\n== restoring the sample")
        replace_spec(kube, name, spec)
        progress.wait_ready(kube, name, SECONDS, say)
    conclude(answers, say)


def vary_load(watch: "Watch", url: str, name: str, say: Say) -> None:
    """Run the load, and wait for the changes that it should cause."""
    say(f"\n== calm: {CALM_PER_SECOND:g} requests/s of {TOKENS} tokens")
    begin = time.monotonic()
    with Load(url, name, CALM_PER_SECOND, build_question, watch.answers):
        watch.wait_for(lambda _: time.monotonic() - begin > CALM_SECONDS, "calm")
        say(
            f"\n== a burst: {RUSH_PER_SECOND:g} requests/s more, until the operator orders a replica"
        )
        with Load(url, name, RUSH_PER_SECOND, build_question, watch.answers):
            watch.wait_for(lambda found: count_desired(found) > 1, "a second replica ordered")
        say("\n== the burst is over; the ordered replica still starts")
        watch.wait_for(lambda found: count_ready(found) > 1, "two ready replicas")
        say("\n== calm: the operator removes a replica once one has been enough for long")
        watch.wait_for(
            lambda found: count_desired(found) == count_ready(found) == 1, "one replica again"
        )


class Watch:
    """Prints new decisions, and the number of replicas when it changes."""

    def __init__(self, kube: Kube, name: str, answers: list[Answer], say: Say) -> None:
        self.answers = answers
        self._kube, self._name, self._say = kube, name, say
        self._started, self._printed_at, self._known = time.monotonic(), 0.0, ""
        self._printed: list[dict[str, Any]] = []

    def wait_for(self, done: Callable[[Object], bool], what: str) -> None:
        """Wait until `done` returns True, and print meanwhile.

        Raises:
            StageError: that takes more than `SECONDS`.
        """
        deadline = time.monotonic() + SECONDS
        while True:
            found = self._kube.get("llm", self._name) or {}
            self._print(found)
            if done(found):
                return
            if time.monotonic() > deadline:
                raise StageError(f"gave up after {SECONDS:.0f} s waiting for: {what}")
            time.sleep(0.5)  # why: polling

    def _print(self, found: Object) -> None:
        now = time.monotonic() - self._started
        for decision in find_new_decisions(found, self._printed):
            change = f"{decision['from']} -> {decision['to']} replicas"
            self._say(f"{now:7.1f} s  {change}  {decision['reason']}: {decision['message']}")
            self._printed.append(decision)
        reason = progress.find_condition(found, "Scaling").get("reason", "")
        picture = f"{count_ready(found)} of {count_desired(found)} replicas ready  {reason:<14}"
        if picture != self._known or now - self._printed_at > EVERY_SECONDS:
            self._say(f"{now:7.1f} s  {picture}  [{describe_lost(self.answers)}]")
            self._known, self._printed_at = picture, now


def is_alone(found: Object) -> bool:
    """Return whether the newest generation serves, with one replica."""
    return progress.is_ready(found) and count_desired(found) == count_ready(found) == 1


def find_new_decisions(found: Object, printed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the decisions that were not printed yet, oldest first."""
    rows = found.get("status", {}).get("scaling", {}).get("decisions") or []
    return [row for row in rows if row not in printed]


def count_desired(found: Object) -> int:
    """Return how many replicas are desired."""
    return int(found.get("status", {}).get("replicas", 0))


def count_ready(found: Object) -> int:
    """Return how many replicas are ready."""
    return int(found.get("status", {}).get("readyReplicas", 0))


def describe_lost(answers: list[Answer]) -> str:
    """Return how many requests failed, in a few words."""
    failed = sum(answer.status != OK for answer in answers)
    cut = sum(answer.status == OK and not answer.whole for answer in answers)
    return f"{failed} of {len(answers)} requests failed, {cut} streams were cut off"


def conclude(answers: list[Answer], say: Say) -> None:
    """Print how many requests were lost.

    Raises:
        StageError: requests failed, or streams were cut.
    """
    slowest = max(answer.ended - answer.started for answer in answers)
    say(f"\n  {describe_lost(answers)}; the slowest took {slowest:.1f} s")
    if any(answer.error for answer in answers):
        raise StageError(
            "requests failed or streams were cut off",
            advice="read the operator's log and `kubectl describe llm`",
        )
