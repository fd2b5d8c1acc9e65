"""Downloads a model from a Hugging Face hub to a folder of this pod, in the init container.

Every failure is one sentence that names the source and what to do, since `kubectl describe` and the LLMDeployment's condition
show nothing else. A folder that already holds the model (a PVC, a restarted pod) is used as it is, without the network.
"""

import json
import shutil
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from typing_extensions import override

from llmdeployment_serving.errors import FetchError

MARKER = ".llmdeployment.json"
_skipped = (".git", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".gguf", ".ot", ".tflite", ".md")
_skipped_folders = ("onnx/", "original/", "openvino/", "coreml/", "metal/")
_weights = ".safetensors"


@dataclass(frozen=True)
class Source:
    """A parsed `hf://` source."""

    repository: str
    revision: str

    @override
    def __str__(self) -> str:
        """Return the source as a user writes it."""
        return f"hf://{self.repository}@{self.revision}"


def parse_source(text: str) -> Source:
    """Return the parts of `hf://organisation/name[@revision]`; without a revision it is `main`."""
    if not text.startswith("hf://"):
        raise FetchError(
            f"{text} is not a source that this command can download. Use hf://organisation/name"
        )
    repository, _, revision = text.removeprefix("hf://").partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise FetchError(
            f"{text} is not a valid source. Use hf://organisation/name or hf://organisation/name@revision"
        )
    return Source(repository, revision or "main")


def fetch_model(text: str, folder: Path, *, token: str | None) -> None:
    """Download the model that `text` names into `folder`.

    Raises:
        FetchError: the download failed; the files so far stay, and the next try resumes it.
    """
    source = parse_source(text)
    if _is_complete(folder, source):
        return
    try:
        commit, sizes = _list_files(source, token)
        _check_space(folder, source, sizes)
        snapshot_download(
            source.repository,
            revision=commit,
            local_dir=folder,
            allow_patterns=sorted(sizes),
            token=token or False,
        )
    except FetchError:
        raise
    except Exception as error:  # because users see one sentence of any error
        raise _explain(error, source, has_token=token is not None) from error
    _check_sizes(folder, source, sizes)
    (folder / MARKER).write_text(json.dumps({"source": str(source), "commit": commit}))


def select_files(names: list[str]) -> list[str]:
    """Return the files of a repository that an engine reads, without copies of the weights in other formats."""
    kept = [
        name
        for name in names
        if not name.endswith(_skipped) and not name.startswith((".", *_skipped_folders))
    ]
    if any(name.endswith(_weights) for name in kept):
        kept = [name for name in kept if not name.endswith(".bin")]
    return kept


def _list_files(source: Source, token: str | None) -> tuple[str, dict[str, int]]:
    """Return the current commit of the revision, and the size in bytes of each selected file."""
    info = HfApi(token=token or False).model_info(
        source.repository, revision=source.revision, files_metadata=True
    )
    sizes = {item.rfilename: item.size or 0 for item in info.siblings or ()}
    wanted = {name: sizes[name] for name in select_files(list(sizes))}
    if "config.json" not in wanted:
        raise FetchError(
            f"{source} has no config.json, so vLLM cannot load it. Check spec.model.source"
        )
    return str(info.sha), wanted


def _check_space(folder: Path, source: Source, sizes: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    present = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    needed = sum(sizes.values()) - present
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{source} needs {needed / 2**30:.1f} GiB more, but {folder} has only {free / 2**30:.1f} GiB "
            "free: give the volume more room"
        )


def _check_sizes(folder: Path, source: Source, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        file = folder / name
        found = file.stat().st_size if file.exists() else 0
        if found != size:
            file.unlink(missing_ok=True)  # why: otherwise the next try would keep it as complete
            raise FetchError(
                f"{name} of {source} arrived with {found} of {size} bytes: the download is tried again"
            )


def _is_complete(folder: Path, source: Source) -> bool:
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    return marker.get("source") == str(source)


def _explain(error: Exception, source: Source, *, has_token: bool) -> FetchError:
    return FetchError(_describe_error(error, source, has_token=has_token))


def _describe_error(error: Exception, source: Source, *, has_token: bool) -> str:
    """Return the message for `error`. The hub answers 401 or 404 both for a missing and for a private repository."""
    advice = "the token in HF_TOKEN may not read it" if has_token else "it may need a token"
    match error:
        case GatedRepoError():
            found = "is gated: accept its licence, and set spec.model.tokenSecretRef"
        case RevisionNotFoundError():
            found = "has no such revision: check spec.model.source"
        case RepositoryNotFoundError():
            found = f"was not found, or {advice} (spec.model.tokenSecretRef)"
        case HfHubHTTPError() if error.response.status_code == HTTPStatus.UNAUTHORIZED:
            found = f"cannot be read: {advice} (spec.model.tokenSecretRef)"
        case HfHubHTTPError():
            found = f"is refused by the hub (status {error.response.status_code}): the download is tried again"
        case HFValidationError():
            found = "is not a repository's name: check spec.model.source"
        case _:
            kind = type(error).__name__
            found = (
                f"could not be downloaded ({kind}: {error}): check the network from this pod to "
                "the hub"
            )
    return f"{source} {found}"
