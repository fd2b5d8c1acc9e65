"""The mounted file with what answers are looked at for: what is taken, what is refused, and when."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from llmdeployment_serving import monitoring_file
from llmdeployment_serving.config import MonitoringConfig
from llmdeployment_serving.monitoring_file import LOOK_SECONDS, MAX_BYTES, MonitoringFile


def write(path: Path, *names: str) -> None:
    patterns = [{"name": name, "pattern": "x"} for name in names]
    path.write_text(json.dumps({"outputPatterns": patterns}))


def follow(path: Path) -> tuple[MonitoringFile, list[list[str]]]:
    """Return a file and the list of what was taken from it."""
    taken: list[list[str]] = []

    def take(found: MonitoringConfig) -> None:
        taken.append([each.name for each in found.output_patterns])

    return MonitoringFile(path, take), taken


def test_what_changes_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.json"
    file, taken = follow(path)
    file.look()
    write(path, "brand")
    for _ in range(3):
        file.look()
    write(path, "brand", "other")
    file.look()
    path.unlink()
    file.look()
    assert taken == [[], ["brand"], ["brand", "other"], []]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "the file is not valid JSON"),
        ('{"more": 1}', "MonitoringConfig is not valid: more"),
        ('{"outputPatterns": [{"name": "A", "pattern": "x"}]}', "outputPatterns.0.name"),
        (" " * (MAX_BYTES + 1), f"the file has more than {MAX_BYTES} bytes"),
    ],
)
def test_a_bad_file_is_said_once_and_changes_nothing(
    text: str, sentence: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "monitoring.json"
    file, taken = follow(path)
    write(path, "brand")
    file.look()
    path.write_text(text)
    file.look()
    file.look()
    assert taken == [["brand"]]
    (said,) = (r.getMessage() for r in caplog.records if r.levelno == logging.ERROR)
    assert sentence in said
    write(path, "brand", "other")
    file.look()
    assert taken[-1] == ["brand", "other"]


def test_the_longest_patterns_fit() -> None:
    longest = {
        "outputPatterns": [
            {"name": f"a{n:031}", "pattern": "\N{EURO SIGN}" * 512} for n in range(16)
        ]
    }
    assert len(json.dumps(longest)) < MAX_BYTES
    longest["outputPatterns"] = [
        {**each, "pattern": "\U0001f600" * 512} for each in longest["outputPatterns"]
    ]
    assert len(json.dumps(longest)) < MAX_BYTES


def test_a_folder_in_its_place_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, taken = follow(tmp_path)
    file.look()
    assert taken == []
    assert "cannot be read" in caplog.text


def test_it_is_looked_at_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "monitoring.json"
    file, taken = follow(path)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError
        write(path, f"a{len(pauses)}")

    monkeypatch.setattr(monitoring_file.asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(file.follow())
    assert taken == [["a1"], ["a2"]]
    assert pauses == [LOOK_SECONDS] * 3
