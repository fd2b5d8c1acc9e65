"""`python -m dev.demo up` starts a model from nothing, and `down` removes everything.

Between the two, `canary` changes and `autoscale` scales it under load, `experiment` compares two prompts beside it, `console` serves the
web page on it, and `dashboards` draws Grafana's dashboards from its metrics.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai

from dev import images
from dev.cluster.stages import StageError, stage
from dev.demo import kube as local
from dev.demo import progress, volumes
from dev.demo.ask import Answer, ask, connect_gateway
from dev.demo.autoscale import demonstrate_autoscale
from dev.demo.canary import demonstrate_canary
from dev.demo.console import demonstrate_console
from dev.demo.dashboards import demonstrate_dashboards
from dev.demo.experiment import demonstrate_experiment
from dev.demo.kube import Kube, KubeError

NAMESPACE = "llm-demo"
SAMPLES_NAMESPACE = "default"
"""The namespace where the samples run unchanged too, for somebody who goes on from here."""
NAME = "smollm2"
SAMPLE = local.REPOSITORY / "manifests" / "samples" / "smollm2-cpu.yaml"
CLAIMS = ("models", local.ENVIRONMENT_CLAIM)
QUESTION = "What is the capital of France?"
EXPECTED = "Paris"
"""Text of a correct answer: a model that computes wrongly gives an answer too."""
READY_SECONDS = 600
"""Seconds that the model may take to be ready."""


class Clock:
    """Durations of the stages."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.rows: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Print a heading and measure the block below it."""
        say(f"\n== {title}")
        started = time.monotonic()
        yield
        self.rows.append((title, time.monotonic() - started))

    def table(self) -> None:
        """Print all stages and their sum."""
        for title, seconds in [*self.rows, ("all", time.monotonic() - self.started)]:
            say(f"  {title:<40}{seconds:>8.1f} s")


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("command", choices=list(COMMANDS))
    command = parser.parse_args().command
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        COMMANDS[command]()
    except StageError as error:
        say(error.explain(), error=True)
        return 1
    except openai.OpenAIError as error:
        say(f"error: the request through the gateway failed: {error}", error=True)
        progress.explain(local.connect(NAMESPACE), NAME)
        return 1
    except KeyboardInterrupt:
        say(
            "\nStopped. `make demo` continues from here; `make demo-down` removes the demo.",
            error=True,
        )
        return 130
    return 0


def up() -> None:
    """Start the model and ask it a question."""
    clock = Clock()
    # The first time, this compiles programs and downloads packages: neither waits for the other.
    with (
        local.running_module("dev.model") as finish_model,
        local.running_module("dev.images", "--no-load") as finish_images,
        local.running_module("dev.cluster", "tool", "helm") as finish_helm,
    ):
        with clock.stage("cluster"):
            local.run_module("dev.cluster", "up")
            finish_helm()
        with clock.stage("packages and model"):
            model = Path(finish_model())
            environment = Path(local.run_module("dev.serving_env"))
        with clock.stage("images"):
            finish_images()
            local.run_module("dev.images")
    kube = local.connect(NAMESPACE)
    with clock.stage("operator (helm install)"):
        kube.ensure_namespace()
        with stage("claims for the model and the packages"):
            folders = dict(zip(CLAIMS, (model.parent, environment), strict=True))
            for each in (kube, local.connect(SAMPLES_NAMESPACE)):
                volumes.provide(each, folders)
        with stage("operator ready"):
            install(kube)
    with clock.stage(f"kubectl apply -f {SAMPLE.relative_to(local.REPOSITORY)}"):
        kube.run("apply", f"--filename={SAMPLE}")
        wait_for_model(kube)
    with clock.stage("first answer"):
        answer = talk(kube)
    say(f"\n{kube.run('get', 'llm').rstrip()}\n")
    clock.table()
    say(
        f"\n  first token after {answer.first * 1000:.0f} ms, {answer.tokens} tokens in "
        f"{answer.seconds:.2f} s: {answer.tokens / answer.seconds:.1f} tokens/s"
    )
    print_next_steps(kube)


def install(kube: Kube) -> None:
    """Install the operator; a new image restarts its pod."""
    watched = f"--set=watch.namespaces={{{NAMESPACE},{SAMPLES_NAMESPACE}}}"
    key = r"podAnnotations.llmdeployment\.dev/image"
    operator = next(image for image in images.OWN if image.name == "operator")
    try:
        kube.install_operator(watched, f"--set-string={key}={images.find_revision(operator)}")
    except KubeError:
        progress.explain(kube, NAME)
        raise


