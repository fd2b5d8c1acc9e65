"""How a worker's container keeps the files that its init container linked to in the cache of its node."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from llmdeployment_serving.errors import ConfigError

FOLDER = "leases"
LOCK = Path("locks", "cache")
"""Held by whoever decides what a cache forgets."""
FOLDERS = (Path("/models/model"), Path("/adapter-downloads"))
"""Where the links are."""


def hold_model(environment: Mapping[str, str], folders: Iterable[Path] = FOLDERS) -> int | None:
    """Hold this pod's lease until this process, and those that it becomes, have ended.

    Returns:
        the descriptor of the lease; None: the pod has none, since it has no cache.

    Raises:
        ConfigError: the cache has lost files of the model while no container of the pod ran.
    """
    cache, pod = environment.get("LLMD_MODEL_CACHE"), environment.get("LLMD_POD_UID")
    if not cache or not pod:
        return None
    held = hold_lease(Path(cache), pod)
    links = (path for folder in folders for path in folder.rglob("*"))
    lost = next((path for path in links if not path.exists()), None)
    if lost is not None:
        raise ConfigError(
            f"{lost} has left the model cache while this pod did not run: delete the pod, and its successor fetches it"
        )
    return held


def hold_lease(cache: Path, pod: str) -> int | None:
    """Hold a pod's lease for as long as this process, and those that inherit the descriptor, run; None: there is no lease."""
    with _keep_still(cache):
        try:
            descriptor = os.open(cache / FOLDER / pod, os.O_RDONLY)
        except OSError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)
    return descriptor


@contextmanager
def _keep_still(cache: Path) -> Iterator[None]:
    """Wait until no pod decides what goes, and let none begin: it has seen this lease free, and may be about to remove it."""
    try:
        handle = (cache / LOCK).open("rb")
    except OSError:
        # Nobody has ever decided anything here.
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
