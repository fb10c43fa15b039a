"""The streamable HTTP transport on loopback: who has the token may ask, so often, and so much at once.

Checked before anything is parsed, in this order: token (constant time), rate, size; then Host and Origin by
the SDK (DNS rebinding). Callers without a token have an allowance of their own. There are
no cookies and no CORS. Refusals are counted and logged, the token and the body never.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from monitord.http_server.allowance import Allowance, Refusals
from monitord.http_server.serving import LOOPBACK_NAMES, hosts_at
from monitord.mcp_server.reopening import Reopening
from monitord.mcp_server.sessions import SESSION_HEADER, Sessions

BODY_LIMIT_BYTES = 1 << 20
_SESSION_IDLE_S = 1800.0
_MOST_SESSIONS = 100

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gate:
    """An ASGI application around the SDK's: lets in who may come in."""

    def __init__(
        self,
        inner: Callable[[Scope, Receive, Send], Awaitable[None]],
        token: str,
        sessions: Sessions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._expected = f"bearer {token}".encode()
        self._sessions = sessions
        self._known, self._strangers = Allowance(clock), Allowance(clock)
        self._refusals = Refusals("mcp.refused")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope.get("headers", ())}
        status = self._refusal(headers)
        if status is not None:
            await self._refuse(status, send)
            return

        async def watched(message: MutableMapping[str, Any]) -> None:
            """A session that the SDK ended has lost its state before its client hears of it."""
            status = int(message.get("status", 0))
            if status >= 400:
                self._refusals.note(status)
            elif status and scope["method"] == "DELETE":
                ended = headers.get(SESSION_HEADER.encode(), b"").decode("latin-1")
                await anyio.to_thread.run_sync(self._sessions.end, ended)
            await send(message)

        await self._inner(_with_small_hosts(scope), receive, watched)

    def _refusal(self, headers: dict[bytes, bytes]) -> int | None:
        if not hmac.compare_digest(_with_small_scheme(headers.get(b"authorization", b"")), self._expected):
            return 401 if self._strangers.take() else 429
        if not self._known.take():
            return 429
        if b"origin" in headers and not headers[b"origin"].strip():
            return 403  # the SDK takes an empty one for none
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_LIMIT_BYTES:
            return 413
        return None

    async def _refuse(self, status: int, send: Send) -> None:
        self._refusals.note(status)
        headers = [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")]
        headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": _REASONS[status]})


def _with_small_scheme(credentials: bytes) -> bytes:
    """`Bearer` in any case is the same scheme (RFC 9110, 11.1); the token's case counts."""
    scheme, blank, token = credentials.partition(b" ")
    return scheme.lower() + blank + token


def _with_small_hosts(scope: Scope) -> Scope:
    """`LocalHost` is localhost (RFC 9110, 4.2.3): the SDK compares Host and Origin letter by letter."""
    headers = [
        (name, value.lower() if bytes(name).lower() in (b"host", b"origin") else value)
        for name, value in scope.get("headers", ())
    ]
    return {**scope, "headers": headers}


_REASONS = {
    401: b"a bearer token is needed; it is in the file that `monitord mcp --http` names\n",
    403: b"this origin may not ask\n",
    413: b"the request is too large\n",
    429: b"too many requests; try again in a minute\n",
}


def application(server: MCPServer, token: str, sessions: Sessions, port: int) -> Gate:
    """Build the whole ASGI application."""
    hosts = hosts_at(LOOPBACK_NAMES, port)
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"http://{host}" for host in hosts],
    )
    inner = server.streamable_http_app(
        json_response=True,
        max_request_body_size=BODY_LIMIT_BYTES,
        session_idle_timeout=_SESSION_IDLE_S,
        max_sessions=_MOST_SESSIONS,
        transport_security=security,
    )
    return Gate(Reopening(inner, sessions), token, sessions)
