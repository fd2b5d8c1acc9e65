"""What `helm test` runs: a simulated LLMDeployment, from its API object to an answer through its Service, and away again.

It is configured by the environment, as the chart sets it: LLMD_TEST_NAMESPACE, LLMD_TEST_NAME and LLMD_TEST_SECONDS.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi

from llmdeployment_operator.api.types import API_VERSION, GROUP, KIND, PLURAL, VERSION
from llmdeployment_operator.kube.client import NoCluster, access, api_client

MARK = "[simulated]"
"""Every answer of the simulated engine has it."""
CREATED_BY = {"app.kubernetes.io/created-by": "helm-test"}
"""By this label a test knows what an earlier one left."""
POLL_SECONDS = 1.0
CALL_SECONDS = 10
"""Seconds that one call of the API server may take."""
ASK_SECONDS = 30
"""Seconds until the first answer: nodes learn of a Service's pods a moment after they are ready."""

Object = dict[str, Any]


class CheckFailed(Exception):
    """The release does not do what it should; the text says what was seen."""


@dataclass(frozen=True)
class Target:
    """The LLMDeployment that is made.

    Attributes:
        namespace: where.
        name: its name.
        seconds: until when it must have answered.
    """

    namespace: str
    name: str
    seconds: float


def main() -> None:
    """Check the release, and end with status 1 and a sentence if it fails."""
    try:
        asyncio.run(_check(read_target(os.environ)))
    except (CheckFailed, NoCluster) as error:
        sys.exit(f"The test failed. {error}")
    except asyncio.CancelledError:
        sys.exit("The test was ended before it was done.")


def read_target(env: Mapping[str, str]) -> Target:
    """Return what is to be made.

    Raises:
        CheckFailed: a variable is missing.
    """
    try:
        return Target(
            namespace=env["LLMD_TEST_NAMESPACE"],
            name=env["LLMD_TEST_NAME"],
            seconds=float(env["LLMD_TEST_SECONDS"]),
        )
    except KeyError as error:
        raise CheckFailed(f"The variable {error.args[0]} is not set.") from None


async def _check(target: Target) -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with api_client(await access()) as api, aiohttp.ClientSession() as session:
        await check_release(api, session, target)


async def check_release(api: ApiClient, session: aiohttp.ClientSession, target: Target) -> None:
    """Make the LLMDeployment, wait until it is ready, ask it once, and delete it whatever happens.

    Raises:
        CheckFailed: the text says what was seen last.
    """
    objects = CustomObjectsApi(api)
    await _create(objects, target)
    try:
        endpoint = await _wait_until_ready(objects, target)
        answer = await _ask(session, endpoint, target.name)
    finally:
        await _delete(objects, target)
        _report(f"Deleted LLMDeployment {target.name}.")
    _report(f"The release works. The model answered: {answer}")


