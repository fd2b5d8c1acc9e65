"""What share of small faults in the autoscaler and in the analysis the unit tests notice: a sample of mutants, by cosmic-ray.

    python -m bench.mutation [--mutants 100] [--seed 1] [--package autoscaler|analysis] [--show]

A mutant is the package with one operator, comparison or number changed. Each runs the package's own unit tests and docstring examples in
a copy of this checkout; a mutant is killed when one of them fails. Some survivors do what the original does (such as `>` for `>=` between
floats that are never equal), so 100 % is out of reach. The goal is 85 %. cosmic-ray is installed into the cache at the first run. Last
line: one JSON object.
"""

import argparse
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dev.cluster.paths import ensure_cache

REPOSITORY = Path(__file__).resolve().parent.parent
COSMIC_RAY = "8.7.0"
SOURCE = Path("operator/src/llmdeployment_operator")
SLOW = ("test_evidence.py", "test_recommend.py", "test_simulated.py")
"""Test files that take seconds; the others come first."""
EXCLUDED = re.compile(
    r"core/(Variable|RemoveDecorator|ExceptionReplacer"
    r"|ReplaceBinaryOperator_(BitOr_|.*_(BitAnd|BitOr|BitXor|LShift|RShift)$)"
    r"|ReplaceComparisonOperator_((?!Is).*_(Is|IsNot)|Is_Eq|IsNot_NotEq)$)"
)
"""Mutants that show nothing: nearly all of them fail at import or at the first float, whatever the tests are like."""
TIMEOUT_SECONDS = 180.0


def main() -> int:
    """Run the sample of each package, and print what survived."""
    options = parse_options()
    packages = (options.package,) if options.package else ("autoscaler", "analysis")
    program = ensure_cosmic_ray()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="llmd-mutation-") as scratch:
        copy = copy_checkout(Path(scratch) / "checkout")
        for package in packages:
            session = Path(scratch) / f"{package}.sqlite"
            results[package] = run_package(program, copy, package, session, options)
    print(json.dumps({"seed": options.seed, "cosmic_ray": COSMIC_RAY, "packages": results}))
    return 0


def parse_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=100, help="sample of each package")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--package", choices=("autoscaler", "analysis"))
    parser.add_argument("--show", action="store_true", help="print the diff of each survivor")
    return parser.parse_args()


def ensure_cosmic_ray() -> Path:
    """Return the path of cosmic-ray, and install it if it is missing; it is no dependency of the project."""
    home = ensure_cache() / f"cosmic-ray-{COSMIC_RAY}"
    program = home / "bin" / "cosmic-ray"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"cosmic-ray=={COSMIC_RAY}"], check=True)
    return program


def copy_checkout(target: Path) -> Path:
    """Copy the tracked files, because cosmic-ray changes sources in place."""
    target.mkdir()
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((REPOSITORY / name).read_bytes())
    return target


def run_package(
    program: Path, copy: Path, package: str, session: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Return how many mutants of a package were made, and how many its tests killed."""
    config = session.with_suffix(".toml")
    config.write_text(render_config(copy, package))
    call(program, copy, "init", str(config), str(session))
    made = sample_mutants(session, options.mutants, options.seed)
    print(f"{package}: {options.mutants} of {made} mutants", file=sys.stderr, flush=True)
    call(program, copy, "exec", str(config), str(session))
    outcomes = read_outcomes(session)
    survivors = [row for row in outcomes if row["outcome"] == "SURVIVED"]
    for row in survivors:
        print(f"survived: {row['module']}:{row['line']} {row['operator']}", file=sys.stderr)
        if options.show:
            print(row["diff"], file=sys.stderr)
    killed = len(outcomes) - len(survivors)
    percent = round(100 * killed / max(1, len(outcomes)), 1)
    return {"mutants": len(outcomes), "of": made, "killed": killed, "killed_percent": percent}


def render_config(copy: Path, package: str) -> str:
    """Return cosmic-ray's configuration: which modules, and which tests."""
    modules = [str(path) for path in sorted((copy / SOURCE / package).glob("*.py"))]
    tests = sorted(
        (copy / "tests/unit/operator" / package).glob("test_*.py"),
        key=lambda path: (path.name in SLOW, path.name),
    )
    names = [path.relative_to(copy).with_suffix("").as_posix() for path in map(Path, modules)]
    examples = [
        f"tests/unit/test_examples.py::test_examples[{name.removeprefix('operator/src/').replace('/', '.')}]"
        for name in names
        if ">>> " in (copy / f"{name}.py").read_text()
    ]
    ran = [*examples, *(path.relative_to(copy).as_posix() for path in tests)]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *ran]
    return "\n".join(
        (
            "[cosmic-ray]",
            f"module-path = {json.dumps(modules)}",
            f"timeout = {TIMEOUT_SECONDS}",
            "excluded-modules = []",
            f"test-command = {json.dumps(' '.join(command))}",
            "[cosmic-ray.distributor]",
            'name = "local"',
            "",
        )
    )


def call(program: Path, copy: Path, *arguments: str) -> None:
    """Run cosmic-ray in the copy, whose sources come before the installed ones."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "operator/src")}
    subprocess.run([str(program), *arguments], cwd=copy, env=environment, check=True)


def sample_mutants(session: Path, wanted: int, seed: int) -> int:
    """Keep `wanted` random mutants of the session, and return how many there were."""
    with sqlite3.connect(session) as database:
        rows = database.execute("SELECT job_id, operator_name FROM mutation_specs").fetchall()
        usable = sorted(job for job, name in rows if not EXCLUDED.match(name))
        kept = set(random.Random(seed).sample(usable, min(wanted, len(usable))))  # noqa: S311  # because it only chooses
        dropped = [(job,) for job, _ in rows if job not in kept]
        database.executemany("DELETE FROM mutation_specs WHERE job_id = ?", dropped)
        database.executemany("DELETE FROM work_items WHERE job_id = ?", dropped)
    return len(usable)


def read_outcomes(session: Path) -> list[dict[str, Any]]:
    """Return what became of each mutant."""
    query = (
        "SELECT module_path, start_pos_row, operator_name, test_outcome, diff FROM mutation_specs "
        "JOIN work_results USING (job_id)"
    )
    with sqlite3.connect(session) as database:
        return [
            {
                "module": Path(module).name,
                "line": line,
                "operator": operator,
                "outcome": outcome,
                "diff": diff,
            }
            for module, line, operator, outcome, diff in database.execute(query)
        ]


if __name__ == "__main__":
    sys.exit(main())
