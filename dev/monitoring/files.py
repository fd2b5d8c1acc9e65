"""Which files are made, and where they are.

The chart has a copy of rules and dashboards, because a chart cannot read outside its folder.
"""

from pathlib import Path

from dev.monitoring.boards import BOARDS
from dev.monitoring.grafana import draw_board
from dev.monitoring.rules import draw_index, draw_rules

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "manifests"
CHART = REPOSITORY / "charts" / "llmdeployment-operator" / "files"
RUNBOOKS = REPOSITORY / "docs" / "runbooks"


def draw_files() -> dict[Path, str]:
    """Return the text of every file."""
    rules = draw_rules()
    found = {
        MANIFESTS / "monitoring" / "rules.yaml": rules,
        CHART / "rules.yaml": rules,
        RUNBOOKS / "README.md": draw_index(),
    }
    for board in BOARDS:
        text = draw_board(board)
        for folder in (MANIFESTS, CHART):
            found[folder / "dashboards" / f"{board.uid}.json"] = text
    return found


def find_stale() -> list[Path]:
    """Return the dashboards that no table asks for any more."""
    there = [path for folder in (MANIFESTS, CHART) for path in folder.glob("dashboards/*")]
    return [path for path in there if path not in draw_files()]
