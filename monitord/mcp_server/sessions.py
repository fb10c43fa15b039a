"""What a session over HTTP has: its last question, apart from everybody else's, gone with the session.

It lies in the namespaced state (in this server's memory, bounded): user is who holds the token, session is
the one that the transport opened, never a header's word. After half an hour without a question it is gone as
well. Clients of the protocol without sessions (2026-07-28 and later) have none: nothing is kept for them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from datetime import timedelta
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import Field

from monitord.mcp_server.answers import Answer
from monitord.storage.state import SessionNamespace, Storage

TTL = timedelta(minutes=30)
SESSION_HEADER = "mcp-session-id"
_LAST = "last query"


class LastQuery(Answer):
    """The last question of this session, to be asked again or narrowed."""

    tool: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)


class Sessions:
    """State by user and session."""

    def __init__(self, state: Storage, user: str) -> None:
        self._state = state
        self._user = user

    def namespace(self, session_id: str) -> SessionNamespace:
        """Ids of the transport are opaque: their hash is as good, and always fits."""
        return SessionNamespace(self._user, hashlib.sha256(session_id.encode()).hexdigest())

    def remember(self, session_id: str, tool: str, arguments: dict[str, Any]) -> None:
        """Keep the session's question."""
        said = json.dumps({"tool": tool, "arguments": arguments}, default=str).encode()
        self._state.set(_LAST, said, self.namespace(session_id), TTL)

    def recall(self, session_id: str) -> dict[str, Any] | None:
        """Return the session's last question, or None."""
        item = self._state.get(_LAST, self.namespace(session_id))
        return None if item is None else dict(json.loads(item.data))

    def end(self, session_id: str) -> int:
        """The session is over: all that was kept for it goes."""
        return self._state.delete(self.namespace(session_id))

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


def _session_of(ctx: Context) -> str | None:
    """The session of a request: only protocols with a handshake have one, which the transport checked."""
    if ctx.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    return (ctx.headers or {}).get(SESSION_HEADER)
