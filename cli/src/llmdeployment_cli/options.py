"""Arguments and options that commands share. Kubectl's own are declared here, and nowhere else."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Concatenate

import typer

from llmdeployment_cli.candidates import complete_arms, complete_names
from llmdeployment_cli.exits import report_errors
from llmdeployment_cli.flags import Flags, merge_flags, read_flags
from llmdeployment_cli.times import parse_duration


def take_duration(text: str) -> float:
    """Return the seconds of an option's value.

    Raises:
        typer.BadParameter: it is no duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the LLMDeployment.",
        show_default=False,
        autocompletion=complete_names,
    ),
]
ArmName = Annotated[
    str | None,
    typer.Option(
        "--arm",
        help="Arm. Needed if several arms could be meant.",
        show_default=False,
        autocompletion=complete_arms,
    ),
]


def _declare(*names: str, metavar: str, help: str, **more: Any) -> Any:  # noqa: A002, ANN401  # because typer calls it so; a type that is made here
    """Return the option of a flag of kubectl."""
    return typer.Option(
        *names,
        metavar=metavar,
        help=help,
        show_default=False,
        rich_help_panel="Flags of kubectl",
        **more,
    )


_FLAGS: dict[str, Any] = {
    "namespace": Annotated[
        str | None,
        _declare(
            "--namespace", "-n", metavar="NAMESPACE", help="Namespace (default: the context's)."
        ),
    ],
    "context": Annotated[
        str | None,
        _declare(
            "--context",
            metavar="NAME",
            help="Context of the kubeconfig (default: the current one).",
        ),
    ],
    "kubeconfig": Annotated[
        str | None,
        _declare(
            "--kubeconfig",
            metavar="FILE",
            help="Kubeconfig file (default: $KUBECONFIG, else ~/.kube/config).",
        ),
    ],
    "as_user": Annotated[str | None, _declare("--as", metavar="USER", help="User to impersonate.")],
    "as_group": Annotated[
        list[str] | None,
        _declare("--as-group", metavar="GROUP", help="Group to impersonate. May be repeated."),
    ],
    "request_timeout": Annotated[
        float | None,
        _declare(
            "--request-timeout",
            metavar="DURATION",
            help="Longest time of one request, such as 10s; 0 is unlimited (default: 30s).",
            parser=take_duration,
        ),
    ],
}
"""Options of every command, by the names of the attributes of `Flags`."""


def accept_flags(
    command: Callable[Concatenate[Flags, ...], None],
) -> Callable[..., None]:
    """Return a command with kubectl's flags as options; it gets them as its first argument.

    Flags before the verb are in the context, where this wrapper put them; those behind it are later and win. A `Refusal` ends the
    command with a sentence.
    """
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in _FLAGS.items()
        ),
    ]

    @functools.wraps(command)
    def run(*, ctx: typer.Context, **values: Any) -> None:  # noqa: ANN401  # because each option has a type of its own
        ctx.obj = merge_flags(ctx.obj or Flags(), read_flags(values))
        with report_errors():
            command(ctx.obj, **{each.name: values[each.name] for each in own})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # because a wrapper's type has no place for it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
