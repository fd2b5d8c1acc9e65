"""The node's own two images. Each is one static program, so they need no builder."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from dev.cluster import tools
from dev.cluster.paths import NODE, RUN
from dev.cluster.stages import StageError, run_logged

PAUSE = "localhost/llmdeployment/pause:1"
COREDNS = f"localhost/llmdeployment/coredns:{tools.COREDNS}"


def write_archive(path: Path, reference: str, program: Path) -> None:
    """Write a docker-archive of an image that holds one program and runs it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        add_file(tar, f"usr/bin/{program.name}", program.read_bytes(), 0o755)
        add_file(tar, "etc/passwd", b"nonroot:x:65532:65532::/:/none\n", 0o644)
    data = layer.getvalue()
    config = {
        "architecture": find_architecture(),
        "os": "linux",
        "config": {"Entrypoint": [f"/usr/bin/{program.name}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]},
    }
    text = json.dumps(config).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        add_file(tar, name, text, 0o644)
        add_file(tar, "layer.tar", data, 0o644)
        add_file(tar, "manifest.json", json.dumps(manifest).encode(), 0o644)


def add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    """Add one file of root's, with no date, so that equal input gives an equal image."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def find_architecture() -> str:
    """Return this machine's architecture in Go's words."""
    done = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def build_ctr_command(*arguments: str) -> list[str]:
    """Return a command line for the node's containerd."""
    return ["ctr", f"--address={RUN / 'containerd.sock'}", "--namespace=k8s.io", *arguments]


def list_present() -> set[str]:
    """Return the references of all images on the node."""
    done = subprocess.run(
        build_ctr_command("images", "ls", "-q"), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StageError(f"containerd cannot list its images: {done.stderr.strip()}")
    return set(done.stdout.split())


def load(path: Path) -> None:
    """Put a docker-archive's image on the node."""
    command = build_ctr_command("images", "import", str(path))
    run_logged(
        command,
        NODE / "logs" / "images.log",
        advice="check that it is a docker-archive and that the node runs (`python3 -m dev.cluster up`)",
    )


def ensure() -> None:
    """Load the node's own images onto it."""
    here = list_present()
    for reference, program in ((PAUSE, "pause"), (COREDNS, "coredns")):
        if reference not in here:
            scratch = RUN / f"{program}.tar"
            write_archive(scratch, reference, Path(tools.find(program)))
            load(scratch)
            scratch.unlink()
