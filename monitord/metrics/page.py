"""One page of figures over HTTP: GET /metrics, each form made anew at most once a second however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from monitord.errors import MonitordError
from monitord.http_server.allowance import Allowance, Refusals
from monitord.metrics.prometheus import form_of

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_FRESH_S = 1.0
_LONGEST_ACCEPT = 1024
_REASONS = {
    404: "cannot find this page; /metrics is the only one",
    405: "invalid method, expected GET",
    421: "invalid Host: this server answers to the names of this machine alone",
    429: "too many requests; try again in a minute",
}


class MetricsPage:
    """An ASGI application. `make` gets the header Accept; `hosts` are who it answers as, None: any name."""

    def __init__(
        self,
        make: Callable[[str], tuple[bytes, str]],
        hosts: Sequence[str] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._hosts = None if hosts is None else frozenset(host.encode("latin-1") for host in hosts)
        self._clock = clock
        self._allowance = Allowance(clock)
        self._refusals = Refusals("metrics.refused")
        self._made: dict[str, tuple[float, bytes, str]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: MutableMapping[str, Any], receive: object, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope.get("headers", ())}
        status = self._refusal(scope, headers)
        if status is not None:
            self._refusals.note(status)
            await _say(send, status, f"{_REASONS[status]}\n".encode())
            return
        accept = headers.get(b"accept", b"")[:_LONGEST_ACCEPT].decode("latin-1")
        try:
            body, content_type = await self._page(accept)
        except MonitordError as error:
            self._refusals.note(503)
            await _say(send, 503, f"{error}\n".encode("utf-8", "replace"))
            return
        await _say(send, 200, body, content_type)

    def _refusal(self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]) -> int | None:
        if self._hosts is not None and headers.get(b"host", b"").lower() not in self._hosts:
            return 421  # a name that leads here by somebody else's DNS
        if scope["path"] != "/metrics":
            return 404
        if scope["method"] not in ("GET", "HEAD"):
            return 405
        return None if self._allowance.take() else 429

    async def _page(self, accept: str) -> tuple[bytes, str]:
        """Return a page of one of two forms, at most a second old; one thread at a time asks the store."""
        async with self._one_at_a_time:
            form = form_of(accept)
            made = self._made.get(form)
            if made is None or self._clock() - made[0] > _FRESH_S:
                body, content_type = await asyncio.to_thread(self._make, form)
                made = self._made[form] = (self._clock(), body, content_type)
            return made[1], made[2]


async def _say(send: Send, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
