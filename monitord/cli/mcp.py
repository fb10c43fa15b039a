"""`mcp`: the server for assistants, and the words to put into their configuration."""

from __future__ import annotations

import importlib.util
import json as jsonlib
import signal
import socket
import sys
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, say
from monitord.errors import BusyError, MonitordError

if TYPE_CHECKING:
    from monitord.mcp_server.underway import CapturesUnderway

TOKEN_FILE = "mcp.token"  # noqa: S105  a file's name
_FAREWELL_S = 3


class Client(StrEnum):
    """Whose configuration is written."""

    CLAUDE_CODE = "claude-code"
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    VSCODE = "vscode"


_SERVERS_KEY = {Client.VSCODE: "servers"}  # the others call it mcpServers


def serve(
    context: CliContext,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP on loopback, with a token.")] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --http; 0: any free one.")
    ] = 8765,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Offer tools that capture, note, keep and clean up, too.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Hide nothing in the answers.")] = False,
) -> None:
    """Answer assistants over stdio (or HTTP): read-only, past incidents, redacted."""
    from monitord import logs

    logs.configure("warning")
    _require_extra()
    from monitord.mcp_server.server import build
    from monitord.mcp_server.sessions import Sessions
    from monitord.mcp_server.underway import CapturesUnderway
    from monitord.storage.state import open_state

    workspace, captures = context.workspace, CapturesUnderway()
    acting = captures if allow_actions else None
    if not http:
        if sys.stdin.isatty():
            say("an assistant starts this and speaks through stdin; `monitord mcp install` says how.")
        for number in (signal.SIGINT, signal.SIGTERM):  # a thread waits for stdin: no exception would end it
            signal.signal(number, captures.end_with)
        build(workspace, raw=raw, captures=acting).run()
        return
    from monitord.mcp_server.http import application, read_or_make_token

    token_path = context.data_dir() / TOKEN_FILE
    with _listener(port) as listener:
        token = read_or_make_token(token_path)
        sessions = Sessions(open_state("memory://"), "token")
        server = build(workspace, raw=raw, captures=acting, sessions=sessions)
        port = listener.getsockname()[1]
        _run(application(server, token, sessions, port), listener, token_path, captures)


def _require_extra() -> None:
    """Say what to type where the server can't run."""
    for package in ("mcp", "cachetools", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            from monitord.installation import install_command

            raise MonitordError(f"cannot import {package}; install it: {install_command('mcp')}")


def _listener(port: int) -> socket.socket:
    """A socket on loopback that listens."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise BusyError(
            f"cannot listen on port {port} of 127.0.0.1 ({error.strerror}); choose another with --port"
        ) from error
    return listener


def _run(application: Any, listener: socket.socket, token_path: Path, captures: CapturesUnderway) -> None:
    """Serve until SIGINT or SIGTERM. What is on its way then has some seconds; open streams are ended."""
    import uvicorn

    from monitord.mcp_server.connections import LARGEST_HEAD_BYTES, LimitedProtocol, most_connections

    settings = uvicorn.Config(
        application,
        http=LimitedProtocol,
        ws="none",
        h11_max_incomplete_event_size=LARGEST_HEAD_BYTES,
        # So many are accepted between two looks at how many there are.
        backlog=max(1, most_connections() // 2),
        # Malformed requests get no log line each: the gate counts what it refuses.
        log_level="error",
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=_FAREWELL_S,
    )
    say(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp; the bearer token is in {token_path}")

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            captures.end()
            super().handle_exit(sig, frame)

    Server(settings).run(sockets=[listener])


def install(
    context: CliContext,
    client: Annotated[Client, typer.Option("--client", help="Whose configuration.")],
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Put it into this file."),
    ] = None,
    allow_actions: Annotated[bool, typer.Option("--allow-actions", help="As for `mcp serve`.")] = False,
) -> None:
    """Print (or write) what makes an assistant start monitord's MCP server."""
    _require_extra()
    from monitord.actions.assistants import hint_for_clients, put_entry, server_entry

    key = _SERVERS_KEY.get(client, "mcpServers")
    entry = server_entry(context.workspace, allow_actions=allow_actions)
    if (hint := hint_for_clients(context.data_dir())) is not None:
        say(hint)
    if write is None:
        emit(jsonlib.dumps({key: {"monitord": entry}}, indent=2, ensure_ascii=False) + "\n")
        return
    put_entry(write, key, entry)
    emit(f"{write}: {client.value} will start monitord's MCP server\n")
