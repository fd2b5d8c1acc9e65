"""Downloads a model to a pod, in the init container: `fetch-model`.

Every failure is one sentence that names the source and what to do, since `kubectl describe` and the LLMDeployment's condition
show nothing else. A folder that already holds the model (a PVC, a restarted pod) is used as it is, without the network.

With a cache the files lie there, and the folder has a link to each. Without one they lie in the folder.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.weights.bucket import explain_bucket, list_bucket
from llmdeployment_serving.weights.cache import Cache, CacheSettings, name_entry
from llmdeployment_serving.weights.files import Listing, RemoteFile, name_blob, select_files
from llmdeployment_serving.weights.hub import explain_hub, list_hub
from llmdeployment_serving.weights.progress import Progress, serve_progress
from llmdeployment_serving.weights.sources import BucketSource, HubSource, Source, WebSource
from llmdeployment_serving.weights.transfer import (
    Explain,
    describe_disk_error,
    hash_file,
    receive,
)
from llmdeployment_serving.weights.web import explain_web, list_web

ADAPTER_CONFIG = "adapter_config.json"
MARKER = ".llmdeployment.json"
CONNECTIONS = 8
"""Files that arrive at once."""
_wait_seconds = 0.2
_commit = re.compile(r"[0-9a-f]{40}")
_parts = ".parts"


@dataclass(frozen=True)
class FetchOptions:
    """How a model is fetched.

    Attributes:
        hub_token: of the hub.
        web_token: of the web server.
        pin: what an earlier replica of the revision found at the source; empty: what is there now.
        needed: the file without which the rest is of no use.
        pickles: whether weights as pickle files are wanted.
        cache: the cache of the node; None: there is none.
        port: where progress is told; None: nowhere.
        environment: credentials and address of an S3 store.
    """

    hub_token: str | None = None
    web_token: str | None = None
    pin: str = ""
    needed: str = "config.json"
    pickles: bool = False
    cache: CacheSettings | None = None
    port: int | None = None
    environment: Mapping[str, str] | None = None


def fetch_model(source: Source, folder: Path, options: FetchOptions) -> str:
    """Bring the files of a model into `folder`, and return what the source held: a commit, or a SHA-256.

    Raises:
        FetchError: the download failed; the files so far stay, and the next try resumes it.
    """
    try:
        return _fetch(source, folder, options)
    except OSError as error:
        raise FetchError(describe_disk_error(error, f"{source} in {folder}")) from error


def _fetch(source: Source, folder: Path, options: FetchOptions) -> str:
    marker = _read_marker(folder)
    same = _name_known(source, options) in ("", marker.get("commit"))
    here = str(marker.get("commit", "")) if marker.get("source") == str(source) and same else ""
    if options.cache is not None:
        # Also if the links are here already: nobody held the lease while no container of the pod ran.
        found = _fill_from_cache(Cache(options.cache), folder, source, _pin(options, here))
    elif here:
        return here
    else:
        found = _fill_folder(folder, source, options)
    _write_marker(folder, source, found)
    return found


def _pin(options: FetchOptions, commit: str) -> FetchOptions:
    """Return the options for a pod that had these files before: a branch that has moved since does not matter to it."""
    return replace(options, pin=options.pin or commit)


def fetch_adapter(source: Source, folder: Path, options: FetchOptions) -> str:
    """Bring the files of a LoRA adapter into `folder`, as `fetch_model` does with a model."""
    return fetch_model(source, folder, replace(options, needed=ADAPTER_CONFIG, pin=""))


def read_options(environment: Mapping[str, str]) -> FetchOptions:
    """Return the options that the operator renders into the environment of `fetch-model`."""
    folder = environment.get("LLMD_MODEL_CACHE")
    cache, port = None, environment.get("LLMD_PROGRESS_PORT", "")
    if folder:
        size = environment.get("LLMD_MODEL_CACHE_BYTES", "")
        cache = CacheSettings(
            folder=Path(folder),
            pod=environment.get("LLMD_POD_UID") or f"process-{os.getpid()}",
            limit=int(size) if size.isdecimal() and int(size) else None,
            verify_always=environment.get("LLMD_MODEL_CACHE_VERIFY") == "Always",
        )
    return FetchOptions(
        hub_token=environment.get("HF_TOKEN") or None,
        web_token=environment.get("LLMD_SOURCE_TOKEN") or None,
        pin=environment.get("LLMD_MODEL_PIN", ""),
        pickles=environment.get("LLMD_ALLOW_PICKLE") == "true",
        cache=cache,
        port=int(port) if port.isdecimal() else None,
        environment=environment,
    )


def _list_source(source: Source, options: FetchOptions) -> Listing:
    """Return what the source holds; if it is not what was pinned, only a hub can still give that."""
    select = partial(select_files, str(source), needed=options.needed, pickles=options.pickles)
    if isinstance(source, HubSource):
        return list_hub(source, options.hub_token, options.pin, select)
    if isinstance(source, BucketSource):
        listing = list_bucket(source, options.environment or {}, select)
    else:
        listing = list_web(source, options.web_token, select)
    if options.pin not in ("", listing.identity):
        raise FetchError(
            f"{source} holds other files than when this revision began: put them back, or change spec.model.source"
        )
    return listing


def _explain(source: Source, options: FetchOptions) -> Explain:
    if isinstance(source, HubSource):
        return explain_hub(source, has_token=options.hub_token is not None)
    return explain_bucket(source) if isinstance(source, BucketSource) else explain_web(source)


def _fill_folder(folder: Path, source: Source, options: FetchOptions) -> str:
    """Bring the files into a folder without a cache, and return what the source held."""
    listing, parts = _list_source(source, options), folder / _parts
    sizes = {file.name: file.size for file in listing.files}
    folder.mkdir(parents=True, exist_ok=True)
    _begin(folder, parts, listing)
    _check_case(folder, parts, listing)

    def count() -> int:
        paths = ((size, folder / name, parts / name) for name, size in sizes.items())
        return sum(min(size, _measure(final) or _measure(part)) for size, final, part in paths)

    _check_space(folder, listing, sum(sizes.values()) - count())
    explain = _explain(source, options)

    def bring(file: RemoteFile) -> None:
        final = folder / file.name
        # What lies here is whole: a file gets its name last.
        if not final.is_file():
            receive(
                file,
                listing.locate,
                explain,
                listing.source,
                partial=parts / file.name,
                final=final,
            )

    with serve_progress(Progress(count, sum(sizes.values())), options.port):
        _run_all(bring, listing.files)
    shutil.rmtree(parts, ignore_errors=True)
    return listing.identity


def _begin(folder: Path, parts: Path, listing: Listing) -> None:
    """Remove what an earlier download of something else left, but for files that are the same."""
    note = parts / MARKER
    if _read_marker(parts).get("commit") == listing.identity:
        return
    shutil.rmtree(parts, ignore_errors=True)
    for file in listing.files:
        path = folder / file.name
        if path.is_file() and not _is_same(path, file):
            path.unlink()
    parts.mkdir()
    note.write_text(json.dumps({"source": listing.source, "commit": listing.identity}))


def _check_case(folder: Path, parts: Path, listing: Listing) -> None:
    """Refuse names that differ by case only where the volume, such as one of SMB, takes them for one: both would go into one file."""
    names = {file.name.casefold() for file in listing.files}
    if len(names) < len(listing.files) and (parts / MARKER.upper()).exists():
        raise FetchError(
            f"{listing.source} has files whose names differ by case only, and {folder} takes them for one: use another volume"
        )


def _is_same(path: Path, file: RemoteFile) -> bool:
    if file.digest is None or path.stat().st_size != file.size:
        return False
    return hash_file(path, file.digest.kind) == file.digest.hex


def _measure(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _fill_from_cache(cache: Cache, folder: Path, source: Source, options: FetchOptions) -> str:
    """Bring what the cache lacks, link to it, and return what the source held."""
    if (known := _name_known(source, options)) and _link_known(cache, folder, source, known):
        return known
    listing = _list_source(source, options)
    keys = {file.name: name_blob(file, listing) for file in listing.files}
    sizes = {keys[file.name]: file.size for file in listing.files}
    explain = _explain(source, options)

    def bring(file: RemoteFile) -> None:
        key = keys[file.name]
        with cache.lock(key, wait=_wait):
            if not cache.is_whole(key, file.size):
                sha256 = receive(
                    file,
                    listing.locate,
                    explain,
                    listing.source,
                    partial=cache.partial(key),
                    final=cache.blob(key),
                )
                cache.record(key, sha256)

    with cache.lease(name_entry(listing.source, listing.identity)):
        cache.reserve(listing)
        progress = Progress(lambda: cache.count_bytes(sizes), sum(sizes.values()))
        with serve_progress(progress, options.port):
            _run_all(bring, listing.files)
        cache.touch(listing.source, listing.identity)
        _link(cache, folder, keys)
    return listing.identity


def _link_known(cache: Cache, folder: Path, source: Source, known: str) -> bool:
    """Link to a model that the cache has whole, without asking its source; say whether it has."""
    blobs = cache.find_blobs(str(source), known)
    if not blobs:
        return False
    with cache.lease(name_entry(str(source), known)):
        for key, size in blobs.values():
            with cache.lock(key, wait=_wait):
                if not cache.is_whole(key, size):
                    return False
        cache.touch(str(source), known)
        _link(cache, folder, {name: key for name, (key, _) in blobs.items()})
    return True


def _name_known(source: Source, options: FetchOptions) -> str:
    """Return what the source holds if that is known without asking it."""
    if options.pin:
        return options.pin
    if isinstance(source, WebSource):
        return source.sha256
    if isinstance(source, HubSource) and _commit.fullmatch(source.revision):
        return source.revision
    return ""


def _run_all(bring: Callable[[RemoteFile], None], files: tuple[RemoteFile, ...]) -> None:
    """Bring files, several at once, the largest first; the first error ends it when the files that arrive are done."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        tries = [
            pool.submit(bring, file)
            for file in sorted(files, key=lambda file: file.size, reverse=True)
        ]
        try:
            for each in tries:
                each.result()
        except BaseException:  # because a signal ends the other downloads too; it is raised again
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _wait() -> None:
    # Another pod holds the lock, perhaps on another node, and the kernel would wake us on this one alone.
    time.sleep(_wait_seconds)  # why: polling, because no other node tells


def _check_space(folder: Path, listing: Listing, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{listing.source} needs {needed / 2**30:.1f} GiB more, but {folder} has only {free / 2**30:.1f} GiB "
            "free: give the volume more room"
        )


def _link(cache: Cache, folder: Path, keys: Mapping[str, str]) -> None:
    for name, key in keys.items():
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(cache.blob(key))


def _read_marker(folder: Path) -> dict[str, Any]:
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_marker(folder: Path, source: Source, identity: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(json.dumps({"source": str(source), "commit": identity}))
