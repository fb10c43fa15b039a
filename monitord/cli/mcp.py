"""`mcp`: the server for assistants, and the words to put into their configuration."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json as jsonlib
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, say
from monitord.errors import MonitordError

STATE_FILE = "state.db"
TOKEN_FILE = "mcp.token"  # noqa: S105  a file's name


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
    from monitord.actions.underway import CapturesUnderway
    from monitord.mcp_server.server import build
    from monitord.mcp_server.sessions import Sessions
    from monitord.storage.artefacts.secret_sources import read_url
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
    from monitord.http_server.serving import LOOPBACK, listen
    from monitord.http_server.serving import serve as serve_http
    from monitord.http_server.tokens import read_or_make_token
    from monitord.mcp_server.http import application

    token_path = context.own_folder() / TOKEN_FILE
    with listen(LOOPBACK, port) as listener:
        token = read_or_make_token(token_path)
        settings = workspace.settings.state
        url = (
            read_url(settings.url, "the state") or f"sqlite:///{token_path.with_name(STATE_FILE).absolute()}"
        )
        with contextlib.closing(open_state(url, within_s=settings.deadline_s)) as state:
            holder = hashlib.sha256(token.encode()).hexdigest()  # a new token has new sessions
            sessions = Sessions(state, holder)
            server = build(workspace, raw=raw, captures=acting, sessions=sessions)
            port = listener.getsockname()[1]
            say(f"listening on http://{LOOPBACK}:{port}/mcp; the bearer token is in {token_path}")
            serve_http(application(server, token, sessions, port), listener, captures.end)


def _require_extra() -> None:
    """Say what to type where the server can't run."""
    for package in ("mcp", "cachetools", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            from monitord.installation import install_command

            raise MonitordError(f"cannot import {package}; install it: {install_command('mcp')}")


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
    if write is None:
        emit(jsonlib.dumps({key: {"monitord": entry}}, indent=2, ensure_ascii=False) + "\n")
    else:
        put_entry(write, key, entry)
        emit(f"{write}: {client.value} will start monitord's MCP server\n")
    if (hint := hint_for_clients(context.data_dir())) is not None:
        say(hint)
