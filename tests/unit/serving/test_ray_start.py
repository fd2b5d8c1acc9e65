from llmdeployment_serving.ray_start import add_agent_port, wrap_start

AGENT = "--dashboard_agent_command=python agent.py --grpc-port=8266 --listen-port={port} --head"


def test_a_raylet_knows_the_port_that_it_gives_its_agent() -> None:
    command = ["raylet", AGENT.format(port=8267), "--head"]

    assert add_agent_port(command) == [*command, "--dashboard_agent_listen_port=8267"]


def test_a_port_that_the_agent_chooses_stays_unknown() -> None:
    command = ["raylet", AGENT.format(port=0)]

    assert add_agent_port(command) == command


def test_other_processes_start_as_ray_starts_them() -> None:
    def start(command: list[str], process_type: str, *, cwd: str) -> tuple[list[str], str, str]:
        return command, process_type, cwd

    wrapped = wrap_start(start)
    command = ["gcs", "--listen-port=8267"]
    told = [*command, "--dashboard_agent_listen_port=8267"]
    assert wrapped(command, "gcs_server", cwd="/") == (command, "gcs_server", "/")
    assert wrapped(command, "raylet", cwd="/") == (told, "raylet", "/")
