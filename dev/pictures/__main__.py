"""Draw the committed dashboards from what a Prometheus has, into docs/pictures/dashboard-*.png.

    python -m dev.pictures --prometheus http://127.0.0.1:9090 --namespace team --name chat [--minutes 10]

With --data instead of --prometheus, it starts Debian's Prometheus on a folder of its data. A panel's query without data is an error, unless
--may-be-empty names the panel: then the panel is left out, and the picture says so.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import prometheus
from dev.cluster.stages import StageError
from dev.pictures.ask import QueryError, connect
from dev.pictures.board import UnknownBoardError
from dev.pictures.draw_files import PICTURES, Request, draw_files


def main() -> int:
    """Draw, and print what was written."""
    options = build_parser().parse_args()
    request = Request(
        choices={"namespace": options.namespace, "name": options.name},
        minutes=options.minutes,
        scrape_seconds=options.scrape_seconds,
        may_be_empty=tuple(options.may_be_empty),
        boards=tuple(options.board),
        source=options.source,
    )
    try:
        with find_prometheus(options) as url:
            for path in draw_files(connect(url), request, options.folder):
                print(path)
    except (StageError, QueryError, UnknownBoardError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.pictures", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--prometheus", metavar="URL", help="address of a Prometheus that runs")
    where.add_argument("--data", type=Path, help="folder of the data of one that does not")
    parser.add_argument("--namespace", default="", help="namespace of the LLMDeployment")
    parser.add_argument("--name", default="", help="name of the LLMDeployment")
    parser.add_argument("--minutes", type=float, default=10, help="how much of the past to draw")
    parser.add_argument("--scrape-seconds", type=int, default=30, help="its interval of scrapes")
    parser.add_argument("--board", action="append", default=[], metavar="UID", help="only this one")
    parser.add_argument("--may-be-empty", action="append", default=[], metavar="TITLE", help="a panel")  # fmt: skip
    parser.add_argument("--source", default=Request.source, help="where the data are from, for the foot of the pictures")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where the pictures go")
    return parser


@contextmanager
def find_prometheus(options: argparse.Namespace) -> Iterator[str]:
    """Yield the address of the Prometheus that the command line names; one on a folder of data runs inside the block."""
    if options.prometheus:
        yield options.prometheus.rstrip("/")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        prometheus.run(prometheus.ensure(), "scrape_configs: []\n", Path(folder), options.data) as url,
    ):  # fmt: skip
        yield url


if __name__ == "__main__":
    sys.exit(main())
