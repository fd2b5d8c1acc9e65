"""What a hub or a mirror of it may leave out of its list, or say wrongly. The hub is a stand-in, `huggingface_hub` the real one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import huggingface_hub
import pytest
from tests.support.hub import COMMIT, FILES, NEXT_COMMIT, Hub

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.fetch import fetch_model, read_options
from llmdeployment_serving.weights.files import Listing, name_blob, select_files
from llmdeployment_serving.weights.hub import list_hub
from llmdeployment_serving.weights.sources import HubSource, parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = HubSource("acme/tiny", "main")
WANTED = {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        constants = huggingface_hub.constants
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


def list_files(commit: str = "", token: str | None = None) -> Listing:
    select = partial(select_files, str(SOURCE), needed="config.json", pickles=False)
    return list_hub(SOURCE, token, commit, select)


def test_a_size_that_the_list_does_not_tell_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    hub.sizes, hub.token = False, "hf_right"
    found = {file.name: file.size for file in list_files(token=hub.token).files}
    assert found == {name: len(FILES[name]) for name in WANTED}
    source, options = parse_source("hf://acme/tiny"), read_options({"HF_TOKEN": hub.token})
    assert fetch_model(source, tmp_path, options) == COMMIT
    assert all((tmp_path / name).read_bytes() == FILES[name] for name in WANTED)


def test_a_list_that_tells_sizes_needs_no_more_requests(hub: Hub) -> None:
    hub.measurable = False
    assert {file.name for file in list_files().files} == WANTED


def test_a_size_that_nobody_tells_is_no_empty_file(hub: Hub) -> None:
    hub.sizes = hub.measurable = False
    with pytest.raises(FetchError) as told:
        list_files()
    assert str(told.value) == (
        "the hub does not tell the size of config.json: use a mirror that answers HEAD with it (HF_ENDPOINT)"
    )


def test_a_hub_that_refuses_the_question_for_a_size(hub: Hub) -> None:
    hub.sizes = False
    hub.refused["tokenizer.json"] = 403
    with pytest.raises(
        FetchError, match=r"hf://acme/tiny@main is refused by the hub \(status 403\)"
    ):
        list_files()


def test_a_file_without_a_digest_is_another_one_in_another_commit(hub: Hub) -> None:
    hub.sizes = False
    one, other = list_files(COMMIT), list_files(NEXT_COMMIT)
    assert one.files == other.files
    assert name_blob(one.files[0], one) != name_blob(other.files[0], other)


@pytest.mark.parametrize(
    "change",
    [
        {"lfs": {"sha256": "/../../../x", "size": 1, "pointerSize": 1}},
        {"lfs": {"sha256": "A" * 64, "size": 1, "pointerSize": 1}},
        {"lfs": None, "blobId": "../../../x"},
        {"lfs": None, "blobId": "a" * 64},
    ],
)
def test_a_digest_that_is_none_names_no_file(hub: Hub, change: dict[str, object]) -> None:
    hub.changes["model.safetensors"] = change
    with pytest.raises(FetchError) as told:
        list_files()
    assert str(told.value) == (
        "hf://acme/tiny@main has a file whose digest is none (model.safetensors): check HF_ENDPOINT"
    )


@pytest.mark.parametrize("size", ["many", -5])
def test_a_size_that_is_none_is_asked_for(hub: Hub, size: object) -> None:
    hub.changes["tokenizer.json"] = {"size": size}
    assert {file.size for file in list_files().files if file.name == "tokenizer.json"} == {2}


def test_a_hub_that_does_not_tell_the_commit(hub: Hub) -> None:
    hub.main = "../x"
    with pytest.raises(FetchError, match="the hub does not tell the commit: check HF_ENDPOINT"):
        list_files()
