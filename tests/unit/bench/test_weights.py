"""The measurement of the cache of models runs."""

from pathlib import Path

import pytest
from bench import weights


def test_three_replicas_at_once_cost_one_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.tempfile, "tempdir", str(tmp_path))
    found = weights.measure_three(weights.make_model(2), with_cache=True)
    assert found["sent"] == 1.0
    assert list(tmp_path.iterdir()) == []


def test_a_start_counts_the_fetch_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in weights.make_model(1).items():
        (tmp_path / name).write_bytes(data)
    started: list[Path] = []

    def time_start(_: str, files: Path) -> float:
        assert (files / "model-1.safetensors").stat().st_size == weights.MEBIBYTE // 2
        started.append(files)
        return 10.0

    monkeypatch.setattr(weights.model, "find_ready", lambda: tmp_path)
    monkeypatch.setattr(weights.serving_env, "refresh", lambda: tmp_path)
    monkeypatch.setattr(weights, "_time_start", time_start)
    assert weights.measure_start(0) is None
    found = weights.measure_start(1)
    assert found is not None
    assert found["file_seconds"] == [10.0]
    assert found["cached_seconds"][0] == pytest.approx(10.0 + found["fetch_seconds"][0], abs=0.02)
    assert found["ratio"] == pytest.approx(found["cached_seconds"][0] / 10.0, abs=0.01)
    assert [path.name for path in started] == ["model", tmp_path.name]
