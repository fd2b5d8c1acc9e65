"""The command `llmdeployment-serving`, which runs in the containers of a runtime."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from llmdeployment_serving import node
from llmdeployment_serving.config import REPLICA_PORT, ServingConfig, parse
from llmdeployment_serving.drain import SETTLE_SECONDS, TIMEOUT_SECONDS, drain
from llmdeployment_serving.errors import ConfigError, ServingError, write_termination_log
from llmdeployment_serving.log_stdout import STDOUT
from llmdeployment_serving.serve_log import LOG
from llmdeployment_serving.weights.lease import hold_model

HEAD_WAIT_SECONDS = 900.0
"""Seconds that a worker waits for its head."""


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand. Return 0, or 1 after writing one sentence to stderr and the termination log."""
    options = _build_parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except ServingError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  # because a command-line program prints
        write_termination_log(str(error))
        return 1


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llmdeployment-serving", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    head = commands.add_parser("head", help="run the Ray head of a runtime")
    head.add_argument("extra", nargs="*", metavar="-- RAY-START-OPTION")
    head.set_defaults(run=_run_head)
    worker = commands.add_parser("worker", help="run the Ray node of one replica")
    worker.add_argument("extra", nargs="*", metavar="-- RAY-START-OPTION")
    worker.set_defaults(run=_run_worker)
    fetch = commands.add_parser("fetch-model", help="download a model's files to this pod")
    fetch.add_argument(
        "--source",
        required=True,
        help="hf://organisation/name[@revision], s3://bucket/prefix or https://host/folder/SHA256SUMS",
    )
    fetch.add_argument("--sha256", default="", help="SHA-256 of the list of an https:// source")
    fetch.add_argument("--to", required=True, type=Path, help="folder for the files")
    fetch.set_defaults(run=_fetch)
    adapters = commands.add_parser("fetch-adapters", help="download adapters to this pod")
    adapters.add_argument(
        "--get",
        required=True,
        action="append",
        nargs=3,
        metavar=("SOURCE", "FOLDER", "SHA256"),
        help="an adapter; SHA256 is that of the list of an https:// source, else empty",
    )
    adapters.set_defaults(run=_fetch_adapters)
    drain = commands.add_parser("drain", help="wait until this pod's replica has no request left")
    drain.add_argument("--settle", type=float, default=SETTLE_SECONDS, metavar="SECONDS")
    drain.add_argument("--timeout", type=float, default=TIMEOUT_SECONDS, metavar="SECONDS")
    drain.set_defaults(run=_drain)
    external = commands.add_parser(
        "external", help="pass requests on to an external API (configured by the environment)"
    )
    external.add_argument("--host", default="0.0.0.0")  # noqa: S104  # because other pods connect to it, and NetworkPolicies guard it
    external.add_argument("--port", type=int, default=REPLICA_PORT)
    external.set_defaults(run=_run_external)
    validate = commands.add_parser("validate-config", help="check a ServingConfig")
    validate.add_argument("config", help="a ServingConfig (JSON), or - for standard input")
    validate.set_defaults(run=_validate)
    _add_evaluate(commands.add_parser("evaluate", help="evaluate a revision on a golden set"))
    plain = commands.add_parser("serve", help="run a replica's HTTP server without Ray")
    plain.add_argument(
        "--config", required=True, help="a ServingConfig (JSON), or - for standard input"
    )
    plain.add_argument("--user-config", default="{}", help="a UserConfig (JSON)")
    plain.add_argument("--host", default="127.0.0.1")
    plain.add_argument("--port", type=int, default=30000)
    plain.set_defaults(run=_serve)
    return parser


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--url", required=True, help="base URL of the runtime, without a path")
    command.add_argument("--revision", required=True, help="number of the revision")
    command.add_argument("--model", required=True, help="value of the field `model`")
    command.add_argument(
        "--golden",
        required=True,
        type=Path,
        help="file with the golden set; with --lm-eval, folder with the tasks",
    )
    command.add_argument("--golden-name", help="its name in messages (default: its path)")
    command.add_argument(
        "--lm-eval",
        metavar="TASK,...",
        help="ask these tasks of lm-evaluation-harness, which needs the extra lm-eval",
    )
    command.add_argument(
        "--limit", type=int, help="with --lm-eval: questions of each task (default: all)"
    )
    command.add_argument(
        "--num-fewshot", type=int, help="with --lm-eval: examples (default: the task's)"
    )
    command.add_argument("--concurrency", type=int, default=4)
    command.add_argument("--max-tokens", type=int)
    command.add_argument(
        "--judge-url", help="base URL of the judge; LLMD_JUDGE_API_KEY holds its API key"
    )
    command.add_argument("--judge-model", default="")
    command.add_argument("--judge-prompt")
    command.set_defaults(run=_evaluate)


