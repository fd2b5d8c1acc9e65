"""`make dashboard-pictures`: draws the dashboards from the demo's own metrics, while the demo runs its canaries and scales.

A Prometheus on this machine scrapes the pods by the selectors and ports of the chart's PodMonitors. It reaches pods by their addresses, as
Prometheus in the cluster does, so the cluster must be on this machine. The embedded one enforces no NetworkPolicies, so this does not show
that `monitoring.from` lets anybody in.
"""

import json
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from dev import prometheus
from dev.cluster.stages import StageError, wait_until
from dev.demo import progress
from dev.demo.ask import connect_gateway
from dev.demo.autoscale import demonstrate_autoscale
from dev.demo.canary import SECONDS, demonstrate_canary, replace_spec
from dev.demo.kube import CHART, RELEASE, REPOSITORY, Kube, KubeError, Object
from dev.demo.load import QUESTIONS, USERS, Load
from dev.monitoring.files import MANIFESTS
from dev.pictures.ask import QueryError, connect
from dev.pictures.draw_files import PICTURES, Request, draw_files
from dev.pictures.scrape import build_job, find_endpoint, list_targets

FOLDER = REPOSITORY / ".build" / "dashboards"
"""Configuration, log and data of the Prometheus; they stay until the next run, to draw again."""
DATA = FOLDER / "data"
EVERY_SECONDS = 5
"""Seconds between two scrapes, and between two looks for new pods: pods of the demo live for minutes."""
REACH_SECONDS = 60
PORTS = ("http", "agent", "metrics")
"""Names of the ports that the dashboards need: those of operator, gateway and replica. Ray's has names of its own."""
COST = {"currency": "EUR", "perReplicaHour": "0.10"}
"""A price, so that the panels of cost have data; it is made up."""
TOKENS = 48
"""Tokens of the readers' answers, where a story does not set others."""
READERS_PER_SECOND, READERS_AT_ONCE = 0.3, 2
"""The canary's own load has no streams, and so no first tokens."""
MAY_BE_EMPTY = (
    # Nothing is wrong at the end, and the operator made no error.
    "What is wrong, and why",
    "Errors by kind",
    # Nobody cut an answer off.
    "Answers that were cut off, by who did",
    # The demo has no golden set, no experiment, no votes and no first window.
    "Score in the golden set",
    "Outcome",
    "Difference to the control, with its interval",
    "Requests and users that were counted",
    "By how much an arm costs more",
    "Mean vote of users, by arm and revision",
    "Difference to the first window",
)
"""Panels of what this demo does not use."""
SCALED = ("llmdeployment-autoscaling",)
ROLLED = (
    "llmdeployment-fleet",
    "llmdeployment-one",
    "llmdeployment-rollout",
    "llmdeployment-gateway",
    "llmdeployment-operator",
)
"""Dashboards that are drawn after the canaries; the other after the autoscaling."""

SOURCE = "the metrics of `make dashboard-pictures` on a local cluster"

Say = Callable[[str], None]


def demonstrate_dashboards(kube: Kube, name: str, sample: str, say: Say) -> None:
    """Run both stories under a Prometheus, and draw.

    Raises:
        StageError: a story failed, Prometheus reaches no pod, or a query has no data.
    """
    priced, problems = price_sample(sample), list[str]()
    try:
        with scrape_demo(kube) as url:
            with (
                drawing(url, request_boards(kube, name, ROLLED), problems, say),
                connect_gateway(kube, name) as gateway,
                read_streams(gateway, name),
            ):
                demonstrate_canary(kube, name, priced, say)
            with drawing(url, request_boards(kube, name, SCALED), problems, say):
                demonstrate_autoscale(kube, name, priced, say)
    finally:
        replace_spec(kube, name, yaml.safe_load(sample)["spec"])
        progress.wait_ready(kube, name, SECONDS, say)
    if problems:
        raise StageError("not every dashboard was drawn", advice="the queries without data are above")  # fmt: skip


def price_sample(sample: str) -> str:
    """Return the demo's sample with a price, and with answers that end soon."""
    body = yaml.safe_load(sample)
    spec = body["spec"]
    defaults = {**spec.get("prompt", {}).get("defaults", {}), "max_tokens": TOKENS}
    prompt = {**spec.get("prompt", {}), "defaults": defaults}
    return yaml.safe_dump({**body, "spec": {**spec, "prompt": prompt, "cost": COST}})


def build_stream(number: int) -> tuple[str, dict[str, Any]]:
    """Return a question with a streamed answer; the revision sets its length."""
    message = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
    return f"reader-{number % USERS}", {"messages": [message], "stream": True}


def read_streams(url: str, name: str) -> Load:
    """Return a light load of streams."""
    return Load(url, name, READERS_PER_SECOND, build_stream, at_once=READERS_AT_ONCE)


