"""Where the files of a model and its adapters are inside a runtime's pods, and what a worker pod needs to have them there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmdeployment_operator.api.sources import is_downloaded
from llmdeployment_operator.plan.base.drift import digest

MODELS_DIR = "/models"
ADAPTERS_DIR = "/adapters"
DOWNLOADS_DIR = "/adapter-downloads"


@dataclass(frozen=True)
class ModelFiles:
    """A path in the worker pod, and the volumes and mounts that put the files there.

    `fetch` is the source that an init container downloads, or None when nothing has to be downloaded.
    """

    path: str
    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    fetch: str | None = None


def locate_model(source: str) -> ModelFiles:
    """Return where the files of a model source end up.

    >>> locate_model("pvc://models/llama/3").path
    '/models/models/llama/3'
    >>> locate_model("file:///opt/model").path
    '/opt/model'
    >>> locate_model("oci://registry.example/llama:3").volumes[0]["image"]["reference"]
    'registry.example/llama:3'
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
    if scheme == "oci":
        image = {"reference": rest, "pullPolicy": "IfNotPresent"}
        mount = f"{MODELS_DIR}/image"
        return ModelFiles(
            path=mount,
            volumes=[{"name": "model", "image": image}],
            mounts=[{"name": "model", "mountPath": mount, "readOnly": True}],
        )
    return ModelFiles(
        path=f"{MODELS_DIR}/model",
        volumes=[{"name": "model", "emptyDir": {}}],
        mounts=[{"name": "model", "mountPath": MODELS_DIR}],
        fetch=source,
    )


def list_adapter_sources(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the sources of a model's adapters by their names; `model` is that of a spec or of a revision's template."""
    return {adapter["name"]: adapter["source"] for adapter in model.get("adapters") or ()}


def list_adapter_claims(model: Mapping[str, Any]) -> list[str]:
    """Return the claims that pods mount for adapters, sorted; the model's own is mounted already.

    >>> sources = ("pvc://b/x", "pvc://a/y", "pvc://b/z", "pvc://models/w", "file:///v")
    >>> adapters = [{"name": str(n), "source": source} for n, source in enumerate(sources)]
    >>> list_adapter_claims({"source": "pvc://models/llama", "adapters": adapters})
    ['a', 'b']
    """
    claims = {_find_claim(source) for source in list_adapter_sources(model).values()}
    return sorted(claim for claim in claims - {_find_claim(model["source"])} if claim)


def list_adapter_downloads(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return source and SHA-256 (or nothing) of the adapters that pods download when they start, sorted.

    >>> adapters = [{"name": "a", "source": "s3://x/y"}, {"name": "b", "source": "file:///v"}]
    >>> list_adapter_downloads({"source": "pvc://models/llama", "adapters": adapters})
    [('s3://x/y', '')]
    """
    adapters = model.get("adapters") or ()
    return sorted(
        {(a["source"], a.get("sha256") or "") for a in adapters if is_downloaded(a["source"])}
    )


def list_adapter_needs(model: Mapping[str, Any]) -> list[str]:
    """Return what pods must have of their adapters when they start: claims that are mounted, and files that are downloaded."""
    downloads = [f"{source} {sha256}".strip() for source, sha256 in list_adapter_downloads(model)]
    return [*list_adapter_claims(model), *downloads]


def locate_adapter(source: str, model_source: str) -> str:
    """Return the folder of an adapter inside the pod.

    >>> locate_adapter("pvc://team/legal/3", "pvc://models/llama")
    '/adapters/team/legal/3'
    >>> locate_adapter("pvc://models/legal", "pvc://models/llama")
    '/models/models/legal'
    >>> locate_adapter("s3://adapters/legal", "pvc://models/llama")
    '/adapter-downloads/6469afecd34be4f4'
    """
    if is_downloaded(source):
        return f"{DOWNLOADS_DIR}/{digest(source, 16)}"
    if (claim := _find_claim(source)) is None or claim == _find_claim(model_source):
        return locate_model(source).path
    return f"{ADAPTERS_DIR}/{source.removeprefix('pvc://')}"


def mount_adapters(model: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volumes and mounts of a worker pod for its adapters."""
    volumes, mounts = [], []
    for number, claim in enumerate(list_adapter_claims(model), 1):
        name = f"adapters-{number}"
        source = {"claimName": claim, "readOnly": True}
        volumes.append({"name": name, "persistentVolumeClaim": source})
        mounts.append({"name": name, "mountPath": f"{ADAPTERS_DIR}/{claim}", "readOnly": True})
    if list_adapter_downloads(model):
        volumes.append({"name": "adapter-downloads", "emptyDir": {}})
        mounts.append({"name": "adapter-downloads", "mountPath": DOWNLOADS_DIR})
    return volumes, mounts


def _find_claim(source: str) -> str | None:
    return source.removeprefix("pvc://").partition("/")[0] if source.startswith("pvc://") else None
