import base64
from pathlib import Path

import pytest

from llmdeployment_gateway.assignment import DEFAULT, Key
from llmdeployment_gateway.front import count_connections
from llmdeployment_gateway.settings import (
    KubeAccess,
    SettingsError,
    read_kube_access,
    read_settings,
)

POD = {"LLMD_NAMESPACE": "ns", "LLMD_NAME": "chat", "LLMD_AUTH": "none"}


def test_a_pod_needs_three_variables() -> None:
    settings = read_settings(POD)

    assert (settings.namespace, settings.name, settings.auth) == ("ns", "chat", "none")
    assert (settings.run_dir, settings.keys_dir) == (Path("/run/llmd"), Path("/etc/llmd/keys"))
    assert (settings.bind, settings.agent_port) == (":8080", 9090)
    assert (settings.assignment_keys, settings.forcing) == (DEFAULT, False)


def test_the_operator_says_by_what_requests_are_assigned() -> None:
    settings = read_settings(POD | {"LLMD_ASSIGNMENT_KEYS": "Body/user", "LLMD_FORCING": "true"})

    assert (settings.assignment_keys, settings.forcing) == ((Key("Body", "user"),), True)


def test_the_operator_says_how_much_one_client_may_take() -> None:
    assert (read_settings(POD).source_connections, read_settings(POD).key_requests) == (4000, None)
    settings = read_settings(POD | {"LLMD_SOURCE_CONNECTIONS": "9", "LLMD_KEY_REQUESTS": "3"})
    assert (settings.source_connections, settings.key_requests) == (9, 3)


def test_the_operator_says_how_large_a_body_may_be() -> None:
    assert read_settings(POD).max_body_bytes == 32 * 2**20
    assert read_settings(POD | {"LLMD_MAX_BODY_BYTES": "1048576"}).max_body_bytes == 2**20


def test_the_operator_says_which_pages_may_read_answers() -> None:
    assert read_settings(POD).cors is None
    cors = read_settings(
        POD | {"LLMD_CORS": '{"allowOrigins": ["https://a.example"], "new": 1}'}
    ).cors
    assert cors is not None
    assert (cors.allow_origins, cors.allow_headers) == (("https://a.example",), ("*",))
    assert (cors.expose_headers, cors.allow_credentials, cors.max_age) == ((), False, 600)


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        '{"allowOrigins": []}',
        '{"allowOrigins": ["https://a.example }"]}',
        '{"allowOrigins": ["https://a.example/chat"]}',
        '{"allowOrigins": ["https://a.*"]}',
        '{"allowOrigins": ["*"], "allowHeaders": ["x\\" if TRUE"]}',
        '{"allowOrigins": ["*"], "exposeHeaders": ["a b"]}',
    ],
)
def test_what_would_break_the_configuration_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="LLMD_CORS"):
        read_settings(POD | {"LLMD_CORS": text})


def test_the_key_for_feedback_is_not_shown() -> None:
    assert read_settings(POD).feedback_key is None
    text = base64.b64encode(bytes(range(32))).decode()
    settings = read_settings(POD | {"LLMD_FEEDBACK_KEY": text})
    assert settings.feedback_key == bytes(range(32))
    assert "feedback_key" not in repr(settings)


def test_a_wrong_key_for_feedback_is_not_shown() -> None:
    with pytest.raises(SettingsError, match="LLMD_FEEDBACK_KEY: it must be 32 bytes") as found:
        read_settings(POD | {"LLMD_FEEDBACK_KEY": "hunter2"})
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"LLMD_AUTH": "basic"}, "LLMD_AUTH is 'basic'; it must be none or apikey"),
        ({"LLMD_FORCING": "yes"}, "LLMD_FORCING is 'yes'; it must be true or false"),
        ({"LLMD_ASSIGNMENT_KEYS": "x-user"}, "LLMD_ASSIGNMENT_KEYS: 'x-user' must be Header/"),
        ({"LLMD_NAME": ""}, "LLMD_NAME must be set"),
        ({"LLMD_NAME": "", "LLMD_NAMESPACE": ""}, "LLMD_NAMESPACE and LLMD_NAME must be set"),
        ({"LLMD_AGENT_PORT": "http"}, "must be numbers"),
        ({"LLMD_KEY_REQUESTS": "few"}, "must be numbers"),
    ],
)
def test_a_wrong_environment_says_what_is_wrong(changes: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read_settings(POD | changes)


def test_a_pod_reaches_the_api_server_by_its_account() -> None:
    account = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    pod = {"KUBERNETES_SERVICE_HOST": "198.19.0.1", "KUBERNETES_SERVICE_PORT": "443"}

    assert read_kube_access(pod) == KubeAccess(
        "https://198.19.0.1:443", account / "token", account / "ca.crt"
    )
    assert (
        read_kube_access(pod | {"KUBERNETES_SERVICE_HOST": "fd00::1"}).url
        == "https://[fd00::1]:443"
    )


def test_variables_come_before_the_pods_own_way() -> None:
    env = {"KUBERNETES_SERVICE_HOST": "198.19.0.1", "LLMD_KUBE_URL": "http://127.0.0.1:1/"}

    access = read_kube_access(env | {"LLMD_KUBE_TOKEN_FILE": "/t"})

    assert access == KubeAccess("http://127.0.0.1:1", Path("/t"), None)


def test_no_way_to_the_api_server_is_said() -> None:
    with pytest.raises(SettingsError, match="not in a pod"):
        read_kube_access({})


@pytest.mark.parametrize(
    ("open_files", "clients"), [(-1, 8000), (1048576, 8000), (4096, 896), (1024, 128), (64, 100)]
)
def test_connections_follow_the_limit_of_open_files(open_files: int, clients: int) -> None:
    assert count_connections(open_files) == clients
