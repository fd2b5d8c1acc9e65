"""A dynamic provisioner for the default StorageClass: a folder of the node for each claim.

A program of its own: `up` copies this file beside the node and runs it there, so that it does not
depend on the clone it came from. It asks every half second instead of watching: one node, a few
claims, and no state to lose.

A PersistentVolume of type `local` (not `hostPath`), because the kubelet applies a pod's fsGroup to it.
"""

import http.client
import json
import shutil
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CLASS = "local"
PROVISIONER = "llmdeployment.dev/node-folder"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
POLL_SECONDS = 0.5
REQUEST_SECONDS = 10
CONFLICT = 409
NOT_FOUND = 404


def build_volume(claim: dict[str, Any], folder: Path, node: str) -> dict[str, Any]:
    """Return the PersistentVolume that satisfies a claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
            "volumeMode": "Filesystem",
            "local": {"path": str(folder / f"pvc-{metadata['uid']}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def wants_volume(claim: dict[str, Any]) -> bool:
    """Return whether a claim waits for this provisioner: the scheduler has chosen the node for its pod."""
    spec, annotations = claim["spec"], claim["metadata"].get("annotations", {})
    return (
        SELECTED_NODE in annotations
        and spec.get("storageClassName") == CLASS
        and not spec.get("volumeName")
        and spec.get("volumeMode", "Filesystem") == "Filesystem"
        and not claim["metadata"].get("deletionTimestamp")
    )


def is_done_with(volume: dict[str, Any]) -> bool:
    """Return whether a volume is ours and its claim is gone."""
    metadata = volume["metadata"]
    return (
        metadata.get("annotations", {}).get(PROVISIONED_BY) == PROVISIONER
        and volume.get("status", {}).get("phase") == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    )


class Server:
    """A persistent connection to the API server."""

    def __init__(self, url: str, ca: str, token: str) -> None:
        host = urlsplit(url).netloc
        context = ssl.create_default_context(cafile=ca)
        self._connection = http.client.HTTPSConnection(
            host, context=context, timeout=REQUEST_SECONDS
        )
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(
        self, method: str, path: str, body: object = None, ignore: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """Send a request; answers with an ignored status count as success."""
        try:
            data = None if body is None else json.dumps(body)
            self._connection.request(method, path, data, self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens a new one
            raise
        if answer.status >= http.client.BAD_REQUEST and answer.status not in ignore:
            raise OSError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return dict(json.loads(text))


def run_pass(server: Server, folder: Path, node: str) -> None:
    """Create the volumes that claims wait for, and remove those without a claim."""
    for claim in server.call("GET", "/api/v1/persistentvolumeclaims")["items"]:
        if wants_volume(claim):
            volume = build_volume(claim, folder, node)
            path = Path(volume["spec"]["local"]["path"])
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)  # a pod without fsGroup runs as some uid, too
            server.call("POST", "/api/v1/persistentvolumes", volume, ignore=(CONFLICT,))
    for volume in server.call("GET", "/api/v1/persistentvolumes")["items"]:
        if is_done_with(volume):
            shutil.rmtree(volume["spec"]["local"]["path"], ignore_errors=True)
            path = f"/api/v1/persistentvolumes/{volume['metadata']['name']}"
            server.call("DELETE", path, ignore=(NOT_FOUND,))


def main(arguments: list[str]) -> None:
    """Run forever: url, certificate authority, token file, folder, node name."""
    url, ca, token_file, folder, node = arguments
    server = Server(url, ca, Path(token_file).read_text())
    while True:
        try:
            run_pass(server, Path(folder), node)
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            print(f"storage: {error}", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)  # why: polling


if __name__ == "__main__":
    main(sys.argv[1:])