def build_deployment(target: Target) -> Object:
    """Return the smallest LLMDeployment that answers."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": target.name, "namespace": target.namespace, "labels": CREATED_BY},
        "spec": {
            "model": {"source": "file:///dev/null"},
            "engine": {"name": "simulated", "args": {"warm-up-seconds": 1}},
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
            "gateway": {"replicas": 1},
        },
    }


async def _create(objects: CustomObjectsApi, target: Target) -> None:
    for _ in range(2):
        try:
            await objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                target.namespace,
                PLURAL,
                build_deployment(target),
                _request_timeout=CALL_SECONDS,
            )
        except ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise _explain(error, "create", target) from None
            await _remove_leftover(objects, target)
        else:
            place = f"in namespace {target.namespace}"
            _report(f"Created LLMDeployment {target.name} {place}.")
            return
    raise CheckFailed(f"LLMDeployment {target.name} of an earlier test does not go away.")


async def _remove_leftover(objects: CustomObjectsApi, target: Target) -> None:
    """Delete what an earlier test left, and wait until it is gone."""
    found = await _get(objects, target)
    if found is None:
        return
    if not CREATED_BY.items() <= found["metadata"].get("labels", {}).items():
        raise CheckFailed(
            f"LLMDeployment {target.name} in namespace {target.namespace} exists and is not of a test. "
            "Rename it, or set the chart's value test.namespace."
        )
    await _delete(objects, target)
    for _ in range(ASK_SECONDS):
        if await _get(objects, target) is None:
            return
        await asyncio.sleep(POLL_SECONDS)  # why: polling, at most ASK_SECONDS times


async def _wait_until_ready(objects: CustomObjectsApi, target: Target) -> str:
    """Return the endpoint once the condition Ready is True; print each new sentence of it."""
    said = "No operator has acted on it. Does one watch this namespace?"
    try:
        async with asyncio.timeout(target.seconds):
            while True:
                found = await _get(objects, target)
                if found is None:
                    raise CheckFailed(f"Somebody deleted LLMDeployment {target.name}.")
                status: Object = found.get("status") or {}
                conditions = {each["type"]: each for each in status.get("conditions") or ()}
                if "Ready" in conditions and conditions["Ready"]["message"] != said:
                    said = conditions["Ready"]["message"]
                    _report(said)
                if _is_true(conditions, "Ready"):
                    return str(status["endpoint"])
                if _is_true(conditions, "Stalled"):
                    raise CheckFailed(said)
                await asyncio.sleep(POLL_SECONDS)  # why: polling, with the timeout above
    except TimeoutError:
        raise CheckFailed(
            f"LLMDeployment {target.name} was not ready within {target.seconds:.0f} s. {said}"
        ) from None


def _is_true(conditions: Mapping[str, Object], kind: str) -> bool:
    return kind in conditions and conditions[kind]["status"] == "True"


async def _ask(session: aiohttp.ClientSession, endpoint: str, model: str) -> str:
    """Return the answer to one chat completion, which must be the simulated engine's."""
    url = f"{endpoint}/chat/completions"
    body = {"model": model, "messages": [{"role": "user", "content": "Are you there?"}]}
    said = "no answer"
    try:
        async with asyncio.timeout(ASK_SECONDS):
            while True:
                try:
                    async with session.post(url, json={**body, "max_tokens": 16}) as response:
                        said = f"{response.status} {await response.text()}"
                        if response.status == HTTPStatus.OK:
                            return _read_answer(said.partition(" ")[2])
                except aiohttp.ClientError as error:
                    said = str(error) or type(error).__name__
                await asyncio.sleep(POLL_SECONDS)  # why: polling, with the timeout above
    except TimeoutError:
        raise CheckFailed(f"{url} did not answer within {ASK_SECONDS} s: {said[:500]}") from None


def _read_answer(text: str) -> str:
    try:
        answer = str(json.loads(text)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        raise CheckFailed(f"The answer is not a chat completion: {text[:500]}") from None
    if MARK not in answer:
        raise CheckFailed(f"The answer is not the simulated engine's: {answer[:500]}")
    return answer


async def _get(objects: CustomObjectsApi, target: Target) -> Object | None:
    try:
        found = await objects.get_namespaced_custom_object(
            GROUP, VERSION, target.namespace, PLURAL, target.name, _request_timeout=CALL_SECONDS
        )
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise _explain(error, "get", target) from None
    return cast("Object", found)


async def _delete(objects: CustomObjectsApi, target: Target) -> None:
    try:
        await objects.delete_namespaced_custom_object(
            GROUP, VERSION, target.namespace, PLURAL, target.name, _request_timeout=CALL_SECONDS
        )
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise _explain(error, "delete", target) from None


def _report(sentence: str) -> None:
    """Print one line for `helm test --logs`."""
    print(sentence, flush=True)  # noqa: T201  # because it is a command's output


def _explain(error: ApiException, verb: str, target: Target) -> CheckFailed:
    """Return the API server's own sentence as a failure of the check."""
    try:
        message = json.loads(error.body or "")["message"]
    except (ValueError, LookupError, TypeError):
        message = error.reason
    return CheckFailed(
        f"The API server does not let the test {verb} LLMDeployment {target.name} "
        f"in namespace {target.namespace}: {message}"
    )


if __name__ == "__main__":
    main()
