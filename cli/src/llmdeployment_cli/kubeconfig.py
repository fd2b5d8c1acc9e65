"""The API server that a kubeconfig leads to. The client of Kubernetes knows every way to log in; it is imported here alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.client.rest import RESTResponse
from typing_extensions import override

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.transport import ApiAnswer, ApiRequest


class _Client(ApiClient):
    """A client that adds headers to each request, several of one name among them: a dict has room for one."""

    def __init__(self, configuration: Configuration, headers: Sequence[tuple[str, str]]) -> None:
        super().__init__(configuration=configuration)
        self._headers = headers

    @override
    def call_api(
        self, method: str, url: str, header_params: Any = None, *rest: Any, **named: Any
    ) -> RESTResponse:
        headers = urllib3.HTTPHeaderDict(header_params or {})
        for name, value in self._headers:
            headers.add(name, value)
        return super().call_api(method, url, headers, *rest, **named)


@dataclass(frozen=True)
class KubeconfigTransport:
    """A connection as the user of a kubeconfig.

    Attributes:
        client: closed with the process.
    """

    client: ApiClient

    @property
    def host(self) -> str:
        """The API server's address."""
        return str(self.client.configuration.host)

    def send(self, request: ApiRequest, seconds: float | None) -> ApiAnswer:
        """Send a request and return the answer, whatever its status."""
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        method, url, headers, _, _ = self.client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self.client.call_api(
                method, url, headers, request.body, _request_timeout=seconds
            )
        except ApiException as error:
            # The client's own word for a certificate that it does not trust.
            raise urllib3.exceptions.HTTPError(error.reason) from error
        body = answer.read()  # type: ignore[no-untyped-call]  # because the client has no types here
        return ApiAnswer(answer.status, answer.reason or "", body)


def open_transport(
    flags: Flags, headers: Sequence[tuple[str, str]]
) -> tuple[KubeconfigTransport, str]:
    """Return the connection that kubectl would use with these flags, and the context's namespace.

    Args:
        flags: which kubeconfig and context.
        headers: sent with each request.

    Raises:
        Refusal: there is no kubeconfig, or it does not have this context.
    """
    path = flags.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    configuration = Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]  # because the client has no types here
            config_file=path, context=flags.context, client_configuration=configuration
        )
        known, current = config.list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call]  # because the client has no types here
    except (config.ConfigException, OSError) as error:
        raise Refusal(
            f"{path} leads to no cluster: {str(error).rstrip('.')}. Check $KUBECONFIG, --kubeconfig and --context."
        ) from error
    # A person waits at the terminal, so one retry is enough.
    configuration.retries = urllib3.Retry(1, redirect=0, backoff_factor=0.2)
    chosen = next((each for each in known if each["name"] == flags.context), current)
    namespace = chosen["context"].get("namespace") or "default"
    return KubeconfigTransport(_Client(configuration, headers)), namespace
