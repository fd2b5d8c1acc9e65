"""The site of the pages: `make docs` builds it into .build/site/site, and fails if a link leads nowhere.

Zensical builds it from mkdocs.yml, in an environment of its own in the cache. Pages link to files outside docs/ too; the site gets a
copy of each below `repository/`.
"""

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage
from dev.serving_env import INTERPRETER, ensure_uv

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
BUILD = REPOSITORY / ".build" / "site"
REQUIREMENTS = REPOSITORY / "requirements" / "docs.txt"
OUTSIDE = "repository"
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def main() -> int:
    """Build the site."""
    try:
        copy_pages()
        program = ensure_program()
        with stage("site"):
            command = [str(program), "build", "--clean", "--strict"]
            log = ensure_cache() / "logs" / "site.log"
            run_logged(command, log, cwd=BUILD, advice="correct the links that it names")
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    print(BUILD / "site" / "index.html")
    return 0


def ensure_program() -> Path:
    """Return the path of Zensical, and install it if it is missing.

    Raises:
        StageError: it cannot be installed here; the message says why.
    """
    cache = ensure_cache()
    folder = cache / f"zensical-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]}"
    complete, log = folder / "complete", cache / "logs" / "zensical.log"
    with hold_lock(cache / "locks" / "zensical.lock"):
        if not complete.exists():
            with stage("zensical"):
                uv = ensure_uv()
                make = [uv, "venv", "--quiet", "--clear", "--python", INTERPRETER, str(folder)]
                run_logged(make, log)
                sync = [uv, "pip", "sync", "--quiet", "--python", str(folder / "bin/python")]
                advice = "connect this machine to the package index, and run this again"
                run_logged([*sync, "--require-hashes", str(REQUIREMENTS)], log, advice=advice)
            complete.touch()
    return folder / "bin" / "zensical"


def copy_pages() -> None:
    """Copy the pages, with the files outside docs/ that they link to and mkdocs.yml, to where the site is built."""
    shutil.rmtree(BUILD, ignore_errors=True)
    waiting = [path for path in DOCS.rglob("*") if path.is_file()]
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        target = BUILD / "docs" / locate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copyfile(path, target)
            continue
        text = path.read_text(encoding="utf-8")
        target.write_text(rewrite_links(text, path), encoding="utf-8")
        waiting += [linked for linked in list_linked(text, path) if linked.is_file()]
    shutil.copyfile(REPOSITORY / "mkdocs.yml", BUILD / "mkdocs.yml")


def locate(path: Path) -> Path:
    """Return where a file of the repository is on the site.

    >>> locate(DOCS / "start/on-kind.md"), locate(REPOSITORY / ".github/CODEOWNERS")
    (PosixPath('start/on-kind.md'), PosixPath('repository/github/CODEOWNERS'))
    """
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS)
    # A site leaves out what begins with a dot.
    parts = [part.removeprefix(".") for part in path.relative_to(REPOSITORY).parts]
    return Path(OUTSIDE, *parts)


def list_linked(text: str, page: Path) -> list[Path]:
    """Return the files of the repository that a page links to."""
    links = [match[1] for match in _LINK.finditer(text)]
    return [Path(os.path.normpath(page.parent / link)) for link in links if ":" not in link]


def rewrite_links(text: str, page: Path) -> str:
    """Return the page with its links as they are on the site. A link to a folder becomes its text alone."""

    def rewrite(match: re.Match[str]) -> str:
        linked = Path(os.path.normpath(page.parent / match[1]))
        if ":" in match[1] or not linked.exists():
            return match[0]
        if linked.is_dir():
            return "]"
        link = os.path.relpath(locate(linked), locate(page).parent)
        return f"]({link}{match[2] or ''})"

    return _LINK.sub(rewrite, text)


if __name__ == "__main__":
    sys.exit(main())
