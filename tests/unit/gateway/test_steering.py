from llmdeployment_gateway.front import count_connections
from llmdeployment_gateway.steering import Inputs

ROUTES = '{"deployment": "chat", "servedName": "chat", "salt": "x"}'


def test_routes_that_cannot_be_read_leave_the_last_ones() -> None:
    inputs = Inputs()
    assert inputs.problem
    inputs.read(ROUTES)
    assert inputs.problem == ""
    before = inputs.routes

    inputs.read("{")

    assert inputs.problem.startswith(
        "routes.json is invalid, so the routing stays as it was: routes.json: Invalid JSON"
    )
    assert inputs.routes is before


def test_connections_follow_from_the_limit_of_open_files() -> None:
    assert [count_connections(files) for files in (-1, 1_048_576, 4096, 64)] == [
        8000,
        8000,
        896,
        100,
    ]
