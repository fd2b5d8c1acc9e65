from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from typing import IO, TYPE_CHECKING

import pytest

from llmdeployment_serving.errors import ConfigError, FetchError
from llmdeployment_serving.weights import cache as cache_module
from llmdeployment_serving.weights.cache import (
    GRACE_SECONDS,
    Cache,
    CacheSettings,
    name_entry,
)
from llmdeployment_serving.weights.files import Listing, RemoteFile, Request, name_blob
from llmdeployment_serving.weights.lease import hold_lease, hold_model

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


class Node:
    """The cache of a node as its pods see it. Models have one file of 10 bytes, and the cache holds 25."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()

    def open(self, pod: str, *, verify_always: bool = False) -> Cache:
        return Cache(CacheSettings(self.folder, pod, 25, verify_always), self.clock)

    def list_model(self, model: str) -> Listing:
        file = RemoteFile("w.safetensors", 10, None, model)
        return Listing(f"s3://models/{model}", model, (file,), lambda _: Request(""))

    def fetch(self, pod: str, model: str) -> None:
        """What an init container does: its lease is free when it ends."""
        listing, cache = self.list_model(model), self.open(pod)
        with cache.lease(name_entry(listing.source, listing.identity)):
            cache.reserve(listing)
            self.blob(model).write_bytes(model.encode().ljust(10))
            cache.record(self.blob(model).name, "0" * 64)
            cache.touch(listing.source, listing.identity)

    def blob(self, model: str) -> Path:
        listing = self.list_model(model)
        return self.folder / "blobs" / name_blob(listing.files[0], listing)

    def models(self) -> set[str]:
        return {m for m in ("a", "b", "c", "d") if self.blob(m).exists()}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def end_pod(descriptor: int | None) -> None:
    assert descriptor is not None
    os.close(descriptor)


def test_the_least_recently_used_model_goes_when_its_pod_is_gone(node: Node) -> None:
    node.fetch("p1", "a")
    node.clock.at += 10
    node.fetch("p2", "b")
    # The first pass sees that nobody holds the leases, a later one that nobody has for long.
    with pytest.raises(FetchError, match="the model cache lacks"):
        node.fetch("p3", "c")
    node.clock.at += GRACE_SECONDS
    node.fetch("p3", "c")
    assert node.models() == {"b", "c"}


def test_a_model_whose_pod_runs_stays_however_long(node: Node) -> None:
    node.fetch("p1", "a")
    node.fetch("p2", "b")
    running = hold_lease(node.folder, "p1")
    file = RemoteFile("w", 20, None, "big")
    big = Listing("s3://models/big", "big", (file,), lambda _: Request(""))
    for _ in range(3):
        node.clock.at += GRACE_SECONDS
        with pytest.raises(FetchError, match="the model cache lacks"):
            node.open("p3").reserve(big)
        assert node.models() == {"a", "b"}
    end_pod(running)


def test_a_container_that_starts_again_within_its_back_off_keeps_its_model(node: Node) -> None:
    node.fetch("p1", "a")
    end_pod(hold_lease(node.folder, "p1"))
    node.fetch("p2", "b")
    with pytest.raises(FetchError, match="the model cache lacks"):
        node.fetch("p3", "c")
    node.clock.at += GRACE_SECONDS - 1
    with pytest.raises(FetchError, match="the model cache lacks"):
        node.fetch("p3", "c")
    # It runs again, so that the time before counts no more.
    running = hold_lease(node.folder, "p1")
    node.clock.at += GRACE_SECONDS
    node.fetch("p3", "c")
    assert node.models() == {"a", "c"}
    end_pod(running)


def test_a_look_of_days_ago_does_not_count_when_a_container_starts_again(node: Node) -> None:
    node.fetch("p1", "a")
    # Between the pod's init container and its worker.
    node.fetch("p2", "b")
    running = hold_lease(node.folder, "p1"), hold_lease(node.folder, "p2")
    node.clock.at += 100 * GRACE_SECONDS
    end_pod(running[0])
    with pytest.raises(FetchError, match="the model cache lacks"):
        node.fetch("p3", "c")
    again = hold_lease(node.folder, "p1")
    assert node.models() == {"a", "b"}
    end_pod(again)
    end_pod(running[1])


def test_looks_that_follow_each_other_add_up(node: Node) -> None:
    node.fetch("p1", "a")
    node.fetch("p2", "b")
    for _ in range(4):
        with pytest.raises(FetchError, match="the model cache lacks"):
            node.fetch("p3", "c")
        node.clock.at += GRACE_SECONDS / 4
    node.fetch("p3", "c")
    assert "c" in node.models()


def test_a_look_is_kept_where_reading_changes_the_time_of_a_file(node: Node) -> None:
    node.fetch("p1", "a")
    node.fetch("p2", "b")
    mark = node.folder / "leases" / "p1.free"
    with pytest.raises(FetchError, match="the model cache lacks"):
        node.fetch("p3", "c")
    stat = mark.stat()
    node.clock.at += GRACE_SECONDS
    os.utime(mark, (node.clock.at, stat.st_mtime))
    node.fetch("p3", "c")
    assert node.models() == {"a", "c"}


def test_a_lease_is_looked_at_as_nfs_allows(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def lock_like_nfs(handle: IO[bytes], how: int) -> None:
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        if how & fcntl.LOCK_EX and mode == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", lock_like_nfs)
    node.fetch("p1", "a")
    node.fetch("p2", "b")
    assert node.models() == {"a", "b"}


def test_a_worker_waits_while_a_pod_decides_what_goes(node: Node) -> None:
    node.fetch("p1", "a")
    held: list[int | None] = []
    worker = threading.Thread(target=lambda: held.append(hold_lease(node.folder, "p1")))
    with node.open("p2").lock("cache"):
        worker.start()
        worker.join(0.1)
        assert not held
        # It has seen that the lease is over.
        (node.folder / "leases" / "p1").unlink()
    worker.join()
    assert held == [None]


def test_what_lacks_is_told(node: Node) -> None:
    node.fetch("p1", "a")
    node.fetch("p2", "b")
    with pytest.raises(FetchError) as told:
        node.fetch("p3", "c")
    assert str(told.value).startswith(
        "s3://models/c needs 0.0 GiB, and the model cache lacks 0.0 GiB"
    )
    assert str(told.value).endswith("give the volume more room or raise modelCache.size")


def test_a_model_that_is_used_again_is_not_the_oldest(node: Node) -> None:
    node.fetch("p1", "a")
    node.clock.at += 10
    node.fetch("p2", "b")
    node.clock.at += 10
    node.fetch("p4", "a")
    with pytest.raises(FetchError, match="lacks"):
        node.fetch("p3", "c")
    node.clock.at += GRACE_SECONDS
    node.fetch("p3", "c")
    assert node.models() == {"a", "c"}


def test_files_and_parts_that_no_model_has_go(node: Node) -> None:
    for folder in ("blobs", "partial", "records"):
        (node.folder / folder).mkdir()
    (node.folder / "blobs" / "sha256-0").write_bytes(b"x" * 20)
    (node.folder / "records" / "sha256-0.json").write_text("{}")
    (node.folder / "partial" / "sha256-1").write_bytes(b"x" * 20)
    node.fetch("p1", "a")
    left = [path.name for path in node.folder.rglob("sha256-*")]
    assert left == []


def test_another_models_partial_file_stays_while_it_arrives(node: Node) -> None:
    listing, cache = node.list_model("a"), node.open("p1")
    with cache.lease(name_entry(listing.source, listing.identity)):
        cache.reserve(listing)
        part = cache.partial(node.blob("a").name)
        part.write_bytes(b"x" * 5)
        node.fetch("p2", "b")
        assert part.stat().st_size == 5


def write_blob(node: Node, data: bytes, kind: str = "sha256") -> tuple[str, Path]:
    cache = node.open("p1")
    digest = cache_module.hashlib.sha256(data).hexdigest()
    key = f"{kind}-{digest}"
    cache.blob(key).write_bytes(data)
    cache.record(key, digest)
    return key, cache.blob(key)


def test_a_file_that_was_changed_is_removed_and_one_that_was_copied_back_is_not(node: Node) -> None:
    data = b"weights" * 1000
    for kind in ("sha256", "etag"):
        key, blob = write_blob(node, data, kind)
        cache = node.open("p1")
        assert cache.is_whole(key, len(data))
        blob.write_bytes(data)
        os.utime(blob, (1, 1))
        assert cache.is_whole(key, len(data))
        blob.write_bytes(b"W" + data[1:])
        assert not cache.is_whole(key, len(data))
        assert not blob.exists()
        assert not cache.is_whole(key, len(data))


def test_a_file_that_was_cut_is_removed(node: Node) -> None:
    key, blob = write_blob(node, b"weights")
    blob.write_bytes(b"weigh")
    assert not node.open("p1").is_whole(key, 7)
    assert not blob.exists()


def test_bits_that_flipped_unseen_are_found_by_a_check_of_all(node: Node) -> None:
    data = b"weights" * 1000
    key, blob = write_blob(node, data)
    before = blob.stat()
    blob.write_bytes(b"W" + data[1:])
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert node.open("p1").is_whole(key, len(data))
    assert not node.open("p1", verify_always=True).is_whole(key, len(data))


def test_a_file_whose_record_is_lost_is_read_if_its_name_tells_its_content(node: Node) -> None:
    data = b"weights"
    for kind, whole in (("sha256", True), ("etag", False)):
        key, _ = write_blob(node, data, kind)
        (node.folder / "records" / f"{key}.json").unlink()
        assert node.open("p1").is_whole(key, len(data)) is whole


def test_a_download_is_one_pods_at_a_time(node: Node) -> None:
    first, second = node.open("p1"), node.open("p2")
    waited = []
    with first.lock("sha256-0"):

        def wait() -> None:
            waited.append(1)
            if len(waited) == 3:
                raise InterruptedError

        with pytest.raises(InterruptedError), second.lock("sha256-0", wait=wait):
            pass
    with second.lock("sha256-0", wait=lambda: None):
        pass


def test_progress_counts_whole_files_and_parts(node: Node) -> None:
    cache = node.open("p1")
    cache.blob("a").write_bytes(b"x" * 10)
    cache.partial("b").write_bytes(b"x" * 4)
    assert cache.count_bytes({"a": 10, "b": 10, "c": 10}) == 14


def test_a_cache_that_cannot_be_written_names_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(FetchError) as told:
        Cache(CacheSettings(tmp_path / "none", "p1"))
    assert f"cannot be written by user {os.getuid()} (Permission denied)" in str(told.value)


def test_a_pod_without_a_lease_holds_none(tmp_path: Path) -> None:
    assert hold_lease(tmp_path, "p1") is None


def test_a_lease_outlives_exec(node: Node) -> None:
    node.fetch("p1", "a")
    descriptor = hold_lease(node.folder, "p1")
    assert descriptor is not None
    assert os.get_inheritable(descriptor)
    with (node.folder / "leases" / "p1").open("rb") as handle, pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    end_pod(descriptor)


def test_a_pod_with_two_models_uses_both(node: Node) -> None:
    node.fetch("p1", "a")
    node.fetch("p1", "b")
    lease = json.loads((node.folder / "leases" / "p1").read_text())
    assert len(lease["entries"]) == 2


def test_a_worker_holds_its_lease_and_names_a_file_that_is_lost(node: Node, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "w").symlink_to(node.blob("a"))
    environment = {"LLMD_MODEL_CACHE": str(node.folder), "LLMD_POD_UID": "p1"}
    assert hold_model({}, [models]) is None
    with pytest.raises(ConfigError, match="has left the model cache"):
        hold_model(environment, [models])
    node.fetch("p1", "a")
    end_pod(hold_model(environment, [models]))


@pytest.mark.parametrize(
    ("name", "blob", "size"),
    [
        ("w", "../../outside", 7),
        ("w", "/outside", 7),
        ("../w", f"sha256-{'0' * 64}", 7),
        ("/w", f"sha256-{'0' * 64}", 7),
        ("w", f"sha256-{'0' * 64}", "many"),
    ],
)
def test_an_entry_that_this_cache_did_not_write_names_nothing(
    node: Node, name: str, blob: str, size: object
) -> None:
    cache = node.open("p1")
    entry = node.folder / "entries" / f"{name_entry('s3://models/a', 'a')}.json"
    rows: list[object] = [{name: {"blob": blob, "size": size}}, {name: blob}, {name: {}}, [name]]
    for document in rows:
        entry.write_text(json.dumps({"files": document}))
        assert cache.find_blobs("s3://models/a", "a") == {}
        node.fetch("p2", "b")
    assert node.models() == {"b"}


def test_what_goes_is_inside_of_the_cache(node: Node, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"kept")
    node.open("p1")
    for folder in ("blobs", "partial", "leases"):
        (node.folder / folder / "link").symlink_to(outside / "file")
        (node.folder / folder / "folder-link").symlink_to(outside)
        (node.folder / folder / "folder").mkdir()
        (node.folder / folder / ".nfs0001").write_bytes(b"open elsewhere")
    for model in ("a", "b"):
        node.fetch(f"p-{model}", model)
    assert (outside / "file").read_bytes() == b"kept"
    assert (node.folder / "blobs" / ".nfs0001").exists()


def test_a_lease_that_is_damaged_uses_nothing(node: Node) -> None:
    node.open("p1")
    for text in ("", "[]", '{"entries": 1}', '{"entries": [{}]}'):
        (node.folder / "leases" / "p0").write_text(text)
        node.fetch("p1", "a")
    assert node.models() == {"a"}


def test_a_cache_whose_folder_is_a_link_is_refused(tmp_path: Path) -> None:
    cache, outside = tmp_path / "cache", tmp_path / "outside"
    cache.mkdir()
    outside.mkdir()
    (cache / "blobs").symlink_to(outside)
    with pytest.raises(FetchError, match="blobs is a link, and the model cache has folders"):
        Cache(CacheSettings(cache, "p1"))