def _run_head(options: argparse.Namespace) -> None:
    environment = node.build_head_environment(os.environ)
    _exec(node.build_head_command(environment, options.extra), environment)


def _run_worker(options: argparse.Namespace) -> None:
    environment = node.build_worker_environment(
        os.environ, cpus=node.read_cpu_limit(), memory_bytes=node.read_memory_limit()
    )
    # What `kubectl logs` shows is stderr of this process, which becomes Ray. Ray's workers write theirs to files.
    environment.setdefault(LOG, f"/proc/{os.getpid()}/fd/2")
    environment.setdefault(STDOUT, f"/proc/{os.getpid()}/fd/1")
    command = node.build_worker_command(environment, options.extra)
    hold_model(environment)
    node.seed_model_infos(environment)
    node.wait_for_head(node.read_head_address(environment), timeout_seconds=HEAD_WAIT_SECONDS)
    _exec(command, environment)


def _exec(command: list[str], environment: dict[str, str]) -> None:
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606  # because Ray becomes the container's process


def _drain(options: argparse.Namespace) -> None:
    # why: 0 even after it gave up; Kubernetes ends the pod anyway, and a failed hook looks like a fault of the pod.
    drain(
        node.read_replica_port(os.environ),
        settle_seconds=options.settle,
        timeout_seconds=options.timeout,
    )


def _run_external(options: argparse.Namespace) -> None:
    from llmdeployment_serving import external  # noqa: PLC0415  # because one command needs it

    config = _read_config(os.environ.get(external.CONFIG, ""))
    key = os.environ.pop(external.API_KEY, "")
    path = os.environ.get(external.MONITORING)
    monitoring = Path(path) if path else None
    asyncio.run(external.serve_external(config, key, options.host, options.port, monitoring))


def _fetch(options: argparse.Namespace) -> None:
    from llmdeployment_serving.fetch import fetch_model, read_options  # noqa: PLC0415  # because one command needs it, and it is heavy
    from llmdeployment_serving.weights.sources import parse_source  # noqa: PLC0415  # because of the same

    source = parse_source(options.source, options.sha256)
    found = fetch_model(source, options.to, read_options(os.environ))
    # The operator records it, so that later replicas of the revision get the same files.
    write_termination_log(json.dumps({"source": str(source), "commit": found}))


def _fetch_adapters(options: argparse.Namespace) -> None:
    from llmdeployment_serving.fetch import fetch_adapter, read_options  # noqa: PLC0415  # because of the same
    from llmdeployment_serving.weights.sources import parse_source  # noqa: PLC0415  # because of the same

    for source, folder, sha256 in options.get:
        fetch_adapter(parse_source(source, sha256), Path(folder), read_options(os.environ))


def _evaluate(options: argparse.Namespace) -> None:
    from llmdeployment_serving import evaluate  # noqa: PLC0415  # because one command needs it
    from llmdeployment_serving.golden import read_golden  # noqa: PLC0415  # because one command needs it

    judge = None
    if options.judge_url:
        prompt = options.judge_prompt or evaluate.JUDGE_PROMPT
        key = os.environ.get("LLMD_JUDGE_API_KEY", "").strip()
        judge = evaluate.Judge(options.judge_url, options.judge_model, prompt, key)
    examination = evaluate.Evaluation(
        url=options.url.rstrip("/"),
        revision=options.revision,
        model=options.model,
        concurrency=options.concurrency,
        max_tokens=options.max_tokens,
        judge=judge,
        baseline=os.environ.get("LLMD_BASELINE", ""),
    )
    name = options.golden_name or str(options.golden)
    if options.lm_eval is None:
        questions = read_golden(options.golden, name)
        result = asyncio.run(evaluate.evaluate(examination, questions))
    else:
        from llmdeployment_serving.lm_eval_tasks import evaluate_tasks  # noqa: PLC0415  # because few golden sets need it
        from llmdeployment_serving.tasks import TaskSet  # noqa: PLC0415  # because few golden sets need it

        names, folder = tuple(options.lm_eval.split(",")), options.golden.resolve()
        wanted = TaskSet(names, folder, name, options.limit, options.num_fewshot)
        result = evaluate_tasks(examination, wanted)
    print(result)  # noqa: T201  # because this is the command's output
    write_termination_log(result)


def _validate(options: argparse.Namespace) -> None:
    print(_read_config(options.config).model_dump_json(by_alias=True))  # noqa: T201  # because this is the command's output


def _serve(options: argparse.Namespace) -> None:
    from llmdeployment_serving.plain import serve_plain  # noqa: PLC0415  # because one command needs it

    config = _read_config(options.config)
    asyncio.run(serve_plain(config, _parse_json(options.user_config), options.host, options.port))


def _read_config(text: str) -> ServingConfig:
    return parse(ServingConfig, _parse_json(sys.stdin.read() if text == "-" else text))


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the config is not valid JSON: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