def request_boards(kube: Kube, name: str, boards: tuple[str, ...]) -> Request:
    """Return what to draw; the minutes are known at the end."""
    choices = {"namespace": kube.namespace, "name": name}
    return Request(choices, 0, EVERY_SECONDS, MAY_BE_EMPTY, boards, SOURCE)


@contextmanager
def drawing(url: str, request: Request, problems: list[str], say: Say) -> Iterator[None]:
    """Draw dashboards of the time of the block after it, also if its story fails: the pictures show why.

    Queries without data are printed and added to `problems`, so that the next story is not lost.
    """
    began = time.time()
    try:
        yield
    finally:
        whole = replace(request, minutes=max(1, (time.time() - began) / 60))
        say(f"\n== dashboards of the last {whole.minutes:.0f} minutes")
        try:
            for path in draw_files(connect(url), whole, PICTURES):
                say(f"  {path.name}")
        except QueryError as error:
            problems.append(str(error))
            say(f"error: {error}\nto draw again what was scraped: {describe_command(whole)}")


def describe_command(request: Request) -> str:
    """Return the command that draws a request from the data that stay."""
    words = [f"--{key}={value}" for key, value in request.choices.items()]
    words += [f"--minutes={request.minutes:.1f}", f"--scrape-seconds={request.scrape_seconds}"]
    words.append(f"--source={request.source}")
    words += [f"--board={uid}" for uid in request.boards]
    words += [f"--may-be-empty={title}" for title in request.may_be_empty]
    return shlex.join([".venv/bin/python", "-m", "dev.pictures", f"--data={DATA}", *words])


@contextmanager
def scrape_demo(kube: Kube) -> Iterator[str]:
    """Scrape the demo's pods inside of `with`, and yield the address of Prometheus.

    Raises:
        StageError: Prometheus cannot be had, or reaches no pod.
    """
    programs = prometheus.ensure()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    monitors = render_monitors(kube)
    config = build_config(monitors, EVERY_SECONDS, MANIFESTS / "monitoring" / "rules.yaml")
    write_targets(monitors, list_pods(kube))
    stop = threading.Event()
    follow = threading.Thread(target=follow_pods, args=(kube, monitors, stop), daemon=True)
    follow.start()
    try:
        with prometheus.run(programs, config, FOLDER, DATA) as url:
            wait_until(
                lambda: not find_unreached(url, monitors),
                "Prometheus reaches the operator, a gateway and a replica",
                seconds=REACH_SECONDS,
                advice=f"pods' addresses must be reachable from this machine; {url}/targets says why not",
            )
            yield url
    finally:
        stop.set()
        follow.join()


def render_monitors(kube: Kube) -> list[Object]:
    """Return the PodMonitors that the chart makes for the demo's namespace."""
    text = kube.system.helm(
        "template",
        RELEASE,
        str(CHART),
        f"--set=watch.namespaces={{{kube.namespace}}}",
        "--set=monitoring.enabled=true",
        # A template asks no cluster which versions it has.
        "--kube-version=1.30.0",
        "--api-versions=monitoring.coreos.com/v1/PodMonitor",
        "--show-only=templates/monitoring.yaml",
    )
    return [each for each in yaml.safe_load_all(text) if each]


def build_config(monitors: Sequence[Object], seconds: int, *rules: Path) -> str:
    """Return the configuration of a Prometheus that scrapes by PodMonitors."""
    jobs = [build_job(each, str(locate_targets(each))) for each in monitors]
    often = {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"}
    found = {"global": often, "rule_files": [str(rule) for rule in rules], "scrape_configs": jobs}
    return yaml.safe_dump(found)


def locate_targets(monitor: Object) -> Path:
    """Return the file with the targets of a PodMonitor."""
    return FOLDER / f"targets-{monitor['metadata']['name']}.json"


def list_pods(kube: Kube) -> list[Object]:
    """Return the pods of the demo and of its operator."""
    return [*kube.all("pods"), *kube.system.all("pods")]


def write_targets(monitors: Sequence[Object], pods: Sequence[Object]) -> None:
    """Write the targets of all PodMonitors, each file at once, because Prometheus watches it."""
    for monitor in monitors:
        path = locate_targets(monitor)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(list_targets(monitor, pods)), encoding="utf-8")
        new.replace(path)


def follow_pods(kube: Kube, monitors: Sequence[Object], stop: threading.Event) -> None:
    """Write the targets again and again."""
    while not stop.wait(EVERY_SECONDS):
        try:
            write_targets(monitors, list_pods(kube))
        except KubeError:
            # Pods that are there stay targets, and the next look is soon.
            continue


def find_unreached(url: str, monitors: Sequence[Object]) -> set[str]:
    """Return the PodMonitors that the dashboards need and of which no pod is up."""
    rows = connect(url)("query", {"query": "count by (job) (up == 1)"})["result"]
    needed = {each["metadata"]["name"] for each in monitors if find_endpoint(each)["port"] in PORTS}
    return needed - {row["metric"]["job"] for row in rows}