def wait_for_model(kube: Kube) -> None:
    """Wait for the model; print an explanation if it does not get ready."""
    try:
        progress.wait_ready(kube, NAME, READY_SECONDS, say)
    except StageError as error:
        progress.explain(kube, NAME)
        error.advice = (
            "the Ready condition above names the cause. `make demo` continues from here; "
            "`make demo-down` removes the demo, to start over"
        )
        raise


def talk(kube: Kube) -> Answer:
    """Ask the question and print the streamed answer."""
    with connect_gateway(kube, NAME) as url:
        say(f"  question: {QUESTION}\n  answer:   ", end="")
        answer = ask(url, NAME, QUESTION, lambda piece: say(piece, end=""))
        say("")
    check_answer(answer.text)
    return answer


def check_answer(text: str) -> None:
    """Check that an answer is the expected one.

    Raises:
        StageError: the answer does not name Paris.
    """
    if EXPECTED in text:
        return
    raise StageError(
        f"the answer is wrong: it does not name {EXPECTED}",
        advice="the engine computes wrongly on this machine. Look for its kernels in `kubectl logs` of the worker pod",
    )


def print_next_steps(kube: Kube) -> None:
    """Print commands to try next."""
    say(
        f"\nTry next, after `export KUBECONFIG={kube.kubeconfig}`:\n"
        f"  kubectl -n {NAMESPACE} scale llm/{NAME} --replicas=2\n"
        f"  kubectl -n {NAMESPACE} patch llm/{NAME} --type=merge "
        """-p '{"spec":{"prompt":{"system":"Answer like a pirate."}}}'\n"""
        f"  kubectl -n {NAMESPACE} delete pod -l llmdeployment.dev/component=head  "
        "# answers continue\n"
        "`make demo-down` removes the demo; `make cluster-down` removes the cluster too."
    )


def run_canary() -> None:
    """Change the running demo under load."""
    run_story(demonstrate_canary)


def run_autoscale() -> None:
    """Let the running demo scale under load."""
    run_story(demonstrate_autoscale)


def run_experiment() -> None:
    """Compare two prompts beside the running demo."""
    run_story(lambda kube, _name, _sample, say: demonstrate_experiment(kube, say))


def run_console() -> None:
    """Serve the console on the running demo."""
    run_story(lambda kube, _name, _sample, _say: demonstrate_console(kube))


def run_dashboards() -> None:
    """Draw the dashboards from the running demo's metrics."""
    run_story(demonstrate_dashboards)


def run_story(story: Callable[[Kube, str, str, Callable[[str], None]], None]) -> None:
    """Run a story on the demo; start the demo first if it does not run."""
    if not is_up():
        up()
    kube = local.connect(NAMESPACE)
    try:
        story(kube, NAME, SAMPLE.read_text(), say)
    except StageError:
        progress.explain(kube, NAME)
        raise


def is_up() -> bool:
    """Return whether the demo runs."""
    try:
        return local.connect(NAMESPACE).get("llm", NAME) is not None
    except StageError:
        return False


def down() -> None:
    """Remove the release, the model, the volumes and the namespaces."""
    kube = local.connect(NAMESPACE)
    if kube.get("namespace", NAMESPACE) is None:
        say("There is no demo to remove.")
        return
    samples = local.connect(SAMPLES_NAMESPACE)
    with stage("LLMDeployments"):
        if kube.get("crd", "llmdeployments.llmdeployment.dev") is not None:
            kube.run("delete", "llm", "--all", "--wait")
            samples.run("delete", "llm", "--all", "--wait")
    with stage("operator (helm uninstall)"):
        kube.uninstall_operator()
    with stage("pods end"):
        # Kubernetes checks a deleted namespace with pods again only after half their longest grace period: 330 s here.
        kube.run("wait", "--for=delete", "pod", "--all", "--timeout=170s", seconds=180)
    with stage("namespaces and volumes"):
        names = (NAMESPACE, kube.system.namespace)
        kube.run("delete", "namespace", *names, "--ignore-not-found", "--wait", seconds=180)
        samples.run("delete", "pvc", *CLAIMS, "--ignore-not-found", seconds=180)
        for each in (kube, samples):
            volumes.remove(each)


COMMANDS: dict[str, Callable[[], None]] = {
    "up": up,
    "canary": run_canary,
    "autoscale": run_autoscale,
    "experiment": run_experiment,
    "console": run_console,
    "dashboards": run_dashboards,
    "down": down,
}


def say(text: str, *, end: str = "\n", error: bool = False) -> None:
    """Print and flush, for somebody who follows the output in a file."""
    print(text, end=end, flush=True, file=sys.stderr if error else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
