"""The page as an ASGI application: files from memory, answers of `actions` as JSON from worker threads."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from monitord.actions.assistants import record_action
from monitord.actions.live_stacks import LiveStacks
from monitord.actions.underway import CapturesUnderway
from monitord.actions.workspace import Workspace
from monitord.errors import (
    BusyError,
    ConfigError,
    MonitordError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UnreachableError,
    UsageError,
)
from monitord.logs import get_logger
from monitord.model import TriggerMetric
from monitord.redaction import printable
from monitord.web.files import SHELL, File, load, made
from monitord.web.guard import ACTION_HEADER, BODY_LIMIT_BYTES
from monitord.web.question import Download, Question, Text
from monitord.web.routes import API, PAGES, Get, Post, Turn

_BODY_WITHIN_S = 10.0
_WORTH_SQUEEZING_BYTES = 1024
_LONGEST_ID = 128
_BUG = "an error of monitord's own; what `monitord web` wrote on stderr says where"
_OWN_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TRUSTED = f"{_OWN_ONLY}; require-trusted-types-for 'script'; trusted-types 'none'"
# speedscope writes its own styles, and reads the profile that the page around it holds in memory.
_SPEEDSCOPE = (
    _OWN_ONLY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    .replace("connect-src 'self'", "connect-src 'self' blob:")
    .replace("frame-ancestors 'none'", "frame-ancestors 'self'")
)
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
STATUSES: Mapping[type[MonitordError], tuple[int, str]] = {
    UsageError: (400, "usage"),
    NotFoundError: (404, "not_found"),
    PermissionDeniedError: (403, "permission"),
    BusyError: (503, "busy"),
    UnreachableError: (503, "unreachable"),
    ConfigError: (500, "config"),
    StorageError: (503, "storage"),
    MonitordError: (500, "failure"),
}
"""What a refusal is over HTTP; the first that fits."""


class Answers:
    """Runs what the API's functions answer, a few at a time."""

    def __init__(self, workspace: Workspace, captures: CapturesUnderway, *, allows_actions: bool) -> None:
        self._own_box = LiveStacks(workspace)
        self._question = Question(
            workspace, captures=captures, allows_actions=allows_actions, own_box=self._own_box
        )
        self._turns = {each: anyio.CapacityLimiter(each.value) for each in Turn}
        self._acting = anyio.CapacityLimiter(1)  # what is done may take long, and questions don't wait for it

    def end(self) -> None:
        """Give back what the answers hold: the rings of the server's own black box."""
        self._own_box.close()

    def endpoint(self, route: Get | Post) -> Callable[[Request], Awaitable[Response]]:
        """Make what Starlette calls for a line of the table."""

        async def answer(request: Request) -> Response:
            try:
                asked = await self._asked(request, route)
                async with self._turn(route):
                    if isinstance(route, Get) and await request.is_disconnected():
                        raise ClientDisconnect  # who left while waiting for a turn costs no work
                    said = await anyio.to_thread.run_sync(self._answer, route, asked)
            except MonitordError as error:
                return _refused(request, error)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception:  # noqa: BLE001  a bug of one answer must not end the others; the trace is logged
                get_logger().exception("web.failed", path=printable(request.url.path))
                return _refused(request, MonitordError(_BUG))
            return said if isinstance(said, Response) else _as_json(request, said)

        return answer

    def _turn(self, route: Get | Post) -> anyio.CapacityLimiter:
        return self._acting if isinstance(route, Post) else self._turns[route.turn]

    def pages(self) -> File:
        """Give our tables as a module for the page's scripts."""
        pages = [
            {
                "path": one.path,
                "module": one.module,
                "word": one.word if one.is_offered(self._question.workspace) else None,
            }
            for one in PAGES
        ]
        metrics = [one.value for one in TriggerMetric]
        code = f"export const PAGES = {json.dumps(pages)};\nexport const METRICS = {json.dumps(metrics)};\n"
        return made(code.encode(), ".js")

    async def _asked(self, request: Request, route: Get | Post) -> Question:
        query = dict(request.query_params)
        path = {name: str(word)[:_LONGEST_ID] for name, word in request.path_params.items()}
        asked = replace(self._question, path=path, query=query)
        return asked if isinstance(route, Get) else replace(asked, body=await _body(request))

    def _answer(self, route: Get | Post, asked: Question) -> Any:
        notes: list[str] = []
        asked = replace(asked, workspace=replace(asked.workspace, tell=notes.append))
        if isinstance(route, Post):
            if not asked.allows_actions:
                raise PermissionDeniedError(
                    "cannot change anything: this page only reads; `monitord web --allow-actions` lets it act"
                )
            record_action(asked.workspace, f"web {route.action}", dict(asked.path))
        said = route.answer(asked)
        if isinstance(said, Text | Download):
            return _as_file(said)
        return {**said, "warnings": notes} if notes else said


