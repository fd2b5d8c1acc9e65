"""What a list of files on a web server names, and the server's errors as sentences.

The list is what `sha256sum * > SHA256SUMS` writes. Its own SHA-256 stands in the spec, so the server cannot send anything else.
"""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import quote, urljoin

import requests

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.weights.files import MOST_FILES, Digest, Listing, RemoteFile, Request
from llmdeployment_serving.weights.sources import WebSource

MOST_BYTES = 2 * 1024 * 1024
"""Of the list."""
_row = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\S.*)")
_timeout_seconds = (10, 60)
_connections = 8

Select = Callable[[tuple[RemoteFile, ...]], tuple[RemoteFile, ...]]


def list_web(source: WebSource, token: str | None, select: Select) -> Listing:
    """Return the files that the list names, with the sizes that the server tells.

    Raises:
        FetchError: one sentence.
    """
    headers = {"authorization": f"Bearer {token}"} if token else {}
    explain = explain_web(source)

    def locate(file: RemoteFile) -> Request:
        return Request(urljoin(source.url, quote(file.name)), headers)

    def measure(file: RemoteFile) -> RemoteFile:
        request = locate(file)
        sizes = {**request.headers, "accept-encoding": "identity"}
        answer = requests.head(
            request.url, headers=sizes, timeout=_timeout_seconds, allow_redirects=True
        )
        length = answer.headers.get("content-length", "")
        if answer.status_code != HTTPStatus.OK:
            raise FetchError(f"{file.name}: {explain(answer.status_code, '')}")
        if not length.isdecimal():
            raise FetchError(
                f"{source} does not say how long {file.name} is: use a server that answers HEAD with content-length"
            )
        return RemoteFile(file.name, int(length), file.digest)

    try:
        named = select(parse_list(_read_list(source, headers, explain), source))
        with ThreadPoolExecutor(_connections) as pool:
            files = tuple(pool.map(measure, named))
    except requests.RequestException as error:
        kind = type(error).__name__
        raise FetchError(
            f"{source} could not be downloaded ({kind}): check the network from this pod to the server"
        ) from error
    return Listing(str(source), source.sha256, files, locate)


def parse_list(text: str, source: WebSource) -> tuple[RemoteFile, ...]:
    r"""Return the files that a list names, without their sizes.

    Raises:
        FetchError: it is no such list.

    >>> [file.name for file in parse_list("a" * 64 + "  config.json\n", WebSource("https://host/SHA256SUMS", ""))]
    ['config.json']
    """
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [_row.fullmatch(line) for line in lines]
    bad = next((number for number, row in enumerate(rows, 1) if row is None), None)
    if bad is not None or not rows:
        raise FetchError(
            f"{source} is not a list of files with their SHA-256 (line {bad or 1}): write it with sha256sum"
        )
    if len(rows) > MOST_FILES:
        raise FetchError(f"{source} names more than {MOST_FILES} files: list one model")
    return tuple(RemoteFile(row[2], 0, Digest("sha256", row[1])) for row in rows if row is not None)


def explain_web(source: WebSource) -> Callable[[int, str], str]:
    """Return what makes a sentence of a status with which the server refuses a file."""

    def explain(status: int, _: str) -> str:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"{source} cannot be read (status {status}): check the Secret of spec.model.tokenSecretRef"
        if status == HTTPStatus.NOT_FOUND:
            return f"{source} was not found: check spec.model.source"
        return f"{source} is refused by the server (status {status}): the download is tried again"

    return explain


def _read_list(
    source: WebSource, headers: dict[str, str], explain: Callable[[int, str], str]
) -> str:
    with requests.get(
        source.url, headers=headers, stream=True, timeout=_timeout_seconds
    ) as response:
        if response.status_code != HTTPStatus.OK:
            raise FetchError(explain(response.status_code, ""))
        data = response.raw.read(MOST_BYTES + 1, decode_content=True)
    if len(data) > MOST_BYTES:
        raise FetchError(
            f"{source} is longer than {MOST_BYTES // 2**20} MiB, so it is not a list of files"
        )
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise FetchError(
            f"{source} has the SHA-256 {found}, not that of spec.model.sha256: check both, since somebody may have changed the list"
        )
    return str(data.decode(errors="replace"))
