from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llmdeployment_serving.errors import FetchError
from llmdeployment_serving.weights import files
from llmdeployment_serving.weights.files import (
    Digest,
    Listing,
    RemoteFile,
    Request,
    identify,
    name_blob,
    select_files,
)
from llmdeployment_serving.weights.sources import WebSource, parse_source
from llmdeployment_serving.weights.web import parse_list

if TYPE_CHECKING:
    from collections.abc import Iterable

SUM = "a" * 64


def select(
    names: Iterable[str], *, needed: str = "config.json", pickles: bool = False
) -> list[str]:
    found = select_files(
        "hf://a/b@main", [RemoteFile(name, 1) for name in names], needed=needed, pickles=pickles
    )
    return [file.name for file in found]


def test_copies_of_the_weights_in_other_formats_stay_away() -> None:
    names = [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "onnx/model.json",
        ".gitattributes",
        "README.md",
        "model.gguf",
        "training_args.pkl",
        "tokenizer.json",
    ]
    assert select(names) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert select(names, pickles=True) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", ["w.bin", "w.pt", "w.pth", "w.pkl", "w.pickle", "w.ckpt"])
def test_pickles_are_refused_unless_they_are_wanted(name: str) -> None:
    with pytest.raises(FetchError) as refused:
        select(["config.json", name])
    assert str(refused.value) == (
        f"hf://a/b@main has its weights as pickle files only ({name}), which can run code when they are loaded: "
        "convert them to safetensors, or set spec.model.allowPickle"
    )
    assert select(["config.json", name], pickles=True) == ["config.json", name]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["model.safetensors"], "has no config.json"),
        (["config.json", "/etc/x.safetensors"], "has a file whose name cannot be used"),
        (["config.json", "a/../b.safetensors"], "has a file whose name cannot be used"),
        (["config.json", "a\nb.safetensors"], "has a file whose name cannot be used"),
        (["config.json", "a\0b.safetensors"], "has a file whose name cannot be used"),
        (["config.json", "a\\..\\b.safetensors"], "has a file whose name cannot be used"),
        (["config.json", "a//b.safetensors"], "has a file whose name cannot be used"),
        (["config.json", "a/"], "has a file whose name cannot be used"),
        (["config.json", ""], "has a file whose name cannot be used"),
        (["config.json", "\ud800.json"], r"name cannot be used \('\\ud800.json'\)"),
        (["config.json", "a" * 256], "has a file whose name cannot be used"),
        (["config.json", "a/" * 512 + "a"], "has a file whose name cannot be used"),
        (["config.json", "config.json"], "names config.json twice: name it once"),
        (["config.json", "a/b", "a/b/c/d"], "has a/b both as a file and as a folder"),
    ],
)
def test_what_is_no_model_is_refused(names: list[str], told: str) -> None:
    with pytest.raises(FetchError, match=told):
        select(names)


def test_the_longest_names_are_taken() -> None:
    names = ["config.json", "a" * 255, "a/" * 511 + "ab"]
    assert select(names) == names


def test_a_source_with_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 2)
    assert select(["config.json", "a.json"])
    with pytest.raises(FetchError, match="more than 2 files"):
        select(["config.json", "a.json", "b.json"])


def test_a_blob_is_named_after_its_content_or_its_version() -> None:
    def name(file: RemoteFile, source: str = "s3://models/a") -> str:
        return name_blob(file, Listing(source, "", (), lambda _: Request("")))

    known = RemoteFile("w", 1, Digest("sha256", SUM))
    assert name(known) == name(RemoteFile("other", 1, Digest("sha256", SUM)), "hf://a/b")
    versions = [
        RemoteFile("w", 1, Digest("md5", "1"), "1"),
        RemoteFile("w", 1, Digest("md5", "2"), "2"),
        RemoteFile("w", 2, None, "1"),
        RemoteFile("v", 1, None, "1"),
    ]
    assert len({name(each) for each in versions} | {name(versions[0], "s3://b/a")}) == 5


def test_an_identity_is_that_of_names_sizes_and_versions() -> None:
    one = [RemoteFile("a", 1, None, "x"), RemoteFile("b", 2, Digest("sha256", SUM))]
    assert identify(one) == identify(reversed(one))
    others = [
        [RemoteFile("a", 1, None, "y"), one[1]],
        [RemoteFile("a", 2, None, "x"), one[1]],
        [RemoteFile("c", 1, None, "x"), one[1]],
        [one[0], RemoteFile("b", 2, Digest("sha256", "b" * 64))],
    ]
    assert len({identify(each) for each in [one, *others]}) == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://host/x", "is not a source that this command can download"),
        ("hf://name", "Use hf://organisation/name"),
        ("s3://", "Use s3://bucket/prefix"),
        ("s3://UPPER/x", "Use s3://bucket/prefix"),
        ("https://host/", "names no file"),
    ],
)
def test_a_source_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(FetchError, match=told):
        parse_source(text, SUM)


def test_a_web_source_needs_its_sha256() -> None:
    with pytest.raises(FetchError, match=r"set spec\.model\.sha256"):
        parse_source("https://host/SHA256SUMS", "abc")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1"),
        ("<html>", "line 1"),
        (f"{SUM}  a\nabc  b\n", "line 2"),
        (f"{SUM[1:]}  a\n", "line 1"),
    ],
)
def test_a_list_that_sha256sum_did_not_write_is_refused(text: str, told: str) -> None:
    with pytest.raises(FetchError, match=told):
        parse_list(text, WebSource("https://host/SHA256SUMS", SUM))


def test_a_list_is_read_as_sha256sum_writes_it() -> None:
    found = parse_list(
        f"{SUM}  config.json\n{SUM} *./b/w.safetensors\n", WebSource("https://host/x", SUM)
    )
    assert [file.name for file in found] == ["config.json", "b/w.safetensors"]
    assert found[0].digest == Digest("sha256", SUM)
