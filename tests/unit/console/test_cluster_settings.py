"""The settings of a console in the cluster, and which of them are refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.cluster_settings import PREFIX, ClusterSettings, read_cluster_settings
from llmdeployment_console.identity import ProxyEntrance, is_own_host
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.serve import STREAMS, STREAMS_EACH, build_entrance, build_places
from llmdeployment_console.viewers import ANYBODY, Viewer

PROXY = {"AUTH_MODE": "Proxy", "URL": "https://llm.example.com"}


def read(**values: str) -> ClusterSettings:
    return read_cluster_settings({PREFIX + name: value for name, value in values.items()})


def test_without_settings_the_console_is_read_only() -> None:
    found = read_cluster_settings({})
    assert (found.port, found.namespaces, found.naming, found.origin) == (8080, (), None, "")
    assert is_own_host("localhost:8001", found.names)
    assert not isinstance(build_entrance(found), ProxyEntrance)


def test_a_proxy_is_described() -> None:
    found = read_cluster_settings(
        {
            f"{PREFIX}{name}": value
            for name, value in {
                "AUTH_MODE": "Proxy",
                "URL": "https://LLM.example.com/",
                "HOSTS": "console,console.llm-system.svc",
                "USER_HEADER": "X-Forwarded-Email",
                "GROUPS": "team-a, team-b",
                "NAMESPACES": "shop,lab",
                "OPERATOR": "llm",
                "OPERATOR_NAMESPACE": "llm-system",
                "OPERATOR_WATCHES": "shop",
            }.items()
        }
    )
    assert found.naming is not None
    assert found.naming.user_header == "x-forwarded-email"
    assert found.naming.groups_header == "x-forwarded-groups"
    assert found.naming.groups == {"team-a", "team-b"}
    assert found.namespaces == ("shop", "lab")
    assert (found.operator.name, found.operator.ready) == ("llm", True)
    assert found.operator.watches("shop")
    assert not found.operator.watches("lab")
    assert {"llm.example.com", "console", "localhost"} <= found.names
    entrance = build_entrance(found)
    assert isinstance(entrance, ProxyEntrance)
    assert entrance.origin == "https://llm.example.com"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"AUTH_MODE": "None"}, "AUTH_MODE is 'None'. Set ReadOnly or Proxy."),
        ({"AUTH_MODE": "Proxy"}, "URL is not set"),
        ({"URL": "llm.example.com"}, "Set an address without a path"),
        ({"URL": "https://llm.example.com/console"}, "Set an address without a path"),
        ({"URL": "https://ada@llm.example.com"}, "Set an address without a path"),
        ({"URL": "https://llm.example.com:x"}, "Set an address without a path"),
        ({"PORT": "0"}, "Set a port"),
        ({"PORT": "http"}, "Set a port"),
        (
            {"AUTH_MODE": "Proxy", "URL": "https://a.example", "GROUPS": "team,system:masters"},
            "may not have system:masters",
        ),
        (
            {"AUTH_MODE": "Proxy", "URL": "https://a.example", "USERS": "system:admin"},
            "may not have system:admin",
        ),
    ],
)
def test_bad_settings_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(Refusal, match=re.escape(message)):
        read(**values)


def test_a_secret_that_cannot_be_read_lets_nobody_in_until_it_can(tmp_path: Path) -> None:
    path, secret = tmp_path / "secret", "s" * 32
    headers = {
        "host": "llm.example.com",
        "authorization": f"Bearer {secret}",
        "x-forwarded-user": "ada",
    }
    entrance = build_entrance(read(**PROXY, SECRET_FILE=str(path)))
    with pytest.raises(RequestRefused, match="authenticating proxy only"):
        entrance("GET", "/", headers)
    path.write_text(f"{secret}\n")
    assert entrance("GET", "/", headers) == Viewer("ada")


def test_viewers_without_names_share_all_streams() -> None:
    shared, named = build_places(read()), build_places(read(**PROXY))
    assert all(shared.take(ANYBODY) for _ in range(STREAMS))
    assert not shared.take(ANYBODY)
    assert [named.take(Viewer("ada")) for _ in range(STREAMS_EACH + 1)][-2:] == [True, False]


def test_the_program_says_why_it_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmdeployment_console"],
        env={**os.environ, f"{PREFIX}ACCOUNT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("llmdeployment-console: this is not a pod")
    assert "Traceback" not in done.stderr
