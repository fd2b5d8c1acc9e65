"""What slow clients do to a good one: slowhttptest in each of its modes against a gateway that runs, with a good client beside it.

    python -m bench.slow_clients --url http://ADDRESS [--connections 2000] [--seconds 20]

`make demo` prints the gateway's address. The attack comes from this machine, so one address must be allowed as many connections
(`spec.gateway.limits.connectionsPerSource`, 4,000 by default). slowhttptest is Debian's package of that name. The good client lists the
models, which goes through the gateway to a replica and takes no engine. The last line of output is the result as JSON: by mode, the good
client's p50 and p99 in seconds and its failures, and the most memory of this machine's HAProxy processes in MiB.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import urllib3

MODES = {
    "none": (),
    "slowloris": ("-H",),
    "slow body": ("-B", "-s", "8192"),
    "slow read": ("-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32"),
    "range": ("-R", "-a", "10", "-b", "3000"),
}
"""slowhttptest's options by mode; the first is no attack."""
INTERVAL_SECONDS = 0.05


def attack(
    program: str, url: str, mode: str, options: argparse.Namespace
) -> "subprocess.Popen[bytes] | None":
    """Start slowhttptest, or return None for no attack."""
    if not MODES[mode]:
        return None
    path = "/v1/chat/completions" if mode == "slow body" else "/v1/models"
    size = ("-c", str(options.connections), "-r", str(options.connections // 4))
    command = [program, *MODES[mode], *size, "-l", str(options.seconds), "-i", "5", "-p", "5"]
    verb = ("-t", "POST") if mode == "slow body" else ()
    return subprocess.Popen(
        [*command, *verb, "-u", url + path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def ask(web: urllib3.PoolManager, url: str) -> float | None:
    """Return the seconds that a good request takes, with a connection of its own, or None if it fails."""
    began = time.monotonic()
    try:
        answer = web.request("GET", f"{url}/v1/models", headers={"connection": "close"})
    except urllib3.exceptions.HTTPError:
        return None
    return time.monotonic() - began if answer.status == 200 else None  # noqa: PLR2004  # because it is HTTP's word for good


def read_memory() -> float:
    """Return the MiB that the HAProxy processes of this machine hold."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() == "haproxy":
                total += int((folder / "statm").read_text().split()[1]) * 4096
        except OSError:
            continue
    return total / 2**20


def measure(program: str, mode: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one mode, and return what the good client saw."""
    web = urllib3.PoolManager(timeout=30, retries=False)
    process = attack(program, options.url, mode, options)
    times, failures, memory = [], 0, 0.0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        took = ask(web, options.url)
        failures += took is None
        times += [took] if took is not None else []
        memory = max(memory, read_memory())
        time.sleep(INTERVAL_SECONDS)  # why: one good client, not a load
    if process is not None:
        process.terminate()
        process.wait(30)
    return {
        "p50": round(statistics.median(times), 4) if times else None,
        "p99": round(statistics.quantiles(times, n=100)[98], 4) if len(times) > 1 else None,
        "good": len(times),
        "failures": failures,
        "haproxy_mib": round(memory, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="base URL of a gateway, without /v1")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=20, help="of each mode")
    options = parser.parse_args()
    program = shutil.which("slowhttptest")
    if program is None:
        raise SystemExit("slowhttptest is missing: apt-get install slowhttptest")
    found = {}
    for mode in MODES:
        found[mode] = measure(program, mode, options)
        print(f"{mode}: {found[mode]}", file=sys.stderr, flush=True)
        time.sleep(5)  # why: the connections of the mode before end
    rise = {
        mode: round(row["p99"] - found["none"]["p99"], 4)
        for mode, row in found.items()
        if row["p99"] is not None
    }
    print(
        json.dumps({"connections": options.connections, "modes": found, "p99_rise_seconds": rise})
    )


if __name__ == "__main__":
    main()
