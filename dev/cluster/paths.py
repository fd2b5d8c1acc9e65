"""Where the cluster keeps things.

What is built or downloaded belongs to the user and is shared by every clone of the project: the
cache. The embedded node belongs to the machine (it owns addresses and a bridge), so its folders are
fixed: two clones, or two caches, still mean one node.
"""

import os
from pathlib import Path

STATE = Path("/var/lib/llmdeployment")
"""What outlives a reboot of the machine: images and the node."""
IMAGES = STATE / "containerd"
"""The image store. It outlives the node, so that an image is loaded once."""
NODE = STATE / "node"
"""The node: etcd, certificates, volumes, logs. `down` removes it."""
RUN = Path("/run/llmdeployment")
"""Sockets, process records and mounts of the running node. `down` removes it."""
LOCK = Path("/run/lock/llmdeployment-node.lock")
"""Held while somebody starts or stops the node."""


def ensure_cache() -> Path:
    """Return the folder of everything built or downloaded, made when missing."""
    folder = Path(os.environ.get("LLMD_CACHE") or Path.home() / ".cache" / "llmdeployment")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
