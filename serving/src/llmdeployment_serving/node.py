"""How a pod becomes a Ray node: the environment and the command line of `ray start`, both as plain data.

The environment variables are Ray's and vLLM's; each line says what happens without it.
"""

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from llmdeployment_serving.config import REPLICA_PORT, REPLICA_RESOURCE
from llmdeployment_serving.errors import ConfigError

GCS_PORT = 6379
DASHBOARD_PORT = 8265
OBJECT_STORE_BYTES = 200 * 1024 * 1024
"""Ray's shared memory; Serve passes no request through it in direct ingress, and the default takes 30 % of the pod's memory limit."""
MODEL_INFOS = "share/llmdeployment/modelinfos"
"""In the environment's folder: files vLLM wrote when the environment was made."""
_gibibyte = 1024**3
_connect_seconds = 2.0

RAY_ENVIRONMENT: dict[str, str] = {
    # Direct ingress: each replica serves HTTP itself. The default proxy costs 12 ms a request.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # One replica per pod, so one port. Two ports, since Ray refuses an empty range.
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(REPLICA_PORT),
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(REPLICA_PORT + 1),
    # A replaced replica must get the port back at once; the default keeps it closed for 150 s.
    "RAY_SERVE_PORT_QUARANTINE_S": "0",
    # How long a replica that is told to go stays reachable, for endpoints to be taken out.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "30",
    # The pod's preStop hook has drained the replica before Ray is told to stop; Ray would wait 30 s more for nothing.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # Workers outlive a head that is replaced; the default ends them after 60 s. Lower case is Ray's.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    # Ray starts its workers, and so the engine, at nice 15.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def build_head_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a head: `given` wins, so that a pod template can change any of it."""
    environment = {**RAY_ENVIRONMENT, **given}
    if directory := given.get("LLMD_GCS_DIR"):
        environment.setdefault("RAY_gcs_storage", "rocksdb")
        environment.setdefault("RAY_gcs_storage_path", directory)
    _require_token(environment)
    return environment


def build_worker_environment(
    given: Mapping[str, str], *, cpus: int, memory_bytes: int | None
) -> dict[str, str]:
    """Return the environment of a worker with `cpus` and `memory_bytes` (None: no limit).

    vLLM's `auto` binding takes the machine's first cores in every pod, so two replicas on a machine share them while others idle: the
    kernel places the threads instead, as many as the pod may use. The KV cache gets a quarter of the memory limit, at least 1 GiB.
    """
    environment = {
        **RAY_ENVIRONMENT,
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(cpus),
        "VLLM_CPU_KVCACHE_SPACE": str(max(1, (memory_bytes or 0) // 4 // _gibibyte)),
        **given,
    }
    _require_token(environment)
    return environment


def build_head_command(environment: Mapping[str, str], extra: list[str]) -> list[str]:
    """Return the command line of a head, which runs no work: no CPUs, no GPUs. `extra` goes last and wins."""
    return [
        *_build_ray_start(),
        "--head",
        *_build_own_address(environment),
        *("--port", str(GCS_PORT)),
        *("--dashboard-host", "0.0.0.0"),  # noqa: S104  # because a NetworkPolicy and the token guard it
        *("--dashboard-port", str(DASHBOARD_PORT)),
        *("--num-cpus", "0", "--num-gpus", "0"),
        *extra,
    ]


def build_worker_command(environment: Mapping[str, str], extra: list[str]) -> list[str]:
    """Return the command line of a worker that carries one replica."""
    return [
        *_build_ray_start(),
        *("--address", read_head_address(environment)),
        *_build_own_address(environment),
        *("--num-gpus", environment.get("LLMD_GPUS", "0")),
        *("--resources", json.dumps(_read_resources(environment))),
        *extra,
    ]


def read_replica_port(environment: Mapping[str, str]) -> int:
    """Return the port this pod's replica answers on."""
    return int(environment.get("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", REPLICA_PORT))


def seed_model_infos(environment: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> None:
    """Give vLLM what it once found out about the commonest models' classes: else it starts a process for it at every start, 20 s."""
    root = environment.get("VLLM_CACHE_ROOT") or Path("~/.cache/vllm").expanduser()
    source, target = prefix / MODEL_INFOS, Path(root) / "modelinfos"
    if source.is_dir() and not target.exists():
        with suppress(OSError):  # a start without it is slower, nothing else
            shutil.copytree(source, target, copy_function=shutil.copyfile)


def read_head_address(environment: Mapping[str, str]) -> str:
    """Return `host:port` of the head this worker belongs to."""
    address = environment.get("LLMD_HEAD_ADDRESS", "")
    if ":" not in address:
        raise ConfigError("LLMD_HEAD_ADDRESS is not set to host:port of the Ray head")
    return address


def wait_for_head(address: str, *, timeout_seconds: float) -> None:
    """Return once `address` accepts connections. A worker pod often starts before its head, and `ray start` would give up.

    Raises:
        ConfigError: it did not within `timeout_seconds`.
    """
    host, port = address.rsplit(":", 1)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=_connect_seconds).close()
        except OSError:
            time.sleep(0.5)  # why: polling a server that announces itself in no other way
        else:
            return
    raise ConfigError(f"the Ray head {address} could not be reached in {timeout_seconds:.0f} s")


def read_cpu_limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many CPUs this pod may use, at least 1, from its cgroup (v2, then v1) or its affinity."""
    available = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        (root / "cpu.max", root / "cpu.max"),
        (root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us"),
    ):
        try:
            quota = quota_file.read_text().split()[0]
            period = period_file.read_text().split()[-1]
        except OSError:
            continue
        if quota not in ("max", "-1"):
            return max(1, min(available, -(-int(quota) // int(period))))
    return available


def read_memory_limit(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return this pod's memory limit in bytes, or None when it has none."""
    for file in (root / "memory.max", root / "memory/memory.limit_in_bytes"):
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        # why: cgroup v1 says "no limit" with a number near 2**63.
        return int(text) if text != "max" and int(text) < 2**60 else None
    return None


def _build_own_address(environment: Mapping[str, str]) -> list[str]:
    # why: Ray finds its own address by a route to the Internet, and takes 127.0.0.1 where there is none.
    address = environment.get("POD_IP")
    return ["--node-ip-address", address] if address else []


def _build_ray_start() -> list[str]:
    # why: the interpreter, not the `ray` script, whose first line holds the path it was installed under.
    program = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    return [*program, "--disable-usage-stats", "--object-store-memory", str(OBJECT_STORE_BYTES)]


def _read_resources(environment: Mapping[str, str]) -> dict[str, float]:
    try:
        resources = json.loads(environment.get("LLMD_RAY_RESOURCES") or "{}")
    except ValueError:
        raise ConfigError("LLMD_RAY_RESOURCES is not JSON") from None
    if not isinstance(resources, dict):
        raise ConfigError("LLMD_RAY_RESOURCES is not a JSON object")
    return {**resources, REPLICA_RESOURCE: 1}


def _require_token(environment: Mapping[str, str]) -> None:
    """Refuse a Ray node without a token: whoever reaches an open one runs code in it (CVE-2023-48022)."""
    if environment.get("RAY_AUTH_MODE") != "token" or not environment.get("RAY_AUTH_TOKEN"):
        raise ConfigError("RAY_AUTH_MODE=token and RAY_AUTH_TOKEN must be set on every Ray node")
