"""The console's routes: the page, its API, and the streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.times import read_clock
from llmdeployment_console import chat, documents, golden, golden_checks
from llmdeployment_console.actions import ActionRequest, preview_action
from llmdeployment_console.bodies import parse_body, read_body
from llmdeployment_console.cache import ReadCache
from llmdeployment_console.cluster import Cluster, Owner
from llmdeployment_console.events import KEEP_ALIVE, EventStream, Places, format_event
from llmdeployment_console.forwards import Ways
from llmdeployment_console.gate import Gate
from llmdeployment_console.guard import Guard
from llmdeployment_console.history import Histories
from llmdeployment_console.operator_points import OperatorPoints
from llmdeployment_console.prometheus_past import PrometheusPast, find_hours
from llmdeployment_console.recording import read_recording
from llmdeployment_console.refusals import RequestRefused, build_refusal
from llmdeployment_console.rights import Rights, restrict_document
from llmdeployment_console.runbooks import Runbooks
from llmdeployment_console.sessions import Sessions
from llmdeployment_console.settings import Settings
from llmdeployment_console.viewers import Entrance, Viewer, get_viewer
from llmdeployment_console.what_if import WhatIfRequest
from llmdeployment_console.what_if_runs import WhatIfRuns
from llmdeployment_operator.api.evaluation import EvaluationSpec

PAGE = Path(__file__).parent / "page"

_LOOK_SECONDS = 1.0
_SILENT_LOOKS = 15


@dataclass
class Console:
    """What the routes need.

    Attributes:
        cluster: what is read and written.
        cache: its last read.
        points: of the operators.
        histories: points of those who are looked at.
        ways: to replicas.
        session: for requests to replicas.
        rights: what viewers see and may do.
        sessions: the one-time token of a console on the user's machine; None in a cluster.
        page: the folder of the page.
        clock: the time.
        look_seconds: how often a stream looks for news.
        places: of streams.
        settings: where the runbooks are, and older points.
        simulations: of what would have been.
    """

    cluster: Cluster
    cache: ReadCache
    points: OperatorPoints
    histories: Histories
    ways: Ways
    session: aiohttp.ClientSession
    rights: Rights
    sessions: Sessions | None = None
    page: Path = PAGE
    clock: Callable[[], datetime] = read_clock
    look_seconds: float = _LOOK_SECONDS
    places: Places = field(default_factory=Places)
    settings: Settings = field(default_factory=Settings)
    simulations: WhatIfRuns = field(default_factory=WhatIfRuns)

    @cached_property
    def past(self) -> PrometheusPast:
        """Older points."""
        return PrometheusPast(self.session, self.settings.prometheus_url)

    @cached_property
    def runbooks(self) -> Runbooks:
        """Those that the page was built with."""
        return Runbooks.list(self.page, self.settings.runbook_url)


def build_app(console: Console, entrance: Entrance) -> ASGIApp:
    """Return the console.

    Args:
        console: what the routes need.
        entrance: who is let in.
    """
    one = "/api/llmdeployments/{namespace}/{name}"
    routes: list[BaseRoute] = [
        Route("/", _bind(show_page, console)),
        Route("/api/fleet", _bind(show_fleet, console)),
        Route(one, _bind(show_deployment, console)),
        Route(f"{one}/live", _bind(stream_live, console)),
        Route(f"{one}/actions", _bind(act, console), methods=["POST"]),
        Route(f"{one}/chat", _bind(talk, console), methods=["POST"]),
        Route(f"{one}/past", _bind(show_past, console)),
        Route(f"{one}/what-if", _bind(ask_what_if, console), methods=["POST"]),
        Route(f"{one}/golden", _bind(show_golden, console)),
        Route(f"{one}/golden", _bind(ask_golden, console), methods=["POST"]),
    ]
    if console.page.is_dir():
        # Nothing of it is secret, and all installations have the same.
        routes.append(Mount("/", StaticFiles(directory=console.page)))
    app = Starlette(
        routes=routes,
        exception_handlers={
            RequestRefused: _answer_refused,
            Refusal: _answer_refusal,
            HTTPException: _answer_http,
        },
    )
    return Guard(Gate(app, console.rights, console.cache), entrance)


async def show_page(console: Console, request: Request) -> Response:
    """Answer with the page; a one-time token becomes a cookie first."""
    if console.sessions is not None:
        moved = _exchange_token(console.sessions, request)
        if moved is not None:
            return moved
    index = console.page / "index.html"
    if not index.is_file():
        text = "The console's page is not part of this installation. In a clone, `python3 -m dev.console_page` builds it.\n"
        return Response(text, HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")
    return FileResponse(index, media_type="text/html")


def _exchange_token(sessions: Sessions, request: Request) -> Response | None:
    """Return a redirection or a refusal for a browser that has no cookie yet; None for one that has."""
    known = sessions.knows(request.cookies.get(sessions.cookie, ""))
    token = request.query_params.get("token")
    if known:
        return (
            RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER) if token is not None else None
        )
    if token is None or (value := sessions.exchange_token(token)) is None:
        return _answer_unknown()
    moved = RedirectResponse("/", status_code=HTTPStatus.SEE_OTHER)
    moved.set_cookie(sessions.cookie, value, path="/", httponly=True, samesite="strict")
    return moved


async def show_fleet(console: Console, request: Request) -> Response:
    """Answer with one line for each LLMDeployment that the viewer sees."""
    fleet, live = await console.cache.read(), await console.points.read_fleet()
    namespaces = {namespace for namespace, _ in fleet.deployments}
    seen = await console.rights.list_visible(get_viewer(request), namespaces)
    now = console.clock()
    items = [
        documents.build_fleet_item(
            each,
            (live.get(owner) or {}).get("point"),
            (live.get(owner) or {}).get("ttftP90ByMinute") or documents.NO_MINUTES,
            now,
        )
        for owner, each in sorted(fleet.deployments.items())
        if owner[0] in seen
    ]
    return JSONResponse({"items": items, "now": now.isoformat()})


async def show_deployment(console: Console, request: Request) -> Response:
    """Answer with all of one LLMDeployment."""
    owner = _get_owner(request)
    return JSONResponse(await _build_document_for(console, get_viewer(request), owner))


async def stream_live(console: Console, request: Request) -> Response:
    """Stream the points of one LLMDeployment, and its document when it changes."""
    owner = _get_owner(request)
    await _find(console, owner)
    viewer = get_viewer(request)
    return EventStream(_watch(console, viewer, owner), console.places, viewer)


async def act(console: Console, request: Request) -> Response:
    """Show what an action writes, or do it."""
    owner = _get_owner(request)
    asked = parse_body(ActionRequest, await read_body(request))
    deployment = await _find(console, owner)
    if asked.preview:
        records = await console.cache.read_records(owner, deployment)
        return JSONResponse(preview_action(deployment, records, asked.action, asked.arm))
    await console.rights.apply(get_viewer(request), owner, asked.action, asked.arm)
    console.cache.drop()
    return JSONResponse({"applied": True})


async def talk(console: Console, request: Request) -> Response:
    """Stream one answer of one revision."""
    owner = _get_owner(request)
    asked = parse_body(chat.ChatRequest, await read_body(request))
    deployment = await _find(console, owner)
    question = await _build_question(console, deployment, asked.revision, chat.build_fields(asked))
    return _stream(console, request, chat.stream_answer(console.session, console.ways, question))


async def show_golden(console: Console, request: Request) -> Response:
    """Answer with the questions of the golden set that changed."""
    deployment = await _find(console, _get_owner(request))
    document = await _build_document(console, _get_owner(request))
    evaluation = document["evaluation"] or {}
    _, questions = await _read_golden(console, deployment)
    contents = [(evaluation.get(role) or {}).get("contents") for role in ("stable", "canary")]
    rows = evaluation.get("questions") or ()
    return JSONResponse(golden.describe_questions(questions, rows, contents))


async def ask_golden(console: Console, request: Request) -> Response:
    """Stream the answer of one revision to a question of the golden set, and which checks it passes."""
    owner = _get_owner(request)
    asked = parse_body(golden.GoldenRequest, await read_body(request))
    deployment = await _find(console, owner)
    policy, questions = await _read_golden(console, deployment)
    found = golden.find_question(questions, asked.number)
    fields = golden.build_request(policy, found)
    question = await _build_question(console, deployment, asked.revision, fields)
    events = chat.stream_answer(console.session, console.ways, question)
    return _stream(console, request, golden_checks.add_checks(events, found.expect))


def _stream(console: Console, request: Request, events: AsyncIterator[chat.Event]) -> Response:
    answer = (format_event(each.name, each.data) async for each in events)
    return EventStream(answer, console.places, get_viewer(request))


async def show_past(console: Console, request: Request) -> Response:
    """Answer with points of more than the last hour."""
    owner = _get_owner(request)
    await _find(console, owner)
    hours = find_hours(request.query_params.get("hours", ""))
    return JSONResponse({"points": await console.past.read(owner, hours, console.clock())})


async def ask_what_if(console: Console, request: Request) -> Response:
    """Answer with what other bounds or another target would have made of the last hour."""
    owner = _get_owner(request)
    asked = parse_body(WhatIfRequest, await read_body(request))
    deployment = await _find(console, owner)
    history = console.histories.find(owner, str(deployment["metadata"].get("uid")))
    await history.refresh(deployment, console.clock())
    recording = read_recording(history.list_points())
    viewer = get_viewer(request)
    return JSONResponse(await console.simulations.run(viewer, deployment, recording, asked.choice))


async def _read_golden(
    console: Console, deployment: Object
) -> tuple[EvaluationSpec, list[golden.Question]]:
    policy = golden.read_policy(deployment)
    if policy is None or (ref := policy.golden.config_map_ref) is None:
        message = "The golden set is not in a ConfigMap, so the console cannot read its questions."
        raise RequestRefused(HTTPStatus.CONFLICT, "not_readable", message)
    namespace = deployment["metadata"]["namespace"]
    read = console.cluster.read_config_map_key
    return policy, golden.read_questions(
        await asyncio.to_thread(read, namespace, ref.name, ref.key)
    )


async def _build_question(
    console: Console, deployment: Object, revision: int, fields: dict[str, Any]
) -> chat.Question:
    meta = deployment["metadata"]
    try:
        records = await console.cache.read_records((meta["namespace"], meta["name"]), deployment)
    except Refusal:
        # Without them the answer has no price, and is an answer all the same.
        records = ()
    return chat.build_question(deployment, records, revision, fields)


async def _watch(console: Console, viewer: Viewer, owner: Owner) -> AsyncIterator[bytes]:
    """Yield the points so far, and then whatever is new until the LLMDeployment is gone or may not be seen any more."""
    last: str | None = None
    seen: object = None
    begun, silent = False, 0
    while True:
        with contextlib.suppress(Refusal):
            # One that is not answered now may be a moment later.
            fleet = await console.cache.read()
            deployment = fleet.deployments.get(owner)
            if deployment is None or not await console.rights.list_visible(viewer, [owner[0]]):
                return
            history = console.histories.find(owner, str(deployment["metadata"].get("uid")))
            await history.refresh(deployment, console.clock())
            fresh, silent = history.list_points(last), silent + 1
            if not begun:
                begun, silent = True, 0
                yield format_event("history", {"points": fresh, "message": history.message})
            else:
                for point in fresh:
                    silent = 0
                    yield format_event("point", point)
            last = fresh[-1]["at"] if fresh else last
            mark = deployment["metadata"].get("resourceVersion"), fleet.events.get(owner)
            if mark != seen:
                seen, silent = mark, 0
                document = await _build_document_for(console, viewer, owner)
                yield format_event("deployment", document)
        if silent >= _SILENT_LOOKS:
            silent = 0
            yield KEEP_ALIVE
        await asyncio.sleep(console.look_seconds)  # why: nothing tells of news


async def _build_document_for(console: Console, viewer: Viewer, owner: Owner) -> dict[str, Any]:
    """Return the document of an LLMDeployment without what the viewer may not do."""
    document = await _build_document(console, owner)
    rights, namespace = console.rights, owner[0]
    acting = await rights.explain_acting(viewer, namespace)
    chatting = await rights.explain_chat(viewer, namespace)
    return restrict_document(document, acting=acting, chatting=chatting)


async def _build_document(console: Console, owner: Owner) -> dict[str, Any]:
    deployment = await _find(console, owner)
    fleet = await console.cache.read()
    records = await console.cache.read_records(owner, deployment)
    live = await console.points.read_fleet()
    point = (live.get(owner) or {}).get("point")
    events = fleet.events.get(owner, ())
    found = documents.build_deployment(
        deployment, records, events, point, console.clock(), console.runbooks
    )
    return {**found, "past": console.settings.prometheus_url is not None}


async def _find(console: Console, owner: Owner) -> Object:
    found = (await console.cache.read()).deployments.get(owner)
    if found is None:
        message = f"There is no LLMDeployment {owner[1]} in namespace {owner[0]}. It may have been deleted."
        raise RequestRefused(HTTPStatus.NOT_FOUND, "not_found", message)
    return found


def _get_owner(request: Request) -> Owner:
    return request.path_params["namespace"], request.path_params["name"]


def _bind(answer: Callable[[Console, Request], Any], console: Console) -> Callable[[Request], Any]:
    async def route(request: Request) -> Response:
        found: Response = await answer(console, request)
        return found

    return route


def _answer_unknown() -> Response:
    text = (
        "This address was used already, or is not the one that was printed.\n"
        "Run `kubectl llm console` again and open the address that it prints.\n"
    )
    return Response(text, HTTPStatus.UNAUTHORIZED, media_type="text/plain")


async def _answer_refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, RequestRefused)  # noqa: S101  # because Starlette's type is wider
    return build_refusal(refused)


async def _answer_refusal(request: Request, refusal: Exception) -> Response:
    """Answer what the API server or a patch refused: the fault is not the page's when it only reads."""
    status = HTTPStatus.CONFLICT if request.method == "POST" else HTTPStatus.BAD_GATEWAY
    return build_refusal(RequestRefused(status, "refused", str(refusal)))


async def _answer_http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{HTTPStatus(status).phrase}. Open the console's first page."
    return build_refusal(RequestRefused(HTTPStatus(status), "http_error", message))
