"""The self-test with the real engine: wrong logits never answer anybody. (`test_vllm` has the right ones.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dev import model, serving_env
from tests.support.logits_fault import FAULTS, write_plugin
from tests.support.plain_replica import StartError, build_vllm_config, run_plain

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def vllm() -> tuple[str, Path]:
    files, environment = model.find_ready(), serving_env.refresh()
    if files is None or environment is None:
        pytest.skip(reason="no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    return str(environment / "bin/python"), files


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_logits_end_the_start(vllm: tuple[str, Path], tmp_path: Path, fault: str) -> None:
    python, files = vllm
    spoiled = write_plugin(tmp_path, fault)
    with (
        pytest.raises(StartError, match="error: the self-test failed on pod"),
        run_plain(python, build_vllm_config(files), environment=spoiled),
    ):
        pass
