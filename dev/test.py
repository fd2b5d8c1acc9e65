"""Runs every test that this machine can run: `python -m dev.test`, in the project's environment.

There are five stages, each a run of pytest. Tests that cannot run here are skipped and counted with their reason; they are no failures.
LLMD_TEST_STAGES chooses stages (comma-separated). Arguments are passed to pytest.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dev.cluster.choose import NoClusterError, choose_here
from dev.cluster.embedded import node

REPOSITORY = Path(__file__).resolve().parent.parent
STAGES = ("unit", "browser", "component", "chart", "e2e")
OPTIONS = {"unit": ("-n", "auto"), "browser": ("-n", "auto")}
"""Options of a stage. Tests of these share nothing, so each CPU runs some."""
NO_TESTS = 5
"""pytest's exit code if it found no tests, as with `-k`."""
PREPARATIONS = (
    ("cluster", ("dev.cluster", "up")),
    ("serving environment", ("dev.serving_env",)),
    ("model", ("dev.model",)),
    ("images", ("dev.images",)),
)
"""Programs that prepare end-to-end tests; each is quick if its work is done already."""


@dataclass
class Result:
    """The result of a stage.

    Attributes:
        name: the stage.
        counts: tests by outcome.
        reasons: why tests were skipped, and how many.
        failures: failed tests, one line each.
        seconds: its duration in seconds.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> int:
    """Run the stages and print their results."""
    wanted = os.environ.get("LLMD_TEST_STAGES", ",".join(STAGES)).replace(" ", "").split(",")
    if unknown := sorted(set(wanted) - set(STAGES)):
        print(
            f"LLMD_TEST_STAGES names unknown stages: {', '.join(unknown)}. Use {', '.join(STAGES)}.",
            file=sys.stderr,
        )
        return 2
    results = []
    for name in (each for each in STAGES if each in wanted):
        say(f"== {name}")
        started = time.monotonic()
        result = run(name, sys.argv[1:])
        result.seconds = time.monotonic() - started
        say(f"== {name}: {format_counts(result)} in {result.seconds:.0f} s\n")
        results.append(result)
    report(results)
    return 1 if any(result.failures for result in results) else 0


def run(name: str, options: list[str]) -> Result:
    """Run one stage."""
    result = Result(name)
    if name == "e2e":
        if reason := explain_no_cluster():
            result.counts["skipped"] += 1
            result.reasons[reason] += 1
            return result
        if failure := prepare():
            result.counts["failed"] += 1
            result.failures.append(failure)
            return result
    with tempfile.TemporaryDirectory() as scratch:
        outcome = Path(scratch) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={outcome}", f"tests/{name}"]
        command += OPTIONS.get(name, ())
        done = subprocess.run([*command, *options], cwd=REPOSITORY, check=False)
        if outcome.exists():
            read_report(outcome, result)
    if done.returncode not in (0, NO_TESTS) and not result.failures:
        result.counts["failed"] += 1
        result.failures.append(f"pytest exited with {done.returncode}; its output is above")
    return result


def explain_no_cluster() -> str | None:
    """Return why this machine can have no cluster, or None."""
    try:
        choose_here(embedded_exists=node.exists())
    except NoClusterError as error:
        return str(error)
    return None


def prepare() -> str | None:
    """Prepare end-to-end tests, and return what failed, or None."""
    for title, (module, *rest) in PREPARATIONS:
        say(f"-- {title}")
        command = [sys.executable, "-m", module, *rest]
        done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return f"preparation of the {title} failed; its output is above"
    return None


def read_report(path: Path, result: Result) -> None:
    """Read pytest's report."""
    # why: pytest has just written the file, so its XML can be trusted.
    for case in ET.parse(path).getroot().iter("testcase"):  # noqa: S314  # because pytest wrote the file
        name = f"{case.get('classname')}::{case.get('name')}"
        skipped = case.find("skipped")
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        if bad is not None:
            result.counts["failed"] += 1
            first = (bad.get("message") or "").strip().splitlines()
            result.failures.append(f"{name}: {first[0] if first else 'no message'}")
        elif skipped is not None:
            result.counts["skipped"] += 1
            result.reasons[(skipped.get("message") or "no reason").strip()] += 1
        else:
            result.counts["passed"] += 1


def format_counts(result: Result) -> str:
    """Return the counts as text."""
    return ", ".join(f"{result.counts[key]} {key}" for key in ("passed", "failed", "skipped"))


def report(results: list[Result]) -> None:
    """Print the table of results, then reasons of skips and failures."""
    say(f"{'stage':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for each in results:
        counts = each.counts
        row = f"{counts['passed']:>8}{counts['failed']:>8}{counts['skipped']:>9}"
        say(f"{each.name:<12}{row}{each.seconds:>9.0f}")
    for each in results:
        for reason, count in each.reasons.most_common():
            say(f"skipped, {each.name} ({count}): {reason}")
    for each in results:
        for failure in each.failures:
            say(f"FAILED, {each.name}: {failure}")


def say(line: str) -> None:
    """Print a line and flush, for somebody who follows the output in a file."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
