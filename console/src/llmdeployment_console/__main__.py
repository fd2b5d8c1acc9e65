"""The program of a console in the cluster."""

import os
import sys

from llmdeployment_cli.errors import Refusal
from llmdeployment_console import serve


def main() -> int:
    """Serve until the pod is to end; return 1 with a sentence if that cannot be."""
    try:
        serve.run(os.environ)
    except Refusal as refusal:
        print(f"llmdeployment-console: {refusal}", file=sys.stderr)  # noqa: T201  # because it is the pod's last message
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
