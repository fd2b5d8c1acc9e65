"""The program `kubectl_complete-llm`, which kubectl runs to complete the words after `kubectl llm`.

It gets these words as arguments, the last of which is the one to complete. It prints a candidate a line, with a description behind a
tab, and last a colon and a number by which kubectl tells the shell what else to offer.
"""

import io
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress

from llmdeployment_cli.main import PROGRAM, VARIABLE
from llmdeployment_cli.main import main as run

FILES, NO_FILES = 0, 4
"""What follows the colon: the shell may offer files, or may not."""
_FILE_OPTIONS = {
    "-f",
    "--filename",
    "--trace",
    "--engine-profile",
    "--picture",
    "--key-file",
    "--kubeconfig",
}


def main() -> None:
    """Print the candidates for the words of the command line."""
    words = sys.argv[1:] or [""]
    before = words[-2] if len(words) > 1 else ""
    if before in _FILE_OPTIONS:
        print(f":{FILES}")  # noqa: T201  # because this is what kubectl reads
        return
    print("\n".join([*list_candidates(words), f":{NO_FILES}"]))  # noqa: T201  # because this is what kubectl reads


def list_candidates(words: Sequence[str]) -> list[str]:
    """Return the candidates for the last of these words, with their descriptions."""
    *before, last = words
    # The form for fish is that of kubectl: a candidate, a tab, its description.
    os.environ[VARIABLE] = "complete_fish"
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = f"{shlex.join([PROGRAM, *before])} {_quote(last)}"
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        run()
    return [line for line in printed.getvalue().splitlines() if line.strip()]


def _quote(word: str) -> str:
    return shlex.quote(word) if word else ""
