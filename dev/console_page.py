"""Builds the console's page from console/web: `python3 -m dev.console_page` prints the folder, which is in the console's package.

The page is built by Vite on Node.js and is not committed. It is built again only if a file of console/web changed. Node.js with npm is
the machine's, if it is new enough for Vite; else it comes from the Python package index into the cache (Debian 12 has an older one).
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage
from dev.serving_env import INTERPRETER, ensure_uv

REPOSITORY = Path(__file__).resolve().parent.parent
WEB = REPOSITORY / "console" / "web"
PAGE = REPOSITORY / "console" / "src" / "llmdeployment_console" / "page"
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
"""The pages of the conditions' reasons. They are a part of the page, so that its links lead somewhere without a site of the docs."""
REQUIREMENTS = REPOSITORY / "requirements" / "node.txt"
MADE = ("node_modules", "dist")
"""Folders of console/web that are made there, and are no part of its hash."""
HASH = "source.sha256"
"""The file beside the page that holds the hash of what it was made from."""
_NETWORK = "connect this machine to the registries of npm and Python, and run this again"


@dataclass(frozen=True)
class Node:
    """Node.js.

    Attributes:
        folder: the folder that has `node` and `npm`.
    """

    folder: Path

    @property
    def npm(self) -> str:
        """The path of npm."""
        return str(self.folder / "npm")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which npm finds this Node.js before any other."""
        return {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"}


def main() -> int:
    """Build the page and print its folder."""
    parser = argparse.ArgumentParser(description="Build the console's page.")
    parser.add_argument(
        "--check", action="store_true", help="check its types and run its unit tests"
    )
    options = parser.parse_args()
    try:
        if options.check:
            check()
        print(ensure())
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


def ensure() -> Path:
    """Return the folder of the page, and build it if it is missing or older than its source.

    Raises:
        StageError: it cannot be built here; the message says why.
    """
    with hold_lock(_locate_lock()):
        digest = hash_source(WEB, RUNBOOKS)
        if read_hash(PAGE) != digest:
            node = ensure_packages()
            with stage("console page"):
                run_logged([node.npm, "run", "build"], _locate_log(), cwd=WEB, env=node.environment)
                install(WEB / "dist", RUNBOOKS, PAGE, digest)
    return PAGE


def check() -> None:
    """Check the types of the page's source and run its unit tests.

    Raises:
        StageError: one of them failed; the message has the end of its output.
    """
    with hold_lock(_locate_lock()):
        node = ensure_packages()
        for script in ("check", "test"):
            advice = f"run `npm run {script}` in console/web"
            run_logged(
                [node.npm, "run", script],
                _locate_log(),
                cwd=WEB,
                env=node.environment,
                advice=advice,
            )


def ensure_packages() -> Node:
    """Install the packages of package-lock.json into console/web if they are not there yet, and return Node.js."""
    node = find_node() or install_node()
    digest = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    mark = WEB / "node_modules" / ".lock.sha256"
    if not mark.exists() or mark.read_text(encoding="utf-8") != digest:
        with stage("packages of the console page"):
            # Scripts of packages are not run: none of ours needs one.
            command = [node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            run_logged(command, _locate_log(), cwd=WEB, env=node.environment, advice=_NETWORK)
            mark.write_text(digest, encoding="utf-8")
    return node


def find_node() -> Node | None:
    """Return the machine's Node.js if it has npm and is new enough, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    folder = Path(node).parent
    usable = is_new_enough(done.stdout.strip()) and (folder / "npm").exists()
    return Node(folder) if usable else None


def is_new_enough(version: str) -> bool:
    """Whether Vite runs on this version of Node.js.

    >>> [is_new_enough(each) for each in ("v18.20.4", "v20.18.0", "v20.19.0", "v21.7.3", "v22.12.0", "v24.1.0", "")]
    [False, False, True, False, True, True, False]
    """
    found = re.fullmatch(r"v(\d+)\.(\d+)\.\d+", version)
    if found is None:
        return False
    numbers = (int(found[1]), int(found[2]))
    return (20, 19) <= numbers < (21, 0) or numbers >= (22, 12)


def install_node() -> Node:
    """Install Node.js into the cache if it is not there yet, and return it."""
    cache, log = ensure_cache(), _locate_log()
    folder = cache / f"node-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]}"
    complete = folder / "complete"
    if not complete.exists():
        with stage("Node.js"):
            uv = ensure_uv()
            make = [uv, "venv", "--quiet", "--clear", "--python", INTERPRETER, str(folder)]
            run_logged(make, log)
            sync = [uv, "pip", "sync", "--quiet", "--python", str(folder / "bin" / "python")]
            run_logged([*sync, "--require-hashes", str(REQUIREMENTS)], log, advice=_NETWORK)
            complete.touch()
    return Node(folder / "bin")


def hash_source(*folders: Path) -> str:
    """Return the hash of all files that the page is made from, with their names."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and name.parts[0] not in MADE:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{content} {name.as_posix()}\n".encode())
    return digest.hexdigest()


def read_hash(page: Path) -> str | None:
    """Return the hash of the source of a page that is complete, or None."""
    path = page / HASH
    return path.read_text(encoding="utf-8") if path.exists() else None


def install(built: Path, runbooks: Path, page: Path, digest: str) -> None:
    """Put a built page and the runbooks in place of the last ones; the hash comes last, so half a page is never taken for a whole one."""
    shutil.rmtree(page, ignore_errors=True)
    shutil.copytree(built, page)
    shutil.copytree(runbooks, page / "runbooks")
    (page / HASH).write_text(digest, encoding="utf-8")


def _locate_log() -> Path:
    return ensure_cache() / "logs" / "console-page.log"


def _locate_lock() -> Path:
    # Clones of the project have each a page of their own, but one Node.js in the cache.
    return ensure_cache() / "locks" / "console-page.lock"


if __name__ == "__main__":
    sys.exit(main())
