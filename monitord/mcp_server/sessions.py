"""What a session over HTTP has: its last question, apart from everybody else's, gone with the session.

It lies in the namespaced state that `[state] url` names: user is who holds the token, session is the one that
the transport opened, never a header's word. After half an hour without a question it is gone as well. A state
that fails costs what would be kept, never an answer. Clients of the protocol without sessions (2026-07-28 and
later) have none: nothing is kept for them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import Field

from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.mcp_server.answers import Answer
from monitord.storage.state import Put, SessionNamespace, Storage

TTL = timedelta(minutes=30)
SESSION_HEADER = "mcp-session-id"
_LAST = "last query"
_OPENING = "opening"
_NAMES_AT_MOST = 1000
_TRIES = 3


class LastQuery(Answer):
    """The last question of this session, to be asked again or narrowed."""

    tool: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)


class Sessions:
    """State by user and session."""

    def __init__(self, state: Storage, user: str) -> None:
        self._state = state
        self._user = user
        self._names: dict[str, str] = {}

    def namespace(self, session_id: str) -> SessionNamespace:
        """Ids of the transport are opaque: their hash is as good, and always fits."""
        known = self._names.get(session_id, session_id)
        return SessionNamespace(self._user, hashlib.sha256(known.encode()).hexdigest())

    def stands_for(self, session_id: str, known: str) -> None:
        """The transport's id is from now on the session that a client knows by another one."""
        self._names[session_id] = known
        while len(self._names) > _NAMES_AT_MOST:
            del self._names[next(iter(self._names))]

    def begin(self, session_id: str, words: bytes) -> None:
        """A session was opened by these words; what others left that has expired goes."""
        with _at_best():
            self._state.set(_OPENING, words, self.namespace(session_id), TTL)
            self._state.sweep()

    def opening_of(self, session_id: str) -> bytes | None:
        """Return the words that opened a session which has not ended, or None."""
        with _at_best():
            item = self._state.get(_OPENING, self.namespace(session_id))
            return None if item is None else item.data
        return None

    def remember(self, session_id: str, tool: str, arguments: dict[str, Any]) -> None:
        """Keep the session's question, and the session; one that ended meanwhile stays ended."""
        said = json.dumps({"tool": tool, "arguments": arguments}, default=str).encode()
        at = self.namespace(session_id)
        with _at_best():
            for _ in range(_TRIES):  # questions of one session may come at once
                opening = self._state.get(_OPENING, at)
                changes = [Put(_LAST, said, at, TTL)]
                if opening is not None:
                    changes.append(Put(_OPENING, opening.data, at, TTL, expected=opening.version))
                if self._state.apply(changes):
                    return

    def recall(self, session_id: str) -> dict[str, Any] | None:
        """Return the session's last question, or None."""
        with _at_best():
            item = self._state.get(_LAST, self.namespace(session_id))
            said = LastQuery.model_validate_json(item.data) if item is not None else None
            return {"tool": said.tool, "arguments": said.arguments} if said is not None else None
        return None

    def end(self, session_id: str) -> int:
        """The session is over: all that was kept for it goes."""
        with _at_best():
            return self._state.delete(self.namespace(session_id))
        return 0

    def last_query(self, ctx: Context) -> LastQuery:
        """This session's last question and its arguments, to ask it again or narrow it."""
        session_id = _session_of(ctx)
        found = self.recall(session_id) if session_id else None
        return LastQuery(**(found or {}))

    def remembering(self, tool: Tool) -> Tool:
        """Make a tool's arguments remembered for the session; `last_query` itself does not count."""
        if tool.name == "last_query" or tool.context_kwarg is not None:
            return tool
        inner = tool.fn

        @functools.wraps(inner)
        def call(*args: Any, ctx: Context, **kwargs: Any) -> Any:
            session_id = _session_of(ctx)
            if session_id:
                asked = {name: value for name, value in kwargs.items() if value is not None}
                self.remember(session_id, tool.name, asked)
            return inner(*args, **kwargs)

        call.__signature__ = inspect.signature(inner)  # type: ignore[attr-defined]  # PEP 362
        tool.fn = call
        tool.context_kwarg = "ctx"
        return tool


@contextlib.contextmanager
def _at_best() -> Iterator[None]:
    try:
        yield
    except (MonitordError, ValueError) as error:
        get_logger().warning("mcp.session_not_kept", reason=str(error))


def _session_of(ctx: Context) -> str | None:
    """The session of a request: only protocols with a handshake have one, which the transport checked."""
    if ctx.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    return (ctx.headers or {}).get(SESSION_HEADER)
