"""`python -m dev.demo up` brings a model up from nothing; `canary` changes and `autoscale` scales it under load; `down` removes it all."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai

from dev import images
from dev.cluster import tools
from dev.cluster.stages import StageError, stage
from dev.demo import kube as local
from dev.demo import progress, volumes
from dev.demo.ask import Answer, ask, connect_gateway
from dev.demo.autoscale import demonstrate_autoscale
from dev.demo.canary import demonstrate_canary
from dev.demo.kube import Kube, KubeError

NAMESPACE = "llm-demo"
NAME = "smollm2"
SAMPLE = local.REPOSITORY / "manifests" / "samples" / "smollm2-cpu.yaml"
QUESTION = "What is the capital of France?"
EXPECTED = "Paris"
"""What a right answer holds: a model that computes wrongly answers too."""
READY_SECONDS = 600


class Clock:
    """What each stage took."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.rows: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Time a block, under a heading."""
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
    parser.add_argument("command", choices=["up", "canary", "autoscale", "down"])
    command = parser.parse_args().command
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        {"up": up, "canary": run_canary, "autoscale": run_autoscale, "down": down}[command]()
    except StageError as error:
        say(error.explain(), error=True)
        return 1
    except openai.OpenAIError as error:
        say(f"error: the gateway's answer: {error}", error=True)
        progress.explain(local.connect(NAMESPACE), NAME)
        return 1
    except KeyboardInterrupt:
        say("\nstopped; `make demo` goes on from here, `make demo-down` removes it", error=True)
        return 130
    return 0


def up() -> None:
    """Bring the model up and ask it."""
    clock = Clock()
    with clock.stage("cluster"):
        local.run_module("dev.cluster", "up")
        tools.find("helm")
    with clock.stage("packages and model"):
        environment = Path(local.run_module("dev.serving_env"))
        model = Path(local.run_module("dev.model"))
    with clock.stage("images"):
        local.run_module("dev.images")
    kube = local.connect(NAMESPACE)
    with clock.stage("operator (helm install)"):
        kube.ensure_namespace()
        with stage("claims for the model and the packages"):
            volumes.provide(kube, {"models": model.parent, "serving-env": environment})
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
    """Install the operator, with its pod restarted when its image is another one."""
    key = r"podAnnotations.llmdeployment\.dev/image"
    operator = next(image for image in images.IMAGES if image.name == "operator")
    try:
        kube.install_operator(f"--set-string={key}={images.find_revision(operator)}")
    except KubeError:
        progress.explain(kube, NAME)
        raise


def wait_for_model(kube: Kube) -> None:
    """Wait for the model, and explain when it does not come."""
    try:
        progress.wait_ready(kube, NAME, READY_SECONDS, say)
    except StageError as error:
        progress.explain(kube, NAME)
        error.advice = (
            "the Ready condition above names the cause; `make demo` again goes on from here, "
            "`make demo-down` starts over"
        )
        raise


def talk(kube: Kube) -> Answer:
    """Ask the question and print the answer as it comes."""
    with connect_gateway(kube, NAME) as url:
        say(f"  question: {QUESTION}\n  answer:   ", end="")
        answer = ask(url, NAME, QUESTION, lambda piece: say(piece, end=""))
        say("")
    check_answer(answer.text)
    return answer


def check_answer(text: str) -> None:
    """Refuse an answer that is not the known one.

    Raises:
        StageError: the answer does not name Paris.
    """
    if EXPECTED in text:
        return
    raise StageError(
        f"the answer is wrong: it does not name {EXPECTED}",
        advice="the engine computes wrongly on this machine; `kubectl logs` of the worker pod shows its kernels",
    )


def print_next_steps(kube: Kube) -> None:
    """Print what to try now."""
    say(
        f"\nTry next, after `export KUBECONFIG={kube.kubeconfig}`:\n"
        f"  kubectl -n {NAMESPACE} scale llm/{NAME} --replicas=2\n"
        f"  kubectl -n {NAMESPACE} patch llm/{NAME} --type=merge "
        """-p '{"spec":{"prompt":{"system":"Answer like a pirate."}}}'\n"""
        f"  kubectl -n {NAMESPACE} delete pod -l llmdeployment.dev/component=head  "
        "# answers go on\n"
        "`make demo-down` removes it all, `make cluster-down` the cluster too."
    )


def run_canary() -> None:
    """Change the running demo under load."""
    run_story(demonstrate_canary)


def run_autoscale() -> None:
    """Let the running demo scale under load."""
    run_story(demonstrate_autoscale)


def run_story(story: Callable[[Kube, str, str, Callable[[str], None]], None]) -> None:
    """Tell a story of the running demo; bring it up first if it is not."""
    if not is_up():
        up()
    kube = local.connect(NAMESPACE)
    try:
        story(kube, NAME, SAMPLE.read_text(), say)
    except StageError:
        progress.explain(kube, NAME)
        raise


def is_up() -> bool:
    """Return whether there is a demo to change."""
    try:
        return local.connect(NAMESPACE).get("llm", NAME) is not None
    except StageError:
        return False


def down() -> None:
    """Remove the release, the model, the volumes and the namespace."""
    kube = local.connect(NAMESPACE)
    if kube.get("namespace", NAMESPACE) is None:
        say("there is no demo")
        return
    with stage("LLMDeployments"):
        if kube.get("crd", "llmdeployments.llmdeployment.dev") is not None:
            kube.run("delete", "llm", "--all", "--wait")
    with stage("operator (helm uninstall)"):
        kube.helm("uninstall", local.RELEASE, "--ignore-not-found", "--wait")
    with stage("pods end"):
        # A namespace that is deleted with pods in it is looked at again after half their longest grace period: 330 s here.
        kube.run("wait", "--for=delete", "pod", "--all", "--timeout=170s", seconds=180)
    with stage("namespace and volumes"):
        kube.run("delete", "namespace", NAMESPACE, "--wait", seconds=180)
        volumes.remove(kube)


def say(text: str, *, end: str = "\n", error: bool = False) -> None:
    """Print at once, also into a file that somebody follows."""
    print(text, end=end, flush=True, file=sys.stderr if error else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
