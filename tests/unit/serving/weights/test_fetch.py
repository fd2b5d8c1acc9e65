"""Models of a bucket and of a web server. The servers are stand-ins; `obstore`, which lists and signs, is the real one."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.support.bucket import Bucket
from tests.support.hub import FILES
from tests.support.ports import free_port
from tests.support.web_folder import WebFolder

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.fetch import fetch_adapter, fetch_model, read_options
from llmdeployment_serving.weights.sources import parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RIGHT = "hf_right"
WANTED = {"config.json", "model.safetensors", "tokenizer.json"}
SOURCE = "s3://models/llama/3"
BAD_CREDENTIALS = f"{SOURCE} cannot be read: check the Secret of spec.model.credentialsSecretRef"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with Bucket(FILES) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def web() -> Iterator[WebFolder]:
    with WebFolder(FILES) as server:
        yield server


def fetch(folder: Path, source: str = SOURCE, sha256: str = "", **environment: str) -> str:
    given = {**os.environ, **environment}
    return fetch_model(parse_source(source, sha256), folder, read_options(given))


def list_files(folder: Path) -> set[str]:
    found = {path.name for path in folder.iterdir()}
    assert all((folder / name).read_bytes() == FILES[name] for name in found & FILES.keys())
    return found - {".llmdeployment.json"}


@pytest.mark.parametrize("multipart", [False, True])
def test_a_model_arrives_from_a_bucket(bucket: Bucket, tmp_path: Path, *, multipart: bool) -> None:
    bucket.multipart = multipart
    assert len(fetch(tmp_path)) == 64
    assert list_files(tmp_path) == WANTED


def test_the_empty_objects_that_consoles_write_for_folders_are_no_files(
    bucket: Bucket, tmp_path: Path
) -> None:
    more = {"llama/3/": b"", "llama/3/extra/": b"", "llama/3/extra/a.json": b"[]"}
    bucket.objects |= more
    fetch(tmp_path)
    assert (tmp_path / "extra" / "a.json").read_bytes() == b"[]"
    assert not (tmp_path / "3").exists()


def test_a_public_bucket_needs_no_credentials(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.public = True
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    fetch(tmp_path)
    assert list_files(tmp_path) == WANTED


@pytest.mark.parametrize(
    ("source", "change", "told"),
    [
        (SOURCE, {"AWS_SECRET_ACCESS_KEY": "wrong"}, BAD_CREDENTIALS),
        (SOURCE, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, BAD_CREDENTIALS),
        (
            SOURCE,
            {"AWS_SECRET_ACCESS_KEY": ""},
            f"{SOURCE} has credentials that are not complete: check the Secret of spec.model.credentialsSecretRef",
        ),
        ("s3://models/none", {}, "s3://models/none has no objects: check spec.model.source"),
        (
            "s3://other/llama",
            {},
            "s3://other/llama was not found: check spec.model.source and AWS_ENDPOINT_URL",
        ),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    change: dict[str, str],
    told: str,
) -> None:
    for name, value in change.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name)
    with pytest.raises(FetchError) as refused:
        fetch(tmp_path, source)
    assert str(refused.value) == told


def test_a_damaged_object_is_found_by_its_md5_and_not_where_it_has_none(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.damaged = "model.safetensors"
    with pytest.raises(FetchError, match="is not what it should be"):
        fetch(tmp_path / "one")
    bucket.multipart = True
    fetch(tmp_path / "two")


def test_a_bucket_whose_objects_changed_since_the_revision_began_is_refused(
    bucket: Bucket, tmp_path: Path
) -> None:
    first = fetch(tmp_path / "one")
    assert fetch(tmp_path / "two", LLMD_MODEL_PIN=first) == first
    bucket.objects["llama/3/tokenizer.json"] = b"[]"
    with pytest.raises(FetchError) as refused:
        fetch(tmp_path / "three", LLMD_MODEL_PIN=first)
    assert str(refused.value) == (
        f"{SOURCE} holds other files than when this revision began: put them back, or change spec.model.source"
    )


@pytest.mark.usefixtures("bucket")
def test_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(FetchError) as refused:
        fetch(tmp_path)
    assert str(refused.value).startswith(f"{SOURCE} could not be listed")
    assert "\n" not in str(refused.value)


def test_a_model_arrives_from_a_web_server(web: WebFolder, tmp_path: Path) -> None:
    web.token = RIGHT
    assert fetch(tmp_path, web.source, web.sha256, LLMD_SOURCE_TOKEN=RIGHT) == web.sha256
    assert list_files(tmp_path) == WANTED


def test_a_list_that_is_not_the_right_one_is_refused(web: WebFolder, tmp_path: Path) -> None:
    fetch(tmp_path, web.source, web.sha256)
    with pytest.raises(
        FetchError, match=rf"has the SHA-256 {web.sha256}, not that of spec\.model\.sha256"
    ):
        fetch(tmp_path, web.source, "0" * 64)


def test_a_web_server_that_refuses(web: WebFolder, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"was not found: check spec\.model\.source"):
        fetch(tmp_path, f"{web.url}/models/none", web.sha256)
    web.refused["tokenizer.json"] = 500
    with pytest.raises(FetchError, match=r"tokenizer\.json: .* is refused by the server"):
        fetch(tmp_path, web.source, web.sha256)
    web.token = RIGHT
    with pytest.raises(FetchError, match=r"status 401\): check the Secret of spec\.model\.token"):
        fetch(tmp_path, web.source, web.sha256)


def test_a_file_that_is_not_that_of_the_list_is_refused(web: WebFolder, tmp_path: Path) -> None:
    web.damaged = "model.safetensors"
    with pytest.raises(FetchError, match=r"model\.safetensors of .* is not what it should be"):
        fetch(tmp_path, web.source, web.sha256)


def test_a_cache_keeps_what_came_from_any_source(
    bucket: Bucket, web: WebFolder, tmp_path: Path
) -> None:
    given = {"LLMD_MODEL_CACHE": str(tmp_path / "cache"), "LLMD_POD_UID": "pod"}
    fetch(tmp_path / "one", **given)
    fetch(tmp_path / "two", web.source, web.sha256, **given)
    fetch(tmp_path / "three", web.source, web.sha256, **given)
    assert sorted(bucket.sent.names) == sorted(WANTED)
    assert sorted(name for name in web.sent.names if name in WANTED) == sorted(WANTED)
    assert list_files(tmp_path / "three") == WANTED


ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


def test_an_adapter_needs_no_model(tmp_path: Path) -> None:
    with WebFolder(ADAPTER) as web:
        folder = tmp_path / "adapter"
        source = parse_source(web.source, web.sha256)
        fetch_adapter(source, folder, read_options({"LLMD_MODEL_PIN": "0" * 40}))
        assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
        with pytest.raises(FetchError, match=r"has no config\.json"):
            fetch_model(source, tmp_path / "model", read_options({}))
    with WebFolder(FILES) as web, pytest.raises(FetchError, match=r"has no adapter_config\.json"):
        fetch_adapter(parse_source(web.source, web.sha256), tmp_path / "no", read_options({}))


def test_a_token_of_the_hub_is_not_sent_to_a_web_server(web: WebFolder, tmp_path: Path) -> None:
    web.token = RIGHT
    with pytest.raises(FetchError, match="status 401"):
        fetch(tmp_path, web.source, web.sha256, HF_TOKEN=RIGHT)


def test_a_pod_whose_containers_start_again_leases_its_files_again(
    web: WebFolder, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    given = {"LLMD_MODEL_CACHE": str(cache), "LLMD_POD_UID": "pod"}
    fetch(tmp_path / "model", web.source, web.sha256, **given)
    (cache / "leases" / "pod").unlink()
    (tmp_path / "model" / "config.json").resolve().unlink()
    web.sent.names.clear()
    fetch(tmp_path / "model", web.source, web.sha256, **given)
    assert (cache / "leases" / "pod").exists()
    assert web.sent.names == ["SHA256SUMS", "config.json"]
    assert list_files(tmp_path / "model") == WANTED


def test_a_bucket_that_changed_does_not_matter_to_a_pod_that_has_its_files(
    bucket: Bucket, tmp_path: Path
) -> None:
    given = {"LLMD_MODEL_CACHE": str(tmp_path / "cache"), "LLMD_POD_UID": "pod"}
    first = fetch(tmp_path / "model", **given)
    bucket.objects["llama/3/tokenizer.json"] = b"[]"
    assert fetch(tmp_path / "model", **given) == first


CASES = {"config.json": b"{}", "a.json": b"[1]", "A.json": b"[2]", "B/a.json": b"[3]"}


@pytest.mark.parametrize("cached", [False, True])
def test_names_that_differ_by_case_are_two_files(tmp_path: Path, *, cached: bool) -> None:
    given = {"LLMD_MODEL_CACHE": str(tmp_path / "cache"), "LLMD_POD_UID": "pod"} if cached else {}
    with WebFolder(CASES) as web:
        fetch(tmp_path / "model", web.source, web.sha256, **given)
    assert all((tmp_path / "model" / name).read_bytes() == data for name, data in CASES.items())


def test_names_that_differ_by_case_are_refused_where_the_volume_takes_them_for_one(
    tmp_path: Path,
) -> None:
    with WebFolder(CASES) as web:
        parts = tmp_path / "model" / ".parts"
        parts.mkdir(parents=True)
        note = json.dumps({"source": web.source, "commit": web.sha256})
        for name in (".llmdeployment.json", ".LLMDEPLOYMENT.JSON"):
            (parts / name).write_text(note)
        with pytest.raises(FetchError, match="takes them for one: use another volume"):
            fetch(tmp_path / "model", web.source, web.sha256)


@pytest.mark.parametrize("name", ["../x.json", "/tmp/x.json", "a/../../x.json", "a\0.json"])  # noqa: S108  # because nothing is written there
def test_a_list_or_a_bucket_cannot_write_beside_the_folder(
    bucket: Bucket, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "pod" / "model"
    bucket.objects[f"llama/3/{name}"] = b"[]"
    # Names that begin with a dot are skipped, and others refused.
    with WebFolder({**FILES, name: b"[]"}) as web, suppress(FetchError):
        fetch(folder, web.source, web.sha256)
    with suppress(FetchError):
        fetch(folder)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(folder) and path.name != "x.json" for path in written)


def test_a_list_that_names_a_file_twice_is_refused(web: WebFolder, tmp_path: Path) -> None:
    web.list += web.list.splitlines(keepends=True)[0].replace(b"  ", b"  ./")
    web.content["SHA256SUMS"] = web.list
    with pytest.raises(FetchError, match=r"names config\.json twice: name it once"):
        fetch(tmp_path, web.source, web.sha256)


def test_a_folder_that_cannot_be_written_is_told(web: WebFolder, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(FetchError) as told:
        fetch(tmp_path / "model", web.source, web.sha256)
    assert str(told.value).endswith("check the volume")
