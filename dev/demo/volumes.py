"""Provides folders of this machine as claims in the cluster: the model, and the packages of the serving image."""

import hashlib
from pathlib import Path

from dev.demo.kube import Kube, Object

LABEL = "llmdeployment.dev/demo-volumes"
SIZE = "16Gi"
"""Required by a claim, without meaning for a folder."""


def provide(kube: Kube, folders: dict[str, Path]) -> None:
    """Create a read-only claim for each folder in the namespace.

    Each claim has its own volume. A volume's source cannot change, so the volume's name has a hash of the path.
    """
    for claim, folder in folders.items():
        volume = f"{kube.namespace}-{claim}-{_short(folder)}"
        held = kube.get("persistentvolumeclaim", claim)
        if held is not None and held["spec"].get("volumeName") == volume:
            continue
        if held is not None:
            kube.run("delete", "persistentvolumeclaim", claim)
        kube.run("delete", "persistentvolume", volume, "--ignore-not-found")
        kube.apply(_volume(kube.namespace, claim, volume, folder), _claim(claim, volume))


def remove(kube: Kube) -> None:
    """Remove the namespace's volumes; their folders stay."""
    kube.run("delete", "persistentvolume", f"--selector={LABEL}={kube.namespace}", "--wait=false")


def _short(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def _volume(namespace: str, claim: str, name: str, folder: Path) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {LABEL: namespace}},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": claim},
        },
    }


def _claim(name: str, volume: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": volume,
            "resources": {"requests": {"storage": SIZE}},
        },
    }
