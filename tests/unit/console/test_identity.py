"""Who enters a console in the cluster: what the proxy must bring, and whose names are taken."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from llmdeployment_console.identity import Naming, ProxyEntrance, admit_reader
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.viewers import ANYBODY, Viewer

SECRET = "s" * 32
NAMES = frozenset({"llm.example.com", "localhost"})
NAMING = Naming("x-forwarded-user", "x-forwarded-groups", groups=frozenset({"team-a", "team-b"}))
ENTRANCE = ProxyEntrance(NAMES, "https://llm.example.com", NAMING, lambda: (SECRET,))
WRITE = {
    "x-llm-console": "1",
    "origin": "https://llm.example.com",
    "content-type": "application/json",
}


def encode(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


BROUGHT = {
    "host": "llm.example.com",
    "authorization": encode(f"ada:{SECRET}"),
    "x-forwarded-user": "ada",
    "x-forwarded-groups": "team-a,others",
}


def refuse(headers: Mapping[str, str | None], method: str = "GET", entrance: Any = ENTRANCE) -> Any:
    """Return the refusal of a request that differs from a good one."""
    sent = {name: value for name, value in {**BROUGHT, **headers}.items() if value is not None}
    with pytest.raises(RequestRefused) as caught:
        entrance(method, "/api/fleet", sent)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    "authorization",
    [
        encode(f"ada:{SECRET}"),
        f"Bearer {SECRET}",
        f"bearer {SECRET}",
        encode(f":{SECRET}"),
        encode(f"https://id.example/ada:{SECRET}"),
    ],
)
def test_the_proxys_headers_are_believed_beside_its_secret(authorization: str) -> None:
    found = ENTRANCE("GET", "/", {**BROUGHT, "authorization": authorization})
    assert found == Viewer("ada", ("team-a",))
    assert ENTRANCE("POST", "/api/x", {**BROUGHT, **WRITE}) == found


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        SECRET,
        "Bearer",
        "Bearer " + "t" * 32,
        f"Bearer {SECRET}t",
        f"Bearer {SECRET[1:]}",
        encode(f"{SECRET}:ada"),
        encode(f"ada:{SECRET}:"),
        "Basic ü",
        f"Bearer {SECRET}\nBearer {SECRET}",
        "Bearer ünknown",
    ],
)
def test_without_the_proxys_secret_nobody_is_let_in(authorization: str | None) -> None:
    assert refuse({"authorization": authorization}) == (401, "no_proxy")


@pytest.mark.parametrize("secrets", [(), ("",), ("s" * 31,)])
def test_a_secret_that_is_missing_or_short_lets_nobody_in(secrets: tuple[str, ...]) -> None:
    entrance = replace(ENTRANCE, read_secrets=lambda: secrets)
    given = secrets[0] if secrets else ""
    refused = refuse({"authorization": f"Bearer {given}"}, entrance=entrance)
    assert refused == (401, "no_proxy")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-forwarded-user": None}, "no_user"),
        ({"x-forwarded-user": " "}, "no_user"),
        ({"x-forwarded-user": "ada\nbob"}, "bad_user"),
        ({"x-forwarded-user": "a" * 257}, "bad_user"),
        ({"x-forwarded-user": "ad\u00e4"}, "bad_user"),
        ({"x-forwarded-user": "ada\n"}, "bad_user"),
        ({"x-forwarded-user": "\nada"}, "bad_user"),
        ({"x-forwarded-groups": "team-a\nteam-b"}, "bad_user"),
        ({"x-forwarded-groups": "team-a,\nteam-b"}, "bad_user"),
        ({"x-forwarded-groups": ",".join(map(str, range(257)))}, "bad_user"),
        ({"x-forwarded-user": "system:kube-scheduler"}, "reserved_name"),
        ({"x-forwarded-user": "System:admin"}, "reserved_name"),
        ({"x-forwarded-user": "system:serviceaccount:kube-system:default"}, "reserved_name"),
        ({"x-forwarded-groups": "team-a, system:masters"}, "reserved_name"),
    ],
)
def test_names_that_nobody_may_have_are_refused(headers: dict[str, Any], code: str) -> None:
    assert refuse(headers)[1] == code


def test_prefixes_are_those_of_the_api_server() -> None:
    naming = replace(
        NAMING, user_prefix="oidc:", group_prefix="oidc:", groups=frozenset({"oidc:team-a"})
    )
    entrance = replace(ENTRANCE, naming=naming)
    assert entrance("GET", "/", BROUGHT) == Viewer("oidc:ada", ("oidc:team-a",))
    # A prefix takes the name out of those that belong to Kubernetes.
    named = entrance("GET", "/", {**BROUGHT, "x-forwarded-user": "system:x"})
    assert named.user == "oidc:system:x"


def test_only_listed_users_enter_where_some_are_listed() -> None:
    entrance = replace(ENTRANCE, naming=replace(NAMING, users=frozenset({"bob"})))
    assert refuse({}, entrance=entrance) == (403, "unknown_user")
    assert entrance("GET", "/", {**BROUGHT, "x-forwarded-user": "bob"}).user == "bob"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"origin": "https://evil.example"}, (403, "foreign_origin")),
        ({"origin": "http://llm.example.com"}, (403, "foreign_origin")),
        ({"origin": None}, (403, "foreign_origin")),
        ({"x-llm-console": None}, (403, "foreign_origin")),
        ({"content-type": "text/plain"}, (415, "not_json")),
        ({"content-length": str((1 << 20) + 1)}, (413, "too_large")),
        ({"host": "evil.example"}, (421, "foreign_host")),
    ],
)
def test_writes_of_other_pages_are_refused(headers: dict[str, Any], refused: Any) -> None:
    assert refuse({**WRITE, **headers}, "POST") == refused


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("llm.example.com", True),
        ("LLM.example.com:443", True),
        ("localhost:39999", True),
        ("llm.example.com.evil.example", False),
        ("llm.example.com:80:80", False),
        ("", False),
        ("localhost\nlocalhost", False),
    ],
)
def test_a_console_answers_to_its_own_names(host: str, own: bool) -> None:  # noqa: FBT001  # because it is a table
    if own:
        assert admit_reader("GET", "/", {"host": host}, names=NAMES) == ANYBODY
    else:
        with pytest.raises(RequestRefused, match="own address only"):
            admit_reader("GET", "/", {"host": host}, names=NAMES)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_is_written_where_nobody_is_asked_for_a_name(method: str) -> None:
    headers = {**BROUGHT, **WRITE, "host": "localhost:8080"}
    with pytest.raises(RequestRefused) as caught:
        admit_reader(method, "/api/llmdeployments/a/b/actions", headers, names=NAMES)
    assert (caught.value.status, caught.value.code) == (403, "read_only")
