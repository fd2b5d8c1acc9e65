from llmdeployment_gateway.front import connections
from llmdeployment_gateway.steering import DesiredState

ROUTES = '{"deployment": "chat", "servedName": "chat", "salt": "x"}'


def test_routes_that_cannot_be_read_leave_the_last_ones() -> None:
    desired = DesiredState()
    assert desired.problem
    desired.read(ROUTES)
    assert desired.problem == ""
    before = desired.routes

    desired.read("{")

    assert desired.problem.startswith("routes.json cannot be read: routes.json: Invalid JSON")
    assert desired.routes is before


def test_connections_follow_from_the_limit_of_open_files() -> None:
    assert [connections(files) for files in (-1, 1_048_576, 4096, 64)] == [8000, 8000, 896, 100]
