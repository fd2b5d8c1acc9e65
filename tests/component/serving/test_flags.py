"""vLLM's own parser and the flags that `spec.engine.args` may hold: every flag of this vLLM was looked at by somebody.

`tests/data/serving/reviewed_flags.txt` has the flags that users may set. A flag that a new vLLM brings belongs there if it opens no port,
sends clients no file of the pod and takes nothing out of the operator's hands; else in `RESERVED_FLAGS`.
"""

import json
import subprocess
from pathlib import Path

import pytest
from dev import serving_env

from llmdeployment_serving.config import RESERVED_FLAGS

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]
REVIEWED = Path("tests/data/serving/reviewed_flags.txt").read_text().split()

_LIST_FLAGS = """
import json
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
print(json.dumps([o for action in parser._actions for o in action.option_strings]))
"""
_TRY_FLAGS = """
import json, sys
from llmdeployment_serving.config import ServingConfig, parse
from llmdeployment_serving.engine_vllm import parse_flags
from llmdeployment_serving.errors import ConfigError
for args in json.loads(sys.argv[1]):
    config = {"servedName": "m", "modelPath": "/none", "engine": {"name": "vllm", "args": args}}
    try:
        parse_flags(parse(ServingConfig, config))
    except ConfigError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps("accepted"))
"""


def run(code: str, *arguments: str) -> list[str]:
    """Run Python with vLLM, and return the lines that are JSON."""
    environment = serving_env.refresh()
    if environment is None:
        pytest.skip(reason="no vLLM in the cache: `python3 -m dev.serving_env` makes it")
    command = [str(environment / "bin/python"), "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    return [line for line in done.stdout.splitlines() if line.startswith(("[", '"'))]


def test_every_flag_of_this_vllm_was_looked_at() -> None:
    options = json.loads(run(_LIST_FLAGS)[-1])
    flags = {option.removeprefix("--") for option in options if option.startswith("--")}
    positive = {flag for flag in flags if flag.removeprefix("no-") not in flags - {flag}}

    assert positive - RESERVED_FLAGS.keys() - set(REVIEWED) == set()
    assert set(REVIEWED) - positive == set()
    assert RESERVED_FLAGS.keys() & set(REVIEWED) == set()


def test_what_the_parser_does_not_have_is_refused_in_one_sentence() -> None:
    cases = (
        {"bogus": 1},
        {"max-model": 4},  # a part of a flag's name
        {"tp": 2},  # vLLM's short name of a reserved flag
        {"dtype": "float7"},
        {"max-model-len": "many"},
        {"hf-overrides.rope_theta": 1},
        {"max-num-seqs": 4, "enforce-eager": True},
    )
    answers = [json.loads(line) for line in run(_TRY_FLAGS, json.dumps(cases))]

    assert [answer == "accepted" for answer in answers] == [False] * 5 + [True] * 2
    for answer in answers[:5]:
        assert answer.startswith("vLLM refuses spec.engine.args: ")
        assert "\n" not in answer
