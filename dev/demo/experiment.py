"""`make demo-experiment`: two prompts as arms, one of which the model refuses more often, until the experiment has a winner.

The engine is simulated, because a small model on two CPUs neither refuses on demand nor answers enough users. Gateway, counts, test,
cost and the command are the real ones. No experiment says anything before its tenth minute, so this takes about twelve.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rollout_judge import OK

from dev.cluster.stages import StageError
from dev.demo import progress
from dev.demo.ask import connect_gateway
from dev.demo.kube import Kube, Object
from dev.demo.load import Load

NAME = "prompts"
CONTROL, CHALLENGER = "careful", "plain"
USERS, PER_SECOND = 211, 2.5
"""How many users ask, one after the other, and how many requests a second. A prime number, so that all ask all questions."""
READY_SECONDS, SECONDS, EVERY_SECONDS = 300, 1500, 30.0
"""Seconds that the model and the experiment may take, and seconds between two lines."""
SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
QUESTIONS = ("How do I return a lamp?", "Is the shop open on Sunday?", "Can you repair my lamp?")

DEPLOYMENT: Object = {
    "apiVersion": "llmdeployment.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": NAME},
    "spec": {
        "model": {"source": "file:///dev/null"},
        "engine": {
            "name": "simulated",
            # The word of the control's prompt that makes the engine refuse.
            "args": {
                "decode-tokens-per-second": 60,
                "refusal-percent": 25,
                "refuse-on": "doubt",
            },
        },
        "gateway": {"replicas": 1, "resources": SMALL},
        "arms": [
            {
                "name": CONTROL,
                "weight": 50,
                "overrides": {"prompt": {"system": "When in doubt decline to answer."}},
            },
            {
                "name": CHALLENGER,
                "weight": 50,
                "overrides": {"prompt": {"system": "Answer in one short sentence."}},
            },
        ],
        "experiment": {
            "control": CONTROL,
            "metrics": [{"name": "refusal"}, {"name": "errorRate", "tolerancePercent": 5}],
            "minimumEffectPercent": 10,
            "maxDuration": "1h",
        },
        "cost": {"currency": "EUR", "perReplicaHour": "2.00"},
    },
}

Say = Callable[[str], None]


def build_question(number: int) -> tuple[str, dict[str, Any]]:
    """Return a short question of one of `USERS` users."""
    message = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
    return f"user-{number % USERS}", {"messages": [message], "max_tokens": 24}


def demonstrate_experiment(kube: Kube, say: Say) -> None:
    """Run an experiment to its end, print what it found, and remove it.

    Raises:
        StageError: it did not find the arm that refuses less, or requests failed.
    """
    say(f"== two prompts of a simulated model as arms, {CONTROL} and {CHALLENGER}")
    kube.apply(DEPLOYMENT)
    try:
        progress.wait_ready(kube, NAME, READY_SECONDS, say)
        with (
            connect_gateway(kube, NAME) as url,
            Load(url, NAME, PER_SECOND, build_question) as load,
        ):
            say(f"\n== {PER_SECOND:g} requests a second of {USERS} users, until there is a verdict")
            watch(kube, say)
        say("\n== kubectl llm experiment " + NAME)
        say(run_command(kube, "experiment", NAME))
        conclude(kube.get("llm", NAME) or {}, say)
        failed = [answer.error for answer in load.answers if answer.status != OK]
        say(f"  {len(failed)} of {len(load.answers)} requests failed")
        if failed:
            raise StageError(f"requests failed, the first with {failed[0]}")
    finally:
        kube.run("delete", "llm", NAME, "--wait", seconds=180)


def watch(kube: Kube, say: Say) -> None:
    """Print a line for each change and every half minute, until the experiment has ended.

    Raises:
        StageError: it takes too long.
    """
    started, known, said_at = time.monotonic(), "", 0.0
    while True:
        row = read_experiment(kube.get("llm", NAME) or {})
        now = time.monotonic() - started
        line = describe(row)
        if (line != known and now - said_at > EVERY_SECONDS) or row.get("endedAt"):
            say(f"{now:7.1f} s  {line}")
            known, said_at = line, now
        if row.get("endedAt"):
            return
        if now > SECONDS:
            raise StageError(
                f"the experiment did not end within {SECONDS} s",
                advice=f"read `kubectl llm experiment {NAME}`",
            )
        time.sleep(1)  # why: polling


def describe(row: Object) -> str:
    """Return users, requests and shares of both arms, and the outcome so far."""
    arm: Object = next(iter(row.get("arms") or []), {})
    if not arm.get("requests"):
        return "no request is counted yet"
    shares: Object = next(iter(arm.get("metrics") or []), {})
    return (
        f"{arm['users']} users, {arm['requests']} requests: {shares.get('arm', '?')} % refused by {arm['name']}, "
        f"{shares.get('control', '?')} % by {row['control']}. {row['outcome']}"
    )


def read_experiment(found: Object) -> Object:
    """Return `status.experiment`, empty without one."""
    row: Object = found.get("status", {}).get("experiment") or {}
    return row


def conclude(found: Object, say: Say) -> None:
    """Print users, requests and cost of the winner.

    Raises:
        StageError: the winner is another one than the arm that does not refuse, or nobody knows what it costs.
    """
    row = read_experiment(found)
    if (row.get("outcome"), row.get("winner")) != ("Winner", CHALLENGER):
        raise StageError(
            f"the experiment ended with {row.get('outcome')} {row.get('winner', '')}, and {CHALLENGER} should win",
            advice=str(row.get("message", "")),
        )
    (arm,) = row["arms"]
    cost: Object = found["status"].get("cost") or {}
    (costs,) = [each for each in cost.get("revisions", []) if CHALLENGER in each.get("arms", [])]
    say(
        f"  {arm['users']} users and {arm['requests']} requests of {CHALLENGER}, "
        f"{arm['controlUsers']} users and {arm['controlRequests']} requests of {CONTROL}\n"
        f"  the winner costs {costs['perThousandRequests']} {cost['currency']} per 1,000 requests"
    )


def run_command(kube: Kube, *arguments: str) -> str:
    """Return what `kubectl llm` prints."""
    command = Path(sys.executable).parent / "kubectl-llm"
    environment = {**os.environ, "KUBECONFIG": str(kube.kubeconfig), "COLUMNS": "120"}
    done = subprocess.run(
        [command, *arguments, f"--namespace={kube.namespace}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise StageError(f"kubectl llm {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.rstrip()
