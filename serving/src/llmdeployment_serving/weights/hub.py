"""What a Hugging Face hub holds of a model, and its errors as sentences."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.weights.files import Digest, Listing, RemoteFile, Request
from llmdeployment_serving.weights.sources import HubSource

Select = Callable[[tuple[RemoteFile, ...]], tuple[RemoteFile, ...]]
_sha1, _sha256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_connections = 8
_unknown = -1
"""Size of a file of which the list does not tell it."""


def list_hub(source: HubSource, token: str | None, commit: str, select: Select) -> Listing:
    """Return the files of a repository.

    Args:
        source: names the repository.
        token: of the hub, if there is one.
        commit: the commit that was found earlier; empty: the revision's newest.
        select: keeps those that an engine reads.

    Raises:
        FetchError: one sentence.
    """
    try:
        info = HfApi(token=token or False).model_info(
            source.repository, revision=commit or source.revision, files_metadata=True
        )
    except Exception as error:  # because users see one sentence of any error
        raise FetchError(_describe_error(error, source, has_token=token is not None)) from error
    found = str(info.sha)
    if not _sha1.fullmatch(found):
        raise FetchError(f"{source}: the hub does not tell the commit: check HF_ENDPOINT")
    files = tuple(_read_file(item) for item in info.siblings or ())
    headers = build_hf_headers(token=token or False)

    def locate(file: RemoteFile) -> Request:
        return Request(hf_hub_url(source.repository, file.name, revision=found), headers)

    def complete(file: RemoteFile) -> RemoteFile:
        _check_digest(file, source)
        if file.size != _unknown:
            return file
        try:
            size = get_hf_file_metadata(locate(file).url, token=token or False).size
        except Exception as error:  # because users see one sentence of any error
            raise FetchError(_describe_error(error, source, has_token=token is not None)) from error
        if size is None or size < 0:
            raise FetchError(
                f"the hub does not tell the size of {file.name}: use a mirror that answers HEAD with it (HF_ENDPOINT)"
            )
        return replace(file, size=size)

    with ThreadPoolExecutor(_connections) as pool:
        kept = tuple(pool.map(complete, select(files)))
    return Listing(str(source), found, kept, locate)


def explain_hub(source: HubSource, *, has_token: bool) -> Callable[[int, str], str]:
    """Return what makes a sentence of a status with which the hub refuses a file."""

    def explain(status: int, code: str) -> str:
        advice = _advise(has_token=has_token)
        if code == "GatedRepo" or status == HTTPStatus.FORBIDDEN:
            return f"{source} {_GATED}"
        if status == HTTPStatus.UNAUTHORIZED:
            return f"{source} cannot be read: {advice} (spec.model.tokenSecretRef)"
        if status == HTTPStatus.NOT_FOUND:
            return f"{source} was not found, or {advice} (spec.model.tokenSecretRef)"
        return f"{source} is refused by the hub (status {status}): the download is tried again"

    return explain


_GATED = "is gated: accept its licence, and set spec.model.tokenSecretRef"


def _advise(*, has_token: bool) -> str:
    return "the token in HF_TOKEN may not read it" if has_token else "it may need a token"


def _read_file(item: object) -> RemoteFile:
    name, size = str(getattr(item, "rfilename", "")), getattr(item, "size", None)
    lfs, blob = getattr(item, "lfs", None), getattr(item, "blob_id", None)
    digest = Digest("git", str(blob)) if blob else None
    if lfs is not None:
        digest, size = Digest("sha256", str(lfs.sha256)), lfs.size if size is None else size
    return RemoteFile(name, size if isinstance(size, int) and size >= 0 else _unknown, digest)


def _check_digest(file: RemoteFile, source: HubSource) -> None:
    """Refuse a digest that is none: it becomes the name of a file in the cache."""
    pattern = _sha1 if file.digest is not None and file.digest.kind == "git" else _sha256
    if file.digest is not None and not pattern.fullmatch(file.digest.hex):
        raise FetchError(
            f"{source} has a file whose digest is none ({file.name}): check HF_ENDPOINT"
        )


def _describe_error(error: Exception, source: HubSource, *, has_token: bool) -> str:
    """Return the message for `error`. The hub answers 401 or 404 both for a missing and for a private repository."""
    advice = _advise(has_token=has_token)
    match error:
        case GatedRepoError():
            found = _GATED
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
