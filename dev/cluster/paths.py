"""Folders of the cluster.

The cache holds what was built or downloaded. It belongs to the user, and all clones of the project share it.
The embedded node belongs to the machine (it owns addresses and a bridge), so its folders are fixed: two
clones, or two caches, share one node.
"""

import os
from pathlib import Path

STATE = Path("/var/lib/llmdeployment")
"""Files that survive a reboot of the machine: images and the node."""
IMAGES = STATE / "containerd"
"""The image store. It survives the node, so that each image is loaded once."""
NODE = STATE / "node"
"""The node: etcd, certificates, volumes, logs. `down` removes it."""
RUN = Path("/run/llmdeployment")
"""Sockets, process records and mounts of the running node. `down` removes it."""
LOCK = Path("/run/lock/llmdeployment-node.lock")
"""Held while somebody starts or stops the node."""


def ensure_cache() -> Path:
    """Return the cache folder, and create it if it is missing."""
    folder = Path(os.environ.get("LLMD_CACHE") or Path.home() / ".cache" / "llmdeployment")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
