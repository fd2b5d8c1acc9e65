import pytest

from llmdeployment_gateway.runtime_api import (
    HoldCounts,
    RuntimeApiError,
    Server,
    parse_hold,
    parse_requests,
    parse_servers,
    split_lines,
)

# HAProxy 2.6, columns that matter and one after them.
TABLE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
5 nowhere 1 hold - 2 0 1
6 slot0 1 up 198.18.0.1 2 0 1
6 slot0 2 refuses 198.18.0.2 0 0 1
6 slot0 3 out 198.18.0.3 0 1 1
6 slot0 4 configured-out 198.18.0.4 0 4 1
6 slot0 5 drains 198.18.0.5 2 8 1
6 slot0 6 hold - 2 0 1
"""


def test_the_table_of_servers_is_read() -> None:
    assert parse_servers(TABLE) == {
        "nowhere": {},
        "slot0": {
            "up": Server("up", up=True, maintenance=False),
            "refuses": Server("refuses", up=False, maintenance=False),
            "out": Server("out", up=False, maintenance=True),
            "configured-out": Server("configured-out", up=False, maintenance=True),
            "drains": Server("drains", up=False, maintenance=False),
        },
    }


def test_an_empty_table_has_no_servers() -> None:
    assert parse_servers("") == {}


def test_requests_are_read_by_backend() -> None:
    head = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,"
    rows = "slot0,BACKEND,0,0,2,3,100,17,0,\nslot1,BACKEND,0,0,0,0,100,,0,\n\n"
    assert parse_requests(f"{head}\n{rows}") == {"slot0": 17}
    assert parse_requests("") == {}


def test_the_holds_figures_are_read() -> None:
    assert parse_hold("process 17-ab\nheld 2\nfull 1\ntimeout 0\n") == HoldCounts("17-ab", 2, 1, 0)


@pytest.mark.parametrize(
    "answer", ["", "Unknown command: 'show hold'", "held 2\nfull 1\ntimeout 0"]
)
def test_another_answer_is_an_error(answer: str) -> None:
    with pytest.raises(RuntimeApiError, match="show hold"):
        parse_hold(answer)


def test_a_large_map_goes_in_pieces_of_whole_lines() -> None:
    text = "".join(f"{number:064x} key-{number}\n" for number in range(5000))

    pieces = split_lines(text)

    assert "".join(pieces) == text
    assert len(pieces) > 1
    assert all(piece.endswith("\n") and len(piece) < 64 * 1024 for piece in pieces)


def test_nothing_has_no_pieces() -> None:
    assert split_lines("") == []
