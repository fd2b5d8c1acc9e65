"""A replica's ASGI application: everything between the socket and the engine's own HTTP application.

Pure ASGI, since Starlette's middleware classes buffer streams and hide disconnects. A request passes these checks in order: path,
revision, size, JSON, prompt, adapter. On the way back it measures status, time to first chunk, gaps, duration and tokens.
"""

import asyncio
import json
import os
import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.adapters import LOADED, LOADING, Adapters, make_internal_name
from llmdeployment_serving.answer_spans import AnswerSpans
from llmdeployment_serving.answer_watch import AnswerWatch
from llmdeployment_serving.api_paths import SHADOWED, explain_absence, list_paths
from llmdeployment_serving.bodies import Bodies, send_whole
from llmdeployment_serving.bounded import is_counted, is_drawn
from llmdeployment_serving.config import (
    AdapterConfig,
    MonitoringConfig,
    RevisionConfig,
    ServingConfig,
    UserConfig,
)
from llmdeployment_serving.engine import ASGIApp, Engine, Message, Receive, Scope, Send
from llmdeployment_serving.errors import MODEL_NOT_FOUND, AnswerCutError, RefusedError, send_error
from llmdeployment_serving.metrics import read_owner, render_metrics
from llmdeployment_serving.model_names import (
    describe_unknown_model,
    make_card_send,
    make_listing_send,
    make_renaming_send,
)
from llmdeployment_serving.model_tasks import GENERATES, ModelTask
from llmdeployment_serving.output_shares import OutputPattern, compile_patterns
from llmdeployment_serving.probe import REVISION_HEADER, Probe
from llmdeployment_serving.relay import Relay
from llmdeployment_serving.request_checks import check_request, parse_body
from llmdeployment_serving.request_log import RequestLog, note_request, update_log
from llmdeployment_serving.self_test import SelfTest
from llmdeployment_serving.serve_log import name_request
from llmdeployment_serving.shadow import SHADOW_HEADER, Reply, Shadows
from llmdeployment_serving.shadow_request import build_scope
from llmdeployment_serving.stats import (
    NOTHING,
    EngineSnapshot,
    RevisionStats,
    add_users,
    build_stats,
    find_group,
    find_length_bucket,
)

MODELS_PATH = "/v1/models"
ENGINE_PATHS = (MODELS_PATH, "/health")
BUCKET_HEADER = b"x-llm-bucket"
REQUEST_HEADER = b"x-request-id"
WITH_USERS = b"users=true"
"""The query of `/stats` that asks for the counts by group of users: they are ten times the rest."""

FEW_REQUESTS = 16
"""Live requests under way, at most, while requests are shadowed."""
LITTLE_CACHE = 0.5
"""Share of the KV cache in use, at most, while requests are shadowed."""

_no_revision = "0"


