import json
from pathlib import Path

import pytest

from llmdeployment_serving import node
from llmdeployment_serving.config import REPLICA_PORT
from llmdeployment_serving.errors import ConfigError

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t"}


def after(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_a_head_runs_no_work_and_the_extra_options_come_last() -> None:
    command = node.build_head_command({}, ["--port", "6399"])

    assert after(command, "--num-cpus") == after(command, "--num-gpus") == "0"
    assert command[-2:] == ["--port", "6399"]
    assert "--block" in command


def test_a_worker_has_one_replica_its_gpus_and_what_else_it_is_given() -> None:
    environment = {
        "LLMD_HEAD_ADDRESS": "head:6379",
        "LLMD_GPUS": "2",
        "LLMD_RAY_RESOURCES": '{"tpu": 4, "replica": 9}',
    }
    command = node.build_worker_command(environment, [])

    assert after(command, "--address") == "head:6379"
    assert after(command, "--num-gpus") == "2"
    assert json.loads(after(command, "--resources")) == {"tpu": 4, "replica": 1}


def test_rocksdb_only_with_a_folder_for_it() -> None:
    assert "RAY_gcs_storage" not in node.build_head_environment(TOKEN)
    environment = node.build_head_environment({**TOKEN, "LLMD_GCS_DIR": "/gcs"})
    assert environment["RAY_gcs_storage"] == "rocksdb"
    assert environment["RAY_gcs_storage_path"] == "/gcs"


def test_a_worker_binds_no_cores_and_takes_a_quarter_of_its_memory() -> None:
    environment = node.build_worker_environment(TOKEN, cpus=3, memory_bytes=16 * 2**30)

    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "4"


def test_both_kinds_of_node_take_the_pods_own_address() -> None:
    environment = {"LLMD_HEAD_ADDRESS": "head:6379", "POD_IP": "192.0.2.7"}

    for command in (
        node.build_head_command(environment, []),
        node.build_worker_command(environment, []),
    ):
        assert after(command, "--node-ip-address") == "192.0.2.7"
    assert "--node-ip-address" not in node.build_head_command({}, [])


def test_both_kinds_of_node_fix_the_ports_of_their_agents_where_neither_ray_nor_the_kernel_takes_them() -> (
    None
):
    environment = {"LLMD_HEAD_ADDRESS": "head:6379"}
    for command in (
        node.build_head_command(environment, []),
        node.build_worker_command(environment, []),
    ):
        ports = {int(after(command, option)) for option in node.AGENT_PORTS}
        assert len(ports) == 4
        assert not ports & {node.GCS_PORT, node.DASHBOARD_PORT, REPLICA_PORT, REPLICA_PORT + 1}
        assert max(ports) < 10002, "Ray gives its workers 10002 to 19999"


def test_what_vllm_knows_of_models_is_copied_once(tmp_path: Path) -> None:
    infos = tmp_path / "venv" / node.MODEL_INFOS
    infos.mkdir(parents=True)
    (infos / "llama.json").write_text("{}")
    environment = {"VLLM_CACHE_ROOT": str(tmp_path / "cache")}
    node.seed_model_infos(environment, tmp_path / "venv")
    copy = tmp_path / "cache" / "modelinfos" / "llama.json"
    assert copy.read_text() == "{}"
    copy.write_text("newer")
    node.seed_model_infos(environment, tmp_path / "venv")

    assert copy.read_text() == "newer"


def test_no_such_knowledge_is_no_failure(tmp_path: Path) -> None:
    node.seed_model_infos({"VLLM_CACHE_ROOT": str(tmp_path / "cache")}, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_pod_has_the_last_word() -> None:
    given = {**TOKEN, "OMP_NUM_THREADS": "1", "RAY_SERVE_PORT_QUARANTINE_S": "5"}
    environment = node.build_worker_environment(given, cpus=3, memory_bytes=None)

    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["RAY_SERVE_PORT_QUARANTINE_S"] == "5"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "1"


@pytest.mark.parametrize("given", [{}, {"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_TOKEN": "t"}])
def test_no_node_starts_without_a_token(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="RAY_AUTH_TOKEN"):
        node.build_head_environment(given)
    with pytest.raises(ConfigError, match="RAY_AUTH_TOKEN"):
        node.build_worker_environment(given, cpus=1, memory_bytes=None)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "LLMD_HEAD_ADDRESS"),
        ({"LLMD_HEAD_ADDRESS": "h:1", "LLMD_RAY_RESOURCES": "x"}, "is not valid JSON"),
        ({"LLMD_HEAD_ADDRESS": "h:1", "LLMD_RAY_RESOURCES": "[]"}, "is not a JSON object"),
    ],
)
def test_a_worker_says_what_is_wrong(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        node.build_worker_command(environment, [])


@pytest.mark.parametrize(
    ("files", "cpus", "memory"),
    [
        ({"cpu.max": "100000 100000", "memory.max": "1024"}, 1, 1024),
        ({"cpu.max": "50000 100000", "memory.max": "max"}, 1, None),
        (
            {
                "cpu/cpu.cfs_quota_us": "100000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": str(2**63 - 4096),
            },
            1,
            None,
        ),
        ({"memory/memory.limit_in_bytes": "2048"}, None, 2048),
    ],
)
def test_limits_come_from_the_cgroup(
    tmp_path: Path, files: dict[str, str], cpus: int | None, memory: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    assert node.read_memory_limit(tmp_path) == memory
    assert node.read_cpu_limit(tmp_path) == (cpus or node.read_cpu_limit(Path("/nowhere")))


@pytest.mark.parametrize(
    ("text", "use"),
    [("file 7\nanon 4096\n", 4096), ("file 7\n", None), ("anon x\n", None), (None, None)],
)
def test_memory_use_leaves_out_the_page_cache(
    tmp_path: Path, text: str | None, use: int | None
) -> None:
    if text is not None:
        (tmp_path / "memory.stat").write_text(text)
    assert node.read_memory_use(tmp_path) == use


def test_waiting_for_a_head_that_never_comes_ends() -> None:
    with pytest.raises(ConfigError, match="could not be reached"):
        node.wait_for_head("127.0.0.1:1", timeout_seconds=0.1)
