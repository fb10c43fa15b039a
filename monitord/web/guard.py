"""Who may ask: the one door in front of everything, an ASGI application around the page's.

In this order, before a byte of a body is read: Host (a name that leads here by somebody else's DNS), Origin
and Sec-Fetch-Site (another page's request), then for `/api/` the token, how often, and the size. A browser
changes the token for a cookie (HttpOnly, SameSite=Strict) and a key that the page sends in a header: a
cookie of 127.0.0.1 goes to every port of it, also to another user's server; without the key it is worth
nothing. Both are made anew by each server and end with it. Scripts send the token itself, as to `mcp --http`.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitord.http_server.allowance import Allowance, Refusals

BODY_LIMIT_BYTES = 64 * 1024
KEY_HEADER = b"x-monitord-key"
ACTION_HEADER = b"x-monitord-action"
_JUDGED = (b"host", b"origin", b"authorization", b"content-length", b"sec-fetch-site", KEY_HEADER)
_OWN = frozenset({b"same-origin", b"none"})  # of Sec-Fetch-Site; "same-site" is another port of this machine

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Mapping[bytes, bytes]

_REASONS = {
    400: "the request's size is not a number",
    401: "this page needs its token: open the address that `monitord web` printed, or start it again",
    403: "another page's request: only the page that `monitord web` serves may ask",
    405: "this method is not known here",
    413: "the request is too large",
    421: "this name does not lead here: open the address that `monitord web` printed; `--name` adds another",
    429: "too many requests; try again in a minute",
}


_UNREAD = (400, 413)
"""Where a body may stand whose end is a matter of opinion: what follows on that connection is not heard."""
_LAST = ((b"connection", b"close"),)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token, and what this server gives a browser for it. `cookie_name` is apart for each port."""

    token: str
    cookie_name: str
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def has_token(self, headers: Headers) -> bool:
        """Whether the token itself came along; `Bearer` in any case is the same scheme (RFC 9110, 11.1)."""
        scheme, _blank, word = headers.get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(word, self.token.encode()) and scheme.lower() == b"bearer"

    def has_session(self, headers: Headers) -> bool:
        """Whether both halves of a session came along."""
        is_keyed = hmac.compare_digest(headers.get(KEY_HEADER, b""), self.key.encode())
        is_named = [hmac.compare_digest(one, self.session.encode()) for one in self._cookies(headers)]
        return any(is_named) and is_keyed

    def _cookies(self, headers: Headers) -> list[bytes]:
        """All under our name; servers on other ports set cookies here, too, in forms that parsers refuse."""
        pairs = [one.strip().partition(b"=") for one in headers.get(b"cookie", b"").split(b";")]
        return [value for name, _equals, value in pairs if name == self.cookie_name.encode()]


class Guard:
    """Lets in who may come in. `hosts` are the values of Host that are this server."""

    def __init__(
        self,
        inner: Callable[[Scope, Receive, Send], Awaitable[None]],
        credentials: Credentials,
        hosts: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._credentials = credentials
        self._hosts = frozenset(host.lower().encode("latin-1") for host in hosts)
        self._origins = frozenset(
            b"%s://%s" % (each, host) for host in self._hosts for each in (b"http", b"https")
        )
        self._known, self._strangers = Allowance(clock), Allowance(clock)
        self._refusals = Refusals("web.refused")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers, repeated = _read(scope)
        status = 403 if repeated else self._refusal(scope, headers)
        if status is not None:
            self._refusals.note(status)
            more = _LAST if status in _UNREAD else ()
            await _say(send, status, {"error": _REASONS[status], "kind": "refused"}, more)
        elif scope["path"] == "/api/session":
            await self._open_session(send)
        else:
            await self._inner(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> int | None:
        if headers.get(b"host", b"").lower() not in self._hosts:
            return 421
        if b"origin" in headers and headers[b"origin"].lower() not in self._origins:
            return 403
        if not scope["path"].startswith("/api/"):
            return None if scope["method"] in ("GET", "HEAD") else 405
        if headers.get(b"sec-fetch-site", b"same-origin") not in _OWN:
            return 403
        is_login = scope["path"] == "/api/session"
        is_known = not is_login and self._credentials.has_session(headers)
        if not is_known and not self._credentials.has_token(headers):
            return 401 if self._strangers.take() else 429
        if not self._known.take():
            return 429
        if scope["method"] not in (("POST",) if is_login else ("GET", "POST")):
            return 405
        return _size_refusal(headers)

    async def _open_session(self, send: Send) -> None:
        held = self._credentials
        cookie = f"{held.cookie_name}={held.session}; HttpOnly; SameSite=Strict; Path=/"
        await _say(send, 200, {"key": held.key}, [(b"set-cookie", cookie.encode("ascii"))])


def _read(scope: Scope) -> tuple[dict[bytes, bytes], bool]:
    """The headers by name, and whether one that is judged stands there twice."""
    pairs = [(bytes(name).lower(), bytes(value)) for name, value in scope.get("headers", ())]
    judged = [name for name, _value in pairs if name in _JUDGED]
    return dict(pairs), len(judged) != len(set(judged))


def _size_refusal(headers: Headers) -> int | None:
    if headers.get(b"transfer-encoding"):
        return 413  # a body whose size nobody said
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        return 400
    return 413 if len(length) > 9 or int(length) > BODY_LIMIT_BYTES else None


async def _say(
    send: Send, status: int, said: Mapping[str, str], more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    body = json.dumps(said).encode("ascii") + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