def application(answers: Answers) -> Starlette:
    """Build the routes of pages, files and answers."""
    held = {**load(), "/static/pages.js": answers.pages()}
    shell = held[f"/static/{SHELL}"]

    def page(status: int) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            return _sent(request, shell, _TRUSTED, status)

        return show

    async def file(request: Request) -> Response:
        found = held.get(request.url.path)
        if found is None:
            return await page(404)(request)
        is_other_makers = request.url.path.startswith("/assets/speedscope/")
        return _sent(request, found, _SPEEDSCOPE if is_other_makers else _TRUSTED)

    async def unknown(request: Request) -> Response:
        return _refused(request, NotFoundError(f"cannot find {printable(request.url.path)[:_LONGEST_ID]}"))

    routes = [Route(one.path, page(200)) for one in PAGES]
    for one in API:
        method = "GET" if isinstance(one, Get) else "POST"
        routes.append(Route(one.path, answers.endpoint(one), methods=[method]))
    routes += [Route("/static/{path:path}", file), Route("/assets/{path:path}", file)]
    routes += [Route("/api/{path:path}", unknown, methods=["GET", "POST"]), Route("/{path:path}", page(404))]
    return Starlette(routes=routes)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a POST, which only our own page can send: a form can't set its headers."""
    if request.headers.get(ACTION_HEADER.decode()) != "1":
        raise PermissionDeniedError("cannot act: the header X-Monitord-Action: 1 is missing")
    content = b""
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for piece in request.stream():
                content += piece
                if len(content) > BODY_LIMIT_BYTES:
                    raise UsageError(f"invalid request: expected at most {BODY_LIMIT_BYTES} bytes")
    except TimeoutError:
        raise UsageError("invalid request: it did not arrive in time") from None
    try:
        held = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise UsageError("invalid request: expected a JSON object")
    return held


def _refused(request: Request, error: MonitordError) -> Response:
    status, kind = next(found for one, found in STATUSES.items() if isinstance(error, one))
    text = printable(" ".join(str(error).split()))
    return _as_json(request, {"error": text, "kind": kind}, status)


def _as_json(request: Request, said: Mapping[str, Any], status: int = 200) -> Response:
    """An answer with every text in it fit to be shown: no control, nothing invisible."""
    text = json.dumps(fit(said), ensure_ascii=False, separators=(",", ":"))
    response = Response(text.encode("utf-8"), status, media_type="application/json")
    return _squeezed(request, response)


def fit(value: Any) -> Any:
    """Plain data whose texts, names included, are printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(name)): fit(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [fit(held) for held in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no other numbers
    return value if isinstance(value, int) or value is None else printable(str(value))


def _as_file(said: Text | Download) -> Response:
    response = Response(said.body, media_type=said.media_type)
    if isinstance(said, Download):
        response.headers["content-disposition"] = f'attachment; filename="{said.file_name}"'
    return _guarded(response)


def _squeezed(request: Request, response: Response) -> Response:
    body = bytes(response.body)
    if len(body) >= _WORTH_SQUEEZING_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        response.body = gzip.compress(body, 5, mtime=0)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return _guarded(response)


def _guarded(response: Response) -> Response:
    response.headers.update(_ALWAYS)
    response.headers["cache-control"] = "no-store"
    response.headers["content-security-policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return response


def _sent(request: Request, file: File, policy: str, status: int = 200) -> Response:
    headers = {
        **_ALWAYS,
        "content-security-policy": policy,
        "cache-control": "no-cache",
        "etag": file.etag,
        "vary": "accept-encoding",
    }
    if status == 200 and request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    content = file.content
    if file.squeezed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["content-encoding"] = file.squeezed, "gzip"
    return Response(content, status, headers, media_type=file.media_type)
