"""Where a model's files come from, as a user writes it in `spec.model.source`."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from typing_extensions import override

from llmdeployment_serving.errors import FetchError

_sha256 = re.compile(r"[0-9a-f]{64}")
_bucket = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class HubSource:
    """A repository of a Hugging Face hub, `hf://organisation/name@revision`."""

    repository: str
    revision: str

    @override
    def __str__(self) -> str:
        return f"hf://{self.repository}@{self.revision}"


@dataclass(frozen=True)
class BucketSource:
    """The objects below a prefix of an S3 bucket, `s3://bucket/prefix`."""

    bucket: str
    prefix: str

    @override
    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True)
class WebSource:
    """A list of files with their SHA-256, as `sha256sum` prints it, which lies in one folder with them."""

    url: str
    sha256: str
    """SHA-256 of the list itself."""

    @override
    def __str__(self) -> str:
        return self.url


Source = HubSource | BucketSource | WebSource


def parse_source(text: str, sha256: str = "") -> Source:
    """Return the parts of a source.

    Args:
        text: as in `spec.model.source`.
        sha256: as in `spec.model.sha256`, for `https://`.

    Raises:
        FetchError: it is none that can be downloaded.

    >>> str(parse_source("hf://acme/tiny")), str(parse_source("s3://models/llama/"))
    ('hf://acme/tiny@main', 's3://models/llama')
    """
    scheme, _, rest = text.partition("://")
    if scheme == "hf":
        return _parse_hub(text, rest)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if not _bucket.fullmatch(bucket):
            raise FetchError(f"{text} is not a valid source. Use s3://bucket/prefix")
        return BucketSource(bucket, prefix.strip("/"))
    if scheme in ("https", "http"):
        if not _sha256.fullmatch(sha256):
            raise FetchError(
                f"{text} needs the SHA-256 of its list of files: set spec.model.sha256"
            )
        if not urlsplit(text).path.strip("/"):
            raise FetchError(f"{text} names no file. Use https://host/folder/SHA256SUMS")
        return WebSource(text, sha256)
    raise FetchError(
        f"{text} is not a source that this command can download. "
        "Use hf://organisation/name, s3://bucket/prefix or https://host/folder/SHA256SUMS"
    )


def _parse_hub(text: str, rest: str) -> HubSource:
    repository, _, revision = rest.partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise FetchError(
            f"{text} is not a valid source. Use hf://organisation/name or hf://organisation/name@revision"
        )
    return HubSource(repository, revision or "main")
