import subprocess

import pytest
from dev.cluster import tools
from dev.cluster.stages import StageError
from tests.chart.rendering import Helm


@pytest.fixture(scope="session")
def helm() -> Helm:
    try:
        program = tools.find("helm")
    except StageError as error:
        pytest.skip(reason=f"helm cannot be had here: {error.explain()}")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    return run
