"""Command line: `python3 -m dev.cluster COMMAND`. Only output for other programs goes to standard output."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dev.cluster import control_plane, existing, gpus, kind, tools
from dev.cluster.choose import Choice, Kind, NoClusterError, choose_here
from dev.cluster.embedded import node
from dev.cluster.embedded.pki import KUBECONFIG
from dev.cluster.stages import StageError

Command = Callable[[argparse.Namespace], None]


def main() -> int:
    """Run one command; return 0 if it worked."""
    arguments = build_parser().parse_args()
    # SIGTERM from a supervisor ends the program as orderly as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments.run(arguments)
    except NoClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="python3 -m dev.cluster", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("up", up, "Start (or find) a cluster and print the path of its kubeconfig")
    add("down", down, "Remove the cluster").add_argument(
        "--images", action="store_true", help="remove the embedded node's image store too"
    )
    add("status", print_status, "Show which cluster this machine has and whether it runs")
    plane = add(
        "control-plane", run_control_plane, "Run etcd and kube-apiserver alone until interrupted"
    )
    plane.add_argument(
        "--directory", type=Path, help="folder for the data (default: a temporary one)"
    )
    add("kubeconfig", print_kubeconfig, "Print the path of the cluster's kubeconfig")
    add(
        "tool", print_tool, "Print the path of a program, and install it if it is missing"
    ).add_argument("name")
    add("load-image", load_image, "Load the image of a docker-archive onto the node").add_argument(
        "archive", type=Path
    )
    add("gpus", pretend_gpus, "Pretend that every node has this many GPUs").add_argument(
        "count", type=int
    )
    return top


def find_choice() -> Choice:
    """Return the cluster of this machine."""
    return choose_here(embedded_exists=node.exists())


def up(_: argparse.Namespace) -> None:
    """Start the cluster."""
    chosen, started = find_choice(), time.monotonic()
    print(f"cluster: {chosen.kind} ({chosen.reason})", file=sys.stderr)
    match chosen.kind:
        case Kind.CONTEXT:
            path = existing.up(chosen.context)
        case Kind.KIND:
            path = kind.up()
        case Kind.EMBEDDED:
            path = node.up()
    print(f"the cluster is up after {time.monotonic() - started:.1f} s", file=sys.stderr)
    print(path)


def down(arguments: argparse.Namespace) -> None:
    """Remove the cluster, unless it is the user's own."""
    match find_choice().kind:
        case Kind.CONTEXT:
            print(
                "LLMD_KUBE_CONTEXT names a cluster of yours, so it is not removed", file=sys.stderr
            )
        case Kind.KIND:
            kind.down()
        case Kind.EMBEDDED:
            if arguments.images:
                node.purge()
            else:
                node.down()


def print_status(_: argparse.Namespace) -> None:
    """Print what runs; raise `StageError` if a part does not run."""
    chosen = find_choice()
    print(f"cluster: {chosen.kind} ({chosen.reason})")
    if chosen.kind is Kind.EMBEDDED:
        pids = node.list_processes()
        for name, pid in pids.items():
            print(f"  {name:<24} {f'pid {pid}' if pid else 'does not run'}")
        if not all(pids.values()):
            raise StageError(
                "at least one process of the node does not run",
                advice="`python3 -m dev.cluster up` starts it",
            )
    print(f"kubeconfig: {find_kubeconfig()}")


def print_kubeconfig(_: argparse.Namespace) -> None:
    """Print where the kubeconfig is."""
    print(find_kubeconfig())


def find_kubeconfig() -> Path:
    """Return the kubeconfig of the cluster that runs.

    Raises:
        StageError: there is no cluster yet.
    """
    places = {
        Kind.CONTEXT: existing.locate_kubeconfig(),
        Kind.KIND: kind.locate_kubeconfig(),
        Kind.EMBEDDED: KUBECONFIG,
    }
    path = places[find_choice().kind]
    if not path.exists():
        raise StageError(
            "there is no cluster yet", advice="start one with `python3 -m dev.cluster up`"
        )
    return path


def print_tool(arguments: argparse.Namespace) -> None:
    """Print a program's path."""
    print(tools.find(arguments.name))


def load_image(arguments: argparse.Namespace) -> None:
    """Load an image."""
    match find_choice().kind:
        case Kind.CONTEXT:
            raise StageError(
                "images cannot be loaded onto a cluster of yours",
                advice="push them to a registry that it can pull from",
            )
        case Kind.KIND:
            kind.load_image(arguments.archive)
        case Kind.EMBEDDED:
            node.load_image(arguments.archive)


def pretend_gpus(arguments: argparse.Namespace) -> None:
    """Pretend that the nodes have GPUs."""
    names = gpus.pretend(find_kubeconfig(), arguments.count)
    print(f"{gpus.RESOURCE}: {arguments.count} on {', '.join(names)}", file=sys.stderr)


def run_control_plane(arguments: argparse.Namespace) -> None:
    """Run a control plane in the foreground."""
    with tempfile.TemporaryDirectory(prefix="control-plane-") as scratch:
        plane = control_plane.start(arguments.directory or Path(scratch))
        print(f"{plane.url} is ready. Ctrl-C stops it.", file=sys.stderr)
        print(plane.kubeconfig, flush=True)
        try:
            signal.pause()
        finally:
            plane.stop()


if __name__ == "__main__":
    sys.exit(main())
