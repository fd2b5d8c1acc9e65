"""Where a model's files are inside a runtime's pods, and what a worker pod needs to have them there."""

from dataclasses import dataclass, field
from typing import Any

MODELS_DIR = "/models"


@dataclass(frozen=True)
class ModelFiles:
    """A path in the worker pod, and the volumes and mounts that put the files there.

    `fetch` is the `hf://` source that an init container downloads, or None when nothing has to be downloaded.
    """

    path: str
    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    fetch: str | None = None


def model_files(source: str) -> ModelFiles:
    """Return where the files of a model source end up.

    >>> model_files("pvc://models/llama/3").path
    '/models/models/llama/3'
    >>> model_files("file:///opt/model").path
    '/opt/model'
    """
    scheme, _, rest = source.partition("://")
    if scheme == "file":
        return ModelFiles(path=rest)
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        mount = f"{MODELS_DIR}/{claim}"
        return ModelFiles(
            path=f"{mount}/{path}".rstrip("/"),
            volumes=[
                {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            ],
            mounts=[{"name": "model", "mountPath": mount, "readOnly": True}],
        )
    return ModelFiles(
        path=f"{MODELS_DIR}/model",
        volumes=[{"name": "model", "emptyDir": {}}],
        mounts=[{"name": "model", "mountPath": MODELS_DIR}],
        fetch=source,
    )