class ReplicaApp:
    """The ASGI application of a replica; `app` is that of the engine, and `model` says what the model does."""

    def __init__(
        self, config: ServingConfig, engine: Engine, app: ASGIApp, model: ModelTask = GENERATES
    ) -> None:
        self._config = config
        self._owner = read_owner(os.environ)
        self._engine = engine
        self._app = app
        self._relay = Relay(engine, app)
        self._model = model
        self.spans = AnswerSpans(config.engine.name, self._owner)
        self._paths = list_paths(config.engine.name, model)
        self._restarts = 0
        self._past = NOTHING
        self._has_engine = True
        self._in_flight = 0
        self._bodies = Bodies()
        self._revisions: dict[str, RevisionStats] = {}
        self._patterns: tuple[OutputPattern, ...] = ()
        self._log: RequestLog | None = None
        self.user_config = UserConfig()
        self.is_proven = True
        """Whether requests are answered: not before a new replica has passed its self-test."""
        self.adapters = Adapters(engine)
        self.self_test = SelfTest(engine)
        self.shadows = Shadows(self._ask, self._has_room)

    def take(self, config: UserConfig) -> None:
        """Take new revisions; requests in progress keep theirs."""
        self.user_config = config
        self.watch_for(config.monitoring)
        self.adapters.set_desired(config)
        self.self_test.take(config.self_test)
        self.shadows.take(config.shadows, self._patterns)

    def watch_for(self, monitoring: MonitoringConfig) -> None:
        """Look at the next answers for these patterns, and trace and log them so."""
        self.spans.take(monitoring.traces)
        self._log = update_log(self._log, monitoring.request_log, self._owner)
        wanted = monitoring.output_patterns
        self._patterns = compile_patterns((each.name, each.pattern) for each in wanted)
        for row in self._revisions.values():
            row.set_patterns(self._patterns)

    def pause(self) -> None:
        """Let requests wait for the next engine. This one must not be asked for its counts again: the next one's process resets them."""
        self._relay.pause()
        self._past = self._engine.take_snapshot().add_past(self._past)
        self._has_engine = False

    def give_up(self) -> None:
        """Answer the requests that wait: there is no next engine."""
        self._relay.give_up()

    async def replace_engine(self, engine: Engine, app: ASGIApp) -> None:
        """Give requests, those that wait first, to an engine that has the adapters and passes the self-test.

        Raises:
            SelfTestError: it computes wrongly.
        """
        self.adapters.replace_engine(engine)
        await self.adapters.wait_until_settled()
        await self.self_test.replace_engine(engine)
        self._engine, self._app = engine, app
        self._has_engine = True
        self._restarts += 1
        await self._relay.resume(engine, app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path, method = scope["path"], scope["method"]
        if path == "/health" and not self._relay.is_open:
            message = "the engine stopped, and the next one does not answer yet"
            await send_error(send, HTTPStatus.SERVICE_UNAVAILABLE, message)
        elif not self.is_proven and (path in self._paths or path == "/health"):
            await send_error(
                send,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "this replica has not passed its self-test yet. Send the request again.",
                ((b"retry-after", b"1"),),
            )
        elif path in self._paths and method == "POST":
            await self._generate(scope, receive, send)
        elif path == MODELS_PATH or path.startswith(f"{MODELS_PATH}/"):
            await self._tell_models(scope, receive, send)
        elif path in ENGINE_PATHS:
            await self._app(scope, receive, send)
        elif path == "/stats":
            with_users = WITH_USERS in scope.get("query_string", b"").split(b"&")
            document = self.stats_with_users() if with_users else self.stats()
            text = json.dumps(document, separators=(",", ":")).encode()
            await send_whole(send, text, b"application/json")
        else:
            message = explain_absence(method, path, self._config.engine.name, self._model)
            await send_error(send, HTTPStatus.NOT_FOUND, message)

    async def _tell_models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with all models of a revision, or with the one that the path names."""
        adapters = self._list_adapters(self._find_revision(scope))
        names = {make_internal_name(adapter): name for name, adapter in adapters.items()}
        served = self._config.served_name
        if wanted := scope["path"].removeprefix(MODELS_PATH).removeprefix("/"):
            send = make_card_send(send, served, names, wanted)
        else:
            send = make_listing_send(send, served, names)
        listing = {**scope, "path": MODELS_PATH, "raw_path": MODELS_PATH.encode()}
        await self._app(listing, receive, send)

    def stats(self) -> dict[str, Any]:
        """Return the body of `/stats`."""
        for number in self.user_config.revisions:
            if adapters := self._list_adapters(number):
                row = self._get_row(number)
                row.adapters = {n: self.adapters.get_state(a) for n, a in adapters.items()}
        document = build_stats(
            self._config.engine.name,
            self._config.served_name,
            self._take_snapshot(),
            self._revisions,
            in_flight=self._in_flight,
            engine_restarts=self._restarts,
            self_test=self.self_test.describe(),
        )
        document |= self.shadows.describe() | self._model.describe()
        return document | (self._log.describe() if self._log else {})

    def render_metrics(self) -> bytes:
        """Return the page for Prometheus: the engine's own metrics, and the replica's of the revisions that are served now.

        The rows of other revisions stay in `/stats`, whose readers subtract. A series that is not on the page ends.
        """
        document = self.stats()
        known = self.user_config.revisions
        rows = document["revisions"].items()
        served = {n: row for n, row in rows if n in known or not known or n == _no_revision}
        document |= {"revisions": served, "spans": self.spans.count()}
        page = render_metrics(document, self._owner)
        return (self._engine.render_metrics() if self._has_engine else b"") + page

    def stats_with_users(self) -> dict[str, Any]:
        """Return the body of `/stats` with counts by group of users, of the revisions that are served now: nobody compares others."""
        known = self.user_config.revisions
        served = {n: row for n, row in self._revisions.items() if n in known or not known}
        return add_users(self.stats(), served)

    def _get_row(self, number: str) -> RevisionStats:
        if number not in self._revisions:
            self._revisions[number] = self._make_row()
        return self._revisions[number]

    def _make_row(self) -> RevisionStats:
        row = RevisionStats()
        row.set_patterns(self._patterns)
        return row

    def _take_snapshot(self) -> EngineSnapshot:
        now = self._engine.take_snapshot() if self._has_engine else NOTHING
        waiting = now.waiting + self._relay.count_waiting()
        return replace(now, waiting=waiting).add_past(self._past)

    async def _generate(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        number = self._find_revision(scope)
        headers = dict(scope["headers"])
        asked = self._paths[scope["path"]]
        form, send = asked.form, send if asked.wrap is None else asked.wrap(send)
        counts = form.is_counted and is_counted(scope["headers"])
        stats = self._get_row(number) if counts else self._make_row()
        probe = Probe(stats, started, number, send)
        probe.form = form.answer
        probe.group = find_group(headers.get(BUCKET_HEADER, b""))
        if is_drawn(headers):
            probe.samples = (stats.whole, stats.bounded)
        probe.trace, scope = self.spans.begin(scope, number)
        if self._log is not None and form.is_counted:
            probe.entry = self._log.begin(scope["path"], headers, number)
        with name_request(headers.get(REQUEST_HEADER, b"").decode("latin-1"), number):
            await self._answer(scope, receive, number, probe)

    async def _answer(self, scope: Scope, receive: Receive, number: str, probe: Probe) -> None:
        known = (
            self.user_config.revisions
        )  # a request keeps its revision, however long its body takes
        try:
            async with self._bodies.read(scope["headers"], receive) as raw:
                # Only now: a client that never sends the rest of its body must not keep others out.
                self._take_place(scope)
                try:
                    scope, prepared, send = self._prepare(scope, raw, number, known, probe)
                    await self._relay.answer(scope, prepared, receive, send)
                finally:
                    self._in_flight -= 1
                if probe.is_answered and scope["path"] in SHADOWED and is_counted(scope["headers"]):
                    self.shadows.offer(number, scope["path"], raw)
        except AnswerCutError:
            probe.mark_cut()
            raise
        except RefusedError as refused:
            probe.refuse(refused.code)
            await send_error(
                probe.send,
                refused.status,
                refused.message,
                refused.headers,
                code=refused.code,
                build=self._paths[scope["path"]].form.build_error,
            )
        except Exception:  # because whatever ends a request is counted; it is raised again
            probe.mark_failed()
            raise
        finally:
            probe.finish()
            if probe.entry is not None and self._log is not None:
                self._log.add(probe.entry, probe.describe())

    async def _ask(self, number: str, path: str, raw: bytes) -> Reply:
        """Return the answer of a revision to a request that no client sent. Only the engine counts it."""
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        async def wait() -> Message:
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        # A row and a probe that nobody reads.
        probe = Probe(RevisionStats(), time.monotonic(), number, keep)
        try:
            scope, raw, send = self._prepare(
                build_scope(path), raw, number, self.user_config.revisions, probe
            )
            await self._relay.answer(scope, raw, wait, send)
        except RefusedError as refused:
            return refused.status, b""
        body = b"".join(message.get("body", b"") for message in kept)
        return (kept[0]["status"] if kept else 0), body

    def _has_room(self) -> bool:
        """Say whether the engine can take a request that nobody waits for."""
        if not self._has_engine or not self._relay.is_open or self._in_flight > FEW_REQUESTS:
            return False
        now = self._engine.take_snapshot()
        return not now.waiting and now.kv_cache_usage <= LITTLE_CACHE

    def _take_place(self, scope: Scope) -> None:
        if SHADOW_HEADER.encode() in dict(scope["headers"]) and not self._has_room():
            message = "this replica has no room for a request that nobody waits for"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, message)
        limit = self._config.max_ongoing_requests
        if self._in_flight >= limit:
            message = f"this replica is at its limit of {limit} requests"
            raise RefusedError(503, message, ((b"retry-after", b"1"),))
        self._in_flight += 1

    def _find_revision(self, scope: Scope) -> str:
        """Return the revision that the request counts for: "0" for an unknown one, so that clients cannot fill the table."""
        wanted = dict(scope["headers"]).get(REVISION_HEADER, b"").decode("latin-1")
        known = self.user_config.revisions
        if wanted and known:
            return wanted if wanted in known else _no_revision
        return self.user_config.find_newest() or _no_revision

    def _list_adapters(self, number: str) -> dict[str, AdapterConfig]:
        revision = self.user_config.revisions.get(number)
        return {adapter.name: adapter for adapter in revision.adapters} if revision else {}

    def _prepare(
        self, scope: Scope, raw: bytes, number: str, known: dict[str, RevisionConfig], probe: Probe
    ) -> tuple[Scope, bytes, Send]:
        """Return the request with the revision's prompt and the engine's model name in its body, and the `send` of its answer.

        Also set the probe's bucket from the length of the client's own prompt.
        """
        if known and number not in known:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the revision of this request is not known to this replica (yet). Send the request again.",
            )
        body = parse_body(raw)
        if self._config.engine.name == "vllm":
            check_request(body)
        form = self._paths[scope["path"]].form
        form.check(body)
        # why: with the revision's system text, revisions would be compared by unlike requests.
        probe.bucket = find_length_bucket(form.count_bytes(body))
        probe.describe_request(scope["path"], body)
        send: Send = probe.send
        if (adapter := self._find_adapter(body.get("model"), number)) is not None:
            body["model"] = make_internal_name(adapter)
            send = make_renaming_send(send, body["model"], adapter.name)
        if probe.entry is not None:
            model = self._config.served_name if adapter is None else adapter.name
            note_request(probe.entry, body, model)
        if known:
            body = form.apply_prompt(body, known[number].prompt)
            raw = json.dumps(body).encode()
        probe.watch = AnswerWatch(body, self._patterns, form)
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(raw)).encode()))
        path = self._paths[scope["path"]].engine_path
        return {**scope, "headers": headers, "path": path, "raw_path": path.encode()}, raw, send

    def _find_adapter(self, model: object, number: str) -> AdapterConfig | None:
        """Return the adapter of a request, or None for the base model.

        Raises:
            RefusedError: the revision has no such model, or has not loaded it.
        """
        if not model or not isinstance(model, str) or model == self._config.served_name:
            return None  # why: the engine refuses what is not a name
        adapters = self._list_adapters(number)
        if model not in adapters:
            known = (self._config.served_name, *adapters)
            message = describe_unknown_model(model, known)
            raise RefusedError(HTTPStatus.NOT_FOUND, message, code=MODEL_NOT_FOUND)
        state = self.adapters.get_state(adapters[model])
        if state == LOADED:
            return adapters[model]
        retry = ((b"retry-after", b"1"),) if state == LOADING else ()
        raise RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the adapter {model} of revision {number} is {state}",
            retry,
        )
