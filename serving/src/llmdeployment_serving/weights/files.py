"""The files of a model at their source: which of them an engine reads, and under which name a cache keeps each."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from llmdeployment_serving.errors import FetchError

MOST_FILES = 10_000
"""Files of a source at most: a bucket can hold millions."""
_longest_part, _longest_name = 255, 1024
"""Bytes of a file's or folder's name on Linux, and of a key in S3."""
_skipped = (".git", ".msgpack", ".h5", ".onnx", ".gguf", ".ot", ".tflite", ".md")
_skipped_folders = ("onnx/", "original/", "openvino/", "coreml/", "metal/")
_weights = ".safetensors"
_pickles = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Formats that Python's `pickle` reads: they can run any code when they are loaded."""
_key = re.compile(r"git-[0-9a-f]{40}|(sha256|etag)-[0-9a-f]{64}")
_name = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+@=,-]*(/[A-Za-z0-9_-][A-Za-z0-9._+@=,-]*)*")


@dataclass(frozen=True)
class Digest:
    """What a file's content is known to be.

    Attributes:
        kind: `git` is the SHA-1 of git, of the length and the content.
        hex: the digest, lower case.
    """

    kind: Literal["sha256", "git", "md5"]
    hex: str


@dataclass(frozen=True)
class RemoteFile:
    """A file at its source.

    Attributes:
        name: its path below the model's folder.
        size: in bytes.
        digest: what its content is known to be, if the source says so.
        etag: by which the source knows this version of it, for a source without a digest.
    """

    name: str
    size: int
    digest: Digest | None = None
    etag: str = ""


@dataclass(frozen=True)
class Request:
    """How a file is asked for. The URL may hold a signature, so it is not to be printed."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """The files of a source at one moment.

    Attributes:
        source: the source as a user writes it.
        identity: what the source held then: the commit, or a SHA-256 over the files.
        files: those that an engine reads.
        locate: how a file is asked for; called anew for each try, since a signature expires.
    """

    source: str
    identity: str
    files: tuple[RemoteFile, ...]
    locate: Callable[[RemoteFile], Request]


def select_files(
    source: str, files: Iterable[RemoteFile], *, needed: str, pickles: bool
) -> tuple[RemoteFile, ...]:
    """Return the files that an engine reads, without copies of the weights in other formats.

    Args:
        source: for messages.
        files: all of the source.
        needed: the file without which the rest is of no use, such as `config.json`.
        pickles: whether weights as pickle files are wanted if there are no others.

    Raises:
        FetchError: the file that is needed is missing, a name leaves the folder or is there twice, or the weights are pickle files and
            not wanted.
    """
    kept = [file for file in files if _is_read(file.name)]
    if len(kept) > MOST_FILES:
        raise FetchError(f"{source} has more than {MOST_FILES} files: check spec.model.source")
    if all(file.name != needed for file in kept):
        raise FetchError(
            f"{source} has no {needed}, so the engine cannot load it. Check spec.model.source"
        )
    _check_names(source, [file.name for file in kept])
    safe = [file for file in kept if not file.name.endswith(_pickles)]
    if len(safe) == len(kept) or any(file.name.endswith(_weights) for file in safe):
        return tuple(safe)
    if not pickles:
        first = next(file.name for file in kept if file.name.endswith(_pickles))
        raise FetchError(
            f"{source} has its weights as pickle files only ({first}), which can run code when they are loaded: "
            "convert them to safetensors, or set spec.model.allowPickle"
        )
    return tuple(kept)


def is_name(name: str) -> bool:
    """Say whether a name is one of a file below the model's folder, whatever wrote it.

    >>> is_name("1_Pooling/config.json"), is_name("../config.json"), is_name("/etc/passwd")
    (True, False, False)
    """
    longest = max(map(len, name.split("/")))
    return (
        _name.fullmatch(name) is not None
        and longest <= _longest_part
        and len(name) <= _longest_name
    )


def is_blob(key: str) -> bool:
    """Say whether a key is one that `name_blob` makes, so a file's name and no path."""
    return _key.fullmatch(key) is not None


def name_blob(file: RemoteFile, listing: Listing) -> str:
    """Return the name under which a cache keeps a file: by its content, or by the version that the source names.

    >>> listing = Listing("s3://models/a", "", (), lambda _: Request(""))
    >>> name_blob(RemoteFile("a", 1, Digest("sha256", "ab")), listing)
    'sha256-ab'
    >>> name_blob(RemoteFile("a", 1, Digest("md5", "ab"), "ab"), listing)[:11]
    'etag-dcb494'
    """
    if file.digest is not None and file.digest.kind != "md5":
        return f"{file.digest.kind}-{file.digest.hex}"
    # An MD5 can be forged, so it names nothing: it only finds files that arrived damaged.
    # Without a version either, as from some mirrors of a hub, the commit tells one content of a name from the next.
    version = file.etag or listing.identity
    told = "\n".join((listing.source, file.name, str(file.size), version))
    return f"etag-{hashlib.sha256(told.encode()).hexdigest()}"


def identify(files: Iterable[RemoteFile]) -> str:
    """Return a SHA-256 over names, sizes and versions: another one, and the source holds something else."""
    rows = sorted(
        f"{file.name}\n{file.size}\n{file.etag or (file.digest and file.digest.hex)}"
        for file in files
    )
    return hashlib.sha256("\n\n".join(rows).encode()).hexdigest()


def _check_names(source: str, names: list[str]) -> None:
    bad = next((name for name in names if not is_name(name)), None)
    if bad is not None:
        # As ASCII, since not every log takes what a source may send.
        raise FetchError(
            f"{source} has a file whose name cannot be used ({bad[:100]!a}): rename it"
        )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        # Both would be written into one file at the same time.
        raise FetchError(f"{source} names {twice[:100]} twice: name it once")
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    if both := next((name for name in names if name in folders), None):
        raise FetchError(
            f"{source} has {both[:100]} both as a file and as a folder: rename one of them"
        )


def _is_read(name: str) -> bool:
    return not name.endswith(_skipped) and not name.startswith((".", *_skipped_folders))
