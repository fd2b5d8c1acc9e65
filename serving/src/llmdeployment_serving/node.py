"""Environment and command line of `ray start` in a pod, both as plain data.

The environment variables are those of Ray and vLLM; a comment on each says what happens without it.
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
AGENT_PORTS: dict[str, int] = {
    "--dashboard-agent-grpc-port": 8266,
    "--dashboard-agent-listen-port": 8267,
    "--metrics-export-port": 8268,
    "--runtime-env-agent-port": 8269,
}
"""Ports of the agents that Ray starts on every node.

Without a number Ray ends the node when an agent has not told its port after 15 s, which an agent on slow or shared CPUs does not
(https://github.com/ray-project/ray/issues/65983). They lie outside of the ports of Ray's workers and of the kernel's own choice.
"""
OBJECT_STORE_BYTES = 200 * 1024 * 1024
"""Bytes of Ray's shared memory. With direct ingress no request uses it, and the default is 30 % of the pod's memory limit."""
MODEL_INFOS = "share/llmdeployment/modelinfos"
"""Path below the Python environment: files that vLLM wrote when the image was built."""
_gibibyte = 1024**3
_connect_seconds = 2.0

RAY_ENVIRONMENT: dict[str, str] = {
    # Direct ingress: each replica serves HTTP itself. The default proxy adds 12 ms to a request.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # One replica per pod, so one port. Two ports, since Ray refuses an empty range.
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(REPLICA_PORT),
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(REPLICA_PORT + 1),
    # A new replica needs the port at once; the default keeps it closed for 150 s.
    "RAY_SERVE_PORT_QUARANTINE_S": "0",
    # Seconds that a stopping replica stays reachable, until its endpoints are removed.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "30",
    # The pod's preStop hook drains the replica before Ray stops; by default Ray would wait another 30 s.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # Workers survive the replacement of the head; the default ends them after 60 s. Ray writes this name in lower case.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    # By default Ray starts its workers, and so the engine, at nice 15.
    "RAY_worker_niceness": "0",
    # How long a node waits for its own processes and for its head. The defaults of 30 to 60 s are too short on slow or shared CPUs.
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_raylet_start_wait_time_s": "300",
    # Tries, 2 s apart.
    "RAY_NUM_REDIS_GET_RETRIES": "150",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def build_head_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a head. `given` takes precedence, so that a pod template can change everything."""
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

    vLLM's `auto` binding uses the machine's first cores in every pod, so two replicas on a machine would share them while others idle.
    So the kernel places the threads, as many as the pod may use. The KV cache gets a quarter of the memory limit, at least 1 GiB.
    """
    environment = {
        **RAY_ENVIRONMENT,
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(cpus),
        # A host that media may come from cannot send vLLM to another one.
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(max(1, (memory_bytes or 0) // 4 // _gibibyte)),
        **given,
    }
    _require_token(environment)
    return environment


def build_head_command(environment: Mapping[str, str], extra: list[str]) -> list[str]:
    """Return the command line of a head, which has no CPUs and no GPUs for work. `extra` goes last and takes precedence."""
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
    """Return the port of this pod's replica."""
    return int(environment.get("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", REPLICA_PORT))


def seed_model_infos(environment: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> None:
    """Copy the image's facts about common models to vLLM's cache, which saves 20 s at every start."""
    root = environment.get("VLLM_CACHE_ROOT") or Path("~/.cache/vllm").expanduser()
    source, target = prefix / MODEL_INFOS, Path(root) / "modelinfos"
    if source.is_dir() and not target.exists():
        with suppress(OSError):  # a start without them is only slower
            shutil.copytree(source, target, copy_function=shutil.copyfile)


def read_head_address(environment: Mapping[str, str]) -> str:
    """Return `host:port` of this worker's head."""
    address = environment.get("LLMD_HEAD_ADDRESS", "")
    if ":" not in address:
        raise ConfigError(
            "LLMD_HEAD_ADDRESS must be host:port of the Ray head; the operator sets it"
        )
    return address


def wait_for_head(address: str, *, timeout_seconds: float) -> None:
    """Wait until `address` accepts connections. A worker pod often starts before its head, and `ray start` would give up.

    Raises:
        ConfigError: the head does not answer within `timeout_seconds`.
    """
    host, port = address.rsplit(":", 1)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=_connect_seconds).close()
        except OSError:
            time.sleep(0.5)  # why: polling, because the server does not announce its start
        else:
            return
    raise ConfigError(
        f"the Ray head {address} could not be reached within {timeout_seconds:.0f} s: check the head's pod"
    )


def read_cpu_limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many CPUs this pod may use, at least 1, from its cgroup (v2, then v1) or its CPU affinity."""
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
    """Return this pod's memory limit in bytes, or None if it has none."""
    for file in (root / "memory.max", root / "memory/memory.limit_in_bytes"):
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        # why: in cgroup v1 a number near 2**63 means no limit.
        return int(text) if text != "max" and int(text) < 2**60 else None
    return None


def read_memory_use(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that this pod's processes use without the page cache, or None if its cgroup (v2) does not tell."""
    try:
        lines = (root / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("anon "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _build_own_address(environment: Mapping[str, str]) -> list[str]:
    # why: Ray finds its own address by a route to the internet; without one it uses 127.0.0.1.
    address = environment.get("POD_IP")
    return ["--node-ip-address", address] if address else []


def _build_ray_start() -> list[str]:
    # why: the interpreter instead of a script, whose first line has the path of its installation.
    program = [sys.executable, "-m", "llmdeployment_serving.ray_start", "start", "--block"]
    ports = [each for option, port in AGENT_PORTS.items() for each in (option, str(port))]
    store = ["--object-store-memory", str(OBJECT_STORE_BYTES)]
    return [*program, "--disable-usage-stats", *store, *ports]


def _read_resources(environment: Mapping[str, str]) -> dict[str, float]:
    try:
        resources = json.loads(environment.get("LLMD_RAY_RESOURCES") or "{}")
    except ValueError:
        raise ConfigError("LLMD_RAY_RESOURCES is not valid JSON") from None
    if not isinstance(resources, dict):
        raise ConfigError("LLMD_RAY_RESOURCES is not a JSON object")
    return {**resources, REPLICA_RESOURCE: 1}


def _require_token(environment: Mapping[str, str]) -> None:
    """Refuse to start a Ray node without a token: anybody who reaches it could run code (CVE-2023-48022)."""
    if environment.get("RAY_AUTH_MODE") != "token" or not environment.get("RAY_AUTH_TOKEN"):
        raise ConfigError("RAY_AUTH_MODE=token and RAY_AUTH_TOKEN must be set on every Ray node")
