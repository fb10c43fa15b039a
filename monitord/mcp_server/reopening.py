"""A session outlives its server: what a new server does not know, but the state does, is opened again.

The transport's sessions end with its process. What a client said when it opened one is kept in the state;
when it comes back with the id, the same is said to the transport for it, and its id stands for the new one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import anyio.to_thread

from monitord.mcp_server.sessions import SESSION_HEADER, Sessions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADER = SESSION_HEADER.encode()
_OPENING_LIMIT_BYTES = (
    16 << 10
)  # of a client's first words; a session of one that says more ends with the server
_KNOWN_AT_MOST = 1000
_READY = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
_SPOKEN = (b"host", b"origin", b"authorization", b"mcp-protocol-version")


class Reopening:
    """An ASGI application around the transport's."""

    def __init__(self, inner: Application, sessions: Sessions) -> None:
        self._inner = inner
        self._sessions = sessions
        self._known: dict[str, str] = {}  # the client's id → the transport's
        self._one_at_a_time = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        session_id = _value(scope, _HEADER)
        if session_id is None:
            await self._first(scope, receive, send)
            return
        if session_id not in self._known:
            async with self._one_at_a_time:
                if session_id not in self._known:
                    await self._open_again(scope, session_id)
        there = self._known.get(session_id, session_id)

        async def renamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = int(message["status"])
                if status == 404 or (status < 400 and scope["method"] == "DELETE"):
                    self._known.pop(session_id, None)
                message = {**message, "headers": _with(message.get("headers", ()), session_id)}
            await send(message)

        changed = {**scope, "headers": _with(scope["headers"], there)}
        await self._inner(changed, receive, renamed)

    async def _first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request of no session: when one is opened by it, its words are kept."""
        heard = bytearray()

        async def hearing() -> Message:
            message = await receive()
            if len(heard) <= _OPENING_LIMIT_BYTES:
                heard.extend(message.get("body", b""))
            return message

        async def keeping(message: Message) -> None:
            session_id = _value(message, _HEADER) if message["type"] == "http.response.start" else None
            if session_id is not None and message["status"] < 400:
                self._note(session_id, session_id)
                if len(heard) <= _OPENING_LIMIT_BYTES:
                    await anyio.to_thread.run_sync(self._sessions.begin, session_id, bytes(heard))
            await send(message)

        await self._inner(scope, hearing, keeping)

    async def _open_again(self, scope: Scope, session_id: str) -> None:
        words = await anyio.to_thread.run_sync(self._sessions.opening_of, session_id)
        if words is None or not _opens(words):
            return  # nobody's: the transport says so
        there = await self._say(scope, words, None)
        if there is not None:
            self._sessions.stands_for(there, session_id)
            self._note(session_id, there)
            await self._say(scope, _READY, there)

    def _note(self, session_id: str, there: str) -> None:
        self._known[session_id] = there
        while len(self._known) > _KNOWN_AT_MOST:  # who is forgotten is opened again
            del self._known[next(iter(self._known))]

    async def _say(self, scope: Scope, body: bytes, session_id: str | None) -> str | None:
        """Say something to the transport for the client; the session's id that it answers."""
        headers = [(name, value) for name, value in scope["headers"] if bytes(name).lower() in _SPOKEN]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"accept", b"application/json, text/event-stream")]
        headers += [(_HEADER, session_id.encode())] if session_id is not None else []
        said = [{"type": "http.request", "body": body, "more_body": False}]
        answered: list[str | None] = []

        async def receive() -> Message:
            if said:
                return said.pop()
            await anyio.sleep_forever()
            raise AssertionError  # it is cancelled

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append(_value(message, _HEADER) if message["status"] < 400 else None)

        await self._inner({**scope, "method": "POST", "headers": headers}, receive, send)
        return answered[0] if answered else None


def _opens(words: bytes) -> bool:
    """Whether they open a session; nothing else that lies in the state is said for a client."""
    try:
        said = json.loads(words[: _OPENING_LIMIT_BYTES + 1])
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("method") == "initialize"


def _value(message: MutableMapping[str, Any], name: bytes) -> str | None:
    found = (bytes(value) for each, value in message.get("headers", ()) if bytes(each).lower() == name)
    value = next(found, None)
    return None if value is None else value.decode("latin-1")


def _with(headers: Any, session_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (name, session_id.encode("latin-1") if bytes(name).lower() == _HEADER else value)
        for name, value in headers
    ]
