"""The cache of a node: a folder that the pods of a namespace share, in which each file of a model lies once.

    entries/ID.json    a model: its source, its commit, and which blob each of its files is
    blobs/KEY          a file, whole and checked
    records/KEY.json   size and time of change of a blob when it was checked, and its SHA-256
    partial/KEY        a file on its way
    leases/POD         the entries that a pod uses; a pod that runs holds a shared lock on it
    locks/NAME         locks, each held for as long as a file arrives, or something is counted

Locks are the kernel's (`flock`): whoever is killed holds none. So a lease needs no clock while its pod runs. Between the containers of a
pod nobody holds it, so a free lease keeps its entries for `GRACE_SECONDS` more.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.weights.eviction import Entry, plan_eviction
from llmdeployment_serving.weights.files import Listing, is_blob, is_name, name_blob
from llmdeployment_serving.weights.transfer import describe_disk_error, hash_file

GRACE_SECONDS = 600.0
"""How long a lease counts that nobody holds. The kubelet waits at most 300 s before it starts a container again."""
_folders = ("entries", "blobs", "records", "partial", "leases", "locks")
_locks_itself = "cache"


@dataclass(frozen=True)
class CacheSettings:
    """How a cache is used.

    Attributes:
        folder: where it is mounted.
        pod: name of this pod's lease, a uid.
        limit: bytes that it may hold; None: as many as the volume has.
        verify_always: whether each file is read and checked at each start, not only one that changed.
    """

    folder: Path
    pod: str
    limit: int | None = None
    verify_always: bool = False


class Cache:
    """The cache, for one pod."""

    def __init__(self, settings: CacheSettings, now: Callable[[], float] = time.time) -> None:
        """Make the folders.

        Raises:
            FetchError: the volume cannot be written, or a folder of the cache is a link to somewhere else.
        """
        self._settings = settings
        self._now = now
        folder = settings.folder
        try:
            for name in _folders:
                (folder / name).mkdir(mode=0o770, parents=True, exist_ok=True)
        except OSError as error:
            raise FetchError(
                f"the model cache {folder} cannot be written by user {os.getuid()} ({error.strerror}): "
                "give its folder on the node, or its volume, to that user (docs/how-to/model-cache.md)"
            ) from error
        # What is in them is removed.
        if link := next((name for name in _folders if (folder / name).is_symlink()), None):
            raise FetchError(
                f"{folder / link} is a link, and the model cache has folders of its own: remove it"
            )

    @property
    def folder(self) -> Path:
        """Where it is mounted."""
        return self._settings.folder

    def blob(self, key: str) -> Path:
        """Return where a file is once it is whole."""
        return self.folder / "blobs" / key

    def partial(self, key: str) -> Path:
        """Return where a file is while it arrives."""
        return self.folder / "partial" / key

    def find_blobs(self, source: str, identity: str) -> dict[str, tuple[str, int]]:
        """Return key and size of the blob of each file of a model; none if it was never listed here."""
        return _read_files(self.folder / "entries" / f"{name_entry(source, identity)}.json")

    def reserve(self, listing: Listing) -> None:
        """Record a model as one that this pod uses, and make room for what is missing of it.

        Raises:
            FetchError: it does not fit beside what is in use.
        """
        rows = {f.name: {"blob": name_blob(f, listing), "size": f.size} for f in listing.files}
        name = name_entry(listing.source, listing.identity)
        document = {"source": listing.source, "identity": listing.identity, "files": rows}
        with self.lock(_locks_itself):
            self._make_room(name, listing)
            _write_json(self.folder / "entries" / f"{name}.json", document)

    def touch(self, source: str, identity: str) -> None:
        """Record that a model is used now."""
        with self.lock(_locks_itself), suppress(OSError):
            path = self.folder / "entries" / f"{name_entry(source, identity)}.json"
            os.utime(path, (self._now(), self._now()))

    @contextmanager
    def lease(self, *entries: str) -> Iterator[None]:
        """Hold this pod's lease on entries, which need not exist yet; it stays when the lock is gone."""
        path = self.folder / "leases" / self._settings.pod
        with self.lock(_locks_itself):
            known = _read_lease(path)
            _write_json(path, {"entries": sorted(known | set(entries))})
            _free_mark(path).unlink(missing_ok=True)
            handle = path.open("rb")
            fcntl.flock(handle, fcntl.LOCK_SH)
        with handle:
            yield

    @contextmanager
    def lock(self, name: str, wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a lock of the cache.

        Args:
            name: of the lock.
            wait: called between two tries, and has to take some time; None: the kernel wakes us.
        """
        with (self.folder / "locks" / name).open("ab") as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if wait else 0))
                    break
                except BlockingIOError:
                    if wait is None:
                        raise
                    wait()
            yield

    def is_whole(self, key: str, size: int) -> bool:
        """Say whether a blob is what it was when it arrived; one that is not is removed.

        A file whose size and time of change are those that were recorded is not read, since reading 140 GB takes minutes.
        """
        blob, record = self.blob(key), self.folder / "records" / f"{key}.json"
        try:
            stat = blob.stat()
        except OSError:
            return False
        known = _read_json(record)
        same = (known.get("size"), known.get("changed")) == (stat.st_size, stat.st_mtime_ns)
        if same and stat.st_size == size and not self._settings.verify_always:
            return True
        if stat.st_size == size and (sha256 := _hash_if_same(key, blob, known)):
            self.record(key, sha256)
            return True
        blob.unlink(missing_ok=True)
        record.unlink(missing_ok=True)
        return False

    def record(self, key: str, sha256: str) -> None:
        """Record a blob as checked."""
        stat = self.blob(key).stat()
        document = {"size": stat.st_size, "changed": stat.st_mtime_ns, "sha256": sha256}
        _write_json(self.folder / "records" / f"{key}.json", document)

    def count_bytes(self, files: Mapping[str, int]) -> int:
        """Return how many bytes of these blobs are here, of which `files` has the whole sizes."""
        return sum(min(size, self._measure(key)) for key, size in files.items())

    def open_partial(self, path: Path, mode: str, *, buffering: int) -> IO[bytes]:
        """Open a file that arrives."""
        return path.open(mode, buffering=buffering)

    def _measure(self, key: str) -> int:
        for path in (self.blob(key), self.partial(key)):
            with suppress(OSError):
                return path.stat().st_size
        return 0

    def _measure_all(self) -> dict[str, int]:
        found = {}
        # In this order: a file that arrives meanwhile moves from the first to the second.
        for folder in ("partial", "blobs"):
            for path in _list_files(self.folder / folder):
                with suppress(FileNotFoundError):
                    found[path.name] = path.stat().st_size
        return found

    def _make_room(self, name: str, listing: Listing) -> None:
        wanted = {name_blob(file, listing): file.size for file in listing.files}
        present = self._measure_all()
        entries = tuple(entry for entry in self._read_entries() if entry.name != name)
        free = shutil.disk_usage(self.folder).free
        found = plan_eviction(entries, wanted, present, limit=self._settings.limit, free=free)
        if found.lacking:
            raise FetchError(self._describe_lack(listing, found.lacking, free))
        for gone in found.entries:
            (self.folder / "entries" / f"{gone}.json").unlink(missing_ok=True)
        kept = wanted.keys() | {
            blob for entry in entries if entry.name not in found.entries for blob in entry.blobs
        }
        for key in present.keys() - kept:
            self._remove(key)

    def _describe_lack(self, listing: Listing, lacking: int, free: int) -> str:
        needed = sum(file.size for file in listing.files) / 2**30
        limit = self._settings.limit
        told = f"{free / 2**30:.1f} GiB are free"
        if limit is not None:
            told += f" and modelCache.size is {limit / 2**30:.1f} GiB"
        return (
            f"{listing.source} needs {needed:.1f} GiB, and the model cache lacks {lacking / 2**30:.1f} GiB of it beside "
            f"what pods use ({told}): give the volume more room or raise modelCache.size"
        )

    def _remove(self, key: str) -> None:
        for path in (self.blob(key), self.partial(key), self.folder / "records" / f"{key}.json"):
            path.unlink(missing_ok=True)

    def _read_entries(self) -> tuple[Entry, ...]:
        used = self._find_used()
        found = []
        for path in (self.folder / "entries").glob("*.json"):
            blobs = dict(_read_files(path).values())
            name = path.stem
            found.append(Entry(name, blobs, path.stat().st_mtime, in_use=name in used))
        return tuple(found)

    def _find_used(self) -> set[str]:
        """Return the entries that pods use, and remove the leases of pods that are gone."""
        used: set[str] = set()
        for path in _list_files(self.folder / "leases"):
            if path.suffix in {".free", ".new"}:
                continue
            if self._is_over(path):
                path.unlink(missing_ok=True)
                _free_mark(path).unlink(missing_ok=True)
            else:
                used |= _read_lease(path)
        return used

    def _is_over(self, path: Path) -> bool:
        """Say whether a lease has been free for long enough: as far as is seen, from one look to the next, all the time.

        The mark beside it holds the first of these looks (atime) and the last (mtime). Its pod cannot remove it when it takes the lease
        again, since a worker cannot write the cache. So a look counts no more when the next one comes late: the pod may have run between.
        """
        mark, now = _free_mark(path), self._now()
        # To write, since NFS locks a file that is open to read with a shared lock only.
        with path.open("r+b") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                mark.unlink(missing_ok=True)
                return False
        first = now
        if mark.exists():
            seen = mark.stat()
            # In this order: what reads the mark, such as a backup, makes the first look later, never earlier.
            if abs(now - seen.st_mtime) <= GRACE_SECONDS:
                first = seen.st_atime
        mark.touch()
        os.utime(mark, (first, now))
        return now - first >= GRACE_SECONDS


def name_entry(source: str, identity: str) -> str:
    """Return the name of a model in the cache.

    >>> name_entry("hf://acme/tiny@main", "0123")[:12]
    '9c1ed875483e'
    """
    return hashlib.sha256(f"{source}\n{identity}".encode()).hexdigest()[:40]


def _hash_if_same(key: str, blob: Path, known: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a blob that is what it should be by its name, or else by its record; empty: it is not, or nobody knows."""
    kind, _, told = key.partition("-")
    if kind == "git" and hash_file(blob, kind) != told:
        return ""
    found = hash_file(blob, "sha256")
    expected = told if kind == "sha256" else known.get("sha256", found if kind == "git" else "")
    return found if found == expected else ""


def _free_mark(lease: Path) -> Path:
    return lease.with_name(f"{lease.name}.free")


def _list_files(folder: Path) -> Iterator[Path]:
    """Return what the cache wrote into a folder: neither links and folders nor the `.nfs...` that NFS keeps of an open file."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and not path.is_symlink() and path.is_file():
            yield path


def _read_files(entry: Path) -> dict[str, tuple[str, int]]:
    """Return key and size of the blob of each file of an entry; none if it is damaged, since its names become paths."""
    try:
        files = _read_json(entry)["files"].items()
        found = {str(name): (str(row["blob"]), int(row["size"])) for name, row in files}
    except (AttributeError, LookupError, TypeError, ValueError):
        return {}
    return found if all(is_name(name) and is_blob(found[name][0]) for name in found) else {}


def _read_lease(path: Path) -> set[str]:
    found = _read_json(path).get("entries")
    return {str(name) for name in found} if isinstance(found, list) else set()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file as a whole: who reads it meanwhile sees the old one."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(document))
        fresh.replace(path)
    except OSError as error:
        raise FetchError(describe_disk_error(error, str(path))) from error
