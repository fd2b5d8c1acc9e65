"""What an S3 bucket holds below a prefix, and its errors as sentences.

`obstore` lists and signs; the files come over plain HTTP like those of other sources. Where to and with which credentials is in the
environment, under the names that the tools of AWS use: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ...
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from llmdeployment_serving.errors import FetchError, join_lines
from llmdeployment_serving.weights.files import (
    MOST_FILES,
    Digest,
    Listing,
    RemoteFile,
    Request,
    identify,
)
from llmdeployment_serving.weights.sources import BucketSource

if TYPE_CHECKING:
    from obstore.store import S3Config

SIGNED_FOR = timedelta(hours=12)
"""How long one connection may take to begin and end; each new one gets a new signature."""
_known_credentials = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
_md5 = re.compile(r"[0-9a-f]{32}")
_ADVICE = "check the Secret of spec.model.credentialsSecretRef"

Select = Callable[[tuple[RemoteFile, ...]], tuple[RemoteFile, ...]]


def list_bucket(source: BucketSource, environment: Mapping[str, str], select: Select) -> Listing:
    """Return the objects below the prefix.

    Raises:
        FetchError: one sentence.
    """
    prefix = f"{source.prefix}/" if source.prefix else ""
    try:
        store = _open(source, environment)
        files = _read_objects(store, prefix, source)
    except (BaseError, OSError, ValueError) as error:
        raise FetchError(_describe_error(error, source)) from None
    if not files:
        raise FetchError(f"{source} has no objects: check spec.model.source")
    kept = select(tuple(files))

    def locate(file: RemoteFile) -> Request:
        key = f"{prefix}{file.name}"
        if _is_anonymous(environment):
            return Request(_write_url(source, key, environment))
        return Request(obstore.sign(store, "GET", key, SIGNED_FOR))

    return Listing(str(source), identify(kept), kept, locate)


def explain_bucket(source: BucketSource) -> Callable[[int, str], str]:
    """Return what makes a sentence of a status with which the store refuses an object."""

    def explain(status: int, _: str) -> str:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"{source} cannot be read (status {status}): {_ADVICE}"
        if status == HTTPStatus.NOT_FOUND:
            return f"{source} has changed since it was listed: try again"
        return f"{source} is refused by the store (status {status}): the download is tried again"

    return explain


def _open(source: BucketSource, environment: Mapping[str, str]) -> S3Store:
    endpoint = environment.get("AWS_ENDPOINT_URL") or None
    config: S3Config = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        source.bucket,
        config=config,
        region=_read_region(environment),
        skip_signature=_is_anonymous(environment),
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
    )


def _is_anonymous(environment: Mapping[str, str]) -> bool:
    return not any(environment.get(name) for name in _known_credentials)


def _read_region(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_REGION") or "us-east-1"


def _write_url(source: BucketSource, key: str, environment: Mapping[str, str]) -> str:
    """Return the URL of an object of a public bucket."""
    store = (
        environment.get("AWS_ENDPOINT_URL")
        or f"https://s3.{_read_region(environment)}.amazonaws.com"
    )
    return f"{store.rstrip('/')}/{source.bucket}/{quote(key)}"


def _read_objects(store: S3Store, prefix: str, source: BucketSource) -> list[RemoteFile]:
    files: list[RemoteFile] = []
    for chunk in obstore.list(store, prefix=prefix or None):
        for meta in chunk:
            etag = str(meta["e_tag"] or "").strip('"')
            digest = Digest("md5", etag) if _md5.fullmatch(etag) else None
            path = str(meta["path"])
            if path.startswith(prefix):
                name = path.removeprefix(prefix)
                files.append(RemoteFile(name, int(meta["size"]), digest, etag))
        if len(files) > MOST_FILES:
            raise FetchError(
                f"{source} has more than {MOST_FILES} objects: write the prefix of one model"
            )
    # Consoles write an empty object for each folder.
    folders = {name[:at] for name in (f.name for f in files) for at in _find_slashes(name)}
    return [file for file in files if file.size or file.name not in folders]


def _find_slashes(name: str) -> list[int]:
    return [at for at, letter in enumerate(name) if letter == "/"]


def _describe_error(error: Exception, source: BucketSource) -> str:
    text = str(error)
    if "Missing" in text and "Key" in text:
        return f"{source} has credentials that are not complete: {_ADVICE}"
    refused = ("SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "403", "401")
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or any(
        each in text for each in refused
    ):
        return f"{source} cannot be read: {_ADVICE}"
    if isinstance(error, FileNotFoundError) or "NoSuchBucket" in text or "404" in text:
        return f"{source} was not found: check spec.model.source and AWS_ENDPOINT_URL"
    told = join_lines(text.partition("Debug source")[0])[:200]
    return f"{source} could not be listed ({told}): check AWS_ENDPOINT_URL and the network from this pod to it"
