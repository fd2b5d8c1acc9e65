"""A registry for images and charts, on this machine alone."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from dev.cluster import go_builds
from tests.support.ports import free_port
from tests.support.until import until

PROGRAM = "github.com/distribution/distribution/v3/cmd/registry"
VERSION = "v3.0.0"


@contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """Run a registry with its files in a folder; the value is its host and port.

    Raises:
        StageError: it cannot be built here.
    """
    program = go_builds.install(PROGRAM, VERSION) / "registry"
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with subprocess.Popen([program, "serve", folder / "config.yaml"]) as process:
        try:
            until(lambda: _is_answering(host), 20, "the registry answers")
            yield host
        finally:
            process.terminate()


def _is_answering(host: str) -> bool:
    try:
        with urllib.request.urlopen(
            f"http://{host}/v2/", timeout=5
        ):  # because it is our own http address
            return True
    except urllib.error.URLError:
        return False
