from llmdeployment_gateway import changes, config, maps, slots
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Hold, Route, Routes
from llmdeployment_gateway.runtime_api import Server

ONE, TWO = Address("198.18.0.1", 30000), Address("198.18.0.2", 30000)


def server(address: Address, *, maintenance: bool = False) -> Server:
    return Server(address.server, up=not maintenance, maintenance=maintenance)


def found(*servers: Server) -> dict[str, dict[str, Server]]:
    return {"slot0": {each.name: each for each in servers}}


def test_a_new_address_is_added_checked_and_let_in() -> None:
    commands = changes.list_additions({"slot0": frozenset({TWO})}, found(), {}, 256)

    assert commands == [
        (
            f"add server slot0/r-198.18.0.2-30000 198.18.0.2:30000 {config.build_server_options(256)}",
            "New server registered",
        ),
        ("enable health slot0/r-198.18.0.2-30000", ""),
        ("set server slot0/r-198.18.0.2-30000 state ready", ""),
    ]


def test_a_server_gets_as_many_requests_at_once_as_its_replica_takes() -> None:
    wanted = {"slot0": frozenset({ONE}), "slot1": frozenset({TWO})}

    commands = changes.list_additions(wanted, {}, {"slot1": 32}, 256)

    assert [text.rpartition(" ")[2] for text, expected in commands if expected] == ["256", "32"]


def test_an_address_that_comes_back_before_it_was_forgotten_is_let_in_again() -> None:
    commands = changes.list_additions(
        {"slot0": frozenset({ONE})}, found(server(ONE, maintenance=True)), {}, 256
    )

    assert [command for command, _ in commands] == [
        "enable health slot0/r-198.18.0.1-30000",
        "set server slot0/r-198.18.0.1-30000 state ready",
    ]


def test_what_is_as_wanted_is_left_alone() -> None:
    there, wanted = found(server(ONE)), {"slot0": frozenset({ONE})}

    assert changes.list_additions(wanted, there, {}, 256) == []
    assert changes.list_removals(wanted, there) == ([], [])


def test_a_gone_address_gets_no_more_requests_and_is_then_forgotten() -> None:
    there = found(server(ONE), server(TWO, maintenance=True))

    out, forget = changes.list_removals({"slot0": frozenset()}, there)

    assert out == ["set server slot0/r-198.18.0.1-30000 state maint"]
    assert forget == ["del server slot0/r-198.18.0.1-30000", "del server slot0/r-198.18.0.2-30000"]


def test_servers_of_a_slot_without_a_service_go() -> None:
    assert changes.list_removals({}, found(server(ONE)))[0] == [
        "set server slot0/r-198.18.0.1-30000 state maint"
    ]


def test_nothing_is_routed_before_its_servers_and_settings_are_there() -> None:
    route = Route(arm="main", revision=3, service="chat-a", below=10000)
    routes = Routes(deployment="chat", servedName="chat", salt="s", hold=Hold(), routes=(route,))

    wanted = changes.build_state(
        routes, {"chat-a": frozenset({ONE})}, {"ab": "key"}, {"chat-a": "slot4"}
    )

    assert wanted.servers == {"slot4": {ONE}}
    assert list(wanted.maps)[-1] == maps.BUCKETS
    assert wanted.maps[maps.BUCKETS] == "0:9999 main|3|slot4\n"
    assert wanted.maps[maps.KEYS] == "ab key\n"
    assert slots.parse_slots(wanted.maps[maps.SLOTS]) == {"chat-a": "slot4"}
