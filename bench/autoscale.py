"""How good the autoscaling law is: on recorded traffic, against other autoscalers, and against one who knows the future.

    .venv/bin/python -m bench.autoscale [--quick] [--only cost,ramp,step,faults,constant,conv,code] > autoscale.json

Everything runs on the simulator's virtual clock with the operator's own code; JSON to standard output, progress to standard error. The
constants of the law were chosen on generated traffic (Poisson, diurnal, bursts) and on two re-samples of the conversations (seeds 101
and 102, which are not among those used here); the engine of llm-d's ramp on their published figures.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from bench import autoscale_parts as parts

PARTS: dict[str, Callable[[bool], Any]] = {
    "cost": lambda _: parts.cost(),
    "ramp": lambda quick: parts.ramp(quick=quick),
    "step": lambda quick: parts.step(quick=quick),
    "faults": lambda quick: parts.broken(quick=quick),
    "constant": lambda quick: parts.constant(quick=quick),
    "conv": lambda quick: parts.run_recorded("conv", quick=quick),
    "code": lambda quick: parts.run_recorded("code", quick=quick),
}
"""By name, the short ones first."""


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer seeds, the traces at their own speed"
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    begin = time.monotonic()
    found: dict[str, Any] = {name: PARTS[name](arguments.quick) for name in names}
    found["seconds"] = round(time.monotonic() - begin)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
