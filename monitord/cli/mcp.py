"""`mcp`: the server for assistants, and the words to put into their configuration."""

from __future__ import annotations

import json as jsonlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from monitord.cli.place import Place
from monitord.cli.terminal import emit, say
from monitord.cli.times import parse_period
from monitord.errors import MonitordError, StorageError, UsageError

TOKEN_FILE = "mcp.token"  # noqa: S105  a file's name
_COMMAND_TIMEOUT_S = 150.0


class Client(StrEnum):
    """Whose configuration is written."""

    CLAUDE_CODE = "claude-code"
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    VSCODE = "vscode"


_SERVERS_KEY = {Client.VSCODE: "servers"}  # the others call it mcpServers


def serve(
    place: Place,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP on loopback, with a token.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="With --http.")] = 8765,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Also tools that capture, note, keep and clean up.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Answers with nothing hidden.")] = False,
) -> None:
    """Answer assistants over stdio (or HTTP): read-only, past incidents, redacted."""
    from monitord import logs

    logs.configure("warning")
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError as error:
        raise MonitordError("the MCP server needs its extra: pip install 'monitord[mcp]'") from error
    from monitord.mcp_server.server import build
    from monitord.mcp_server.sessions import Sessions
    from monitord.storage.state import open_state

    sources = _sources(place, raw=raw)
    if not http:
        build(sources, allow_actions=allow_actions).run()
        return
    from monitord.mcp_server.http import application, read_or_make_token

    token_path = place.data_dir() / TOKEN_FILE
    token = read_or_make_token(token_path)
    sessions = Sessions(open_state("memory://"), "token")
    server = build(sources, allow_actions=allow_actions, sessions=sessions)
    say(f"listening on http://127.0.0.1:{port}/mcp; the bearer token is in {token_path}")
    _run(application(server, token, sessions, port), port)
    sessions.end_all()


def _run(application: Any, port: int) -> None:
    import uvicorn

    settings = uvicorn.Config(
        application, host="127.0.0.1", port=port, log_level="warning", server_header=False, access_log=False
    )
    server = uvicorn.Server(settings)
    server.run()
    if not server.started:
        raise StorageError(f"port {port} on 127.0.0.1 can't be had; choose another with --port")


def _sources(place: Place, *, raw: bool) -> Any:
    from monitord.cli.export import identities
    from monitord.daemon.status import read_status
    from monitord.mcp_server.fence import Fence
    from monitord.mcp_server.sources import Sources
    from monitord.redaction import Redactor

    known = identities([])
    redactor = Redactor(users=known.users, hosts=known.hosts, machine_ids=known.machine_ids)
    data_dir = place.data_dir()

    def command(words: Sequence[str]) -> Any:
        return _own_command(place, words)

    return Sources(
        data_dir=data_dir,
        open_reader=place.reader,
        read_status=lambda: read_status(data_dir),
        parse_period=lambda since, until: parse_period(since, until, datetime.now(UTC)),
        command=command,
        fence=Fence(None if raw else redactor),
    )


def _own_command(place: Place, words: Sequence[str]) -> Any:
    """Run one of our own commands; its JSON if it wrote any. Its refusal is ours."""
    argv = [sys.executable, "-m", "monitord", "--data-dir", str(place.data_dir())]
    argv += ["--config", str(place.config_path)] if place.config_path else []
    try:
        done = subprocess.run(
            [*argv, *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"`monitord {words[0]}` did not end well: {type(error).__name__}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise StorageError(said[-1].removeprefix("monitord: "))
    try:
        return jsonlib.loads(done.stdout)
    except ValueError:
        return {"said": done.stdout.strip()}


def install(
    place: Place,
    client: Annotated[Client, typer.Option("--client", help="Whose configuration.")],
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Put it into this file."),
    ] = None,
    allow_actions: Annotated[bool, typer.Option("--allow-actions", help="As for `mcp serve`.")] = False,
) -> None:
    """Print (or write) what makes an assistant start monitord's MCP server."""
    key = _SERVERS_KEY.get(client, "mcpServers")
    arguments = ["-m", "monitord", "--data-dir", str(place.data_dir()), "mcp", "serve"]
    arguments += ["--allow-actions"] if allow_actions else []
    entry = {"command": sys.executable, "args": arguments}
    if write is None:
        emit(jsonlib.dumps({key: {"monitord": entry}}, indent=2) + "\n")
        return
    merged = _read(write)
    servers = merged.setdefault(key, {})
    if not isinstance(servers, dict):
        raise UsageError(f"{write}: {key} is no object; nothing was written")
    servers["monitord"] = entry
    _replace(write, jsonlib.dumps(merged, indent=2) + "\n")
    emit(f"{write}: {client.value} will start monitord's MCP server\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        held = jsonlib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read as JSON ({error}); nothing was written") from error
    if not isinstance(held, Mapping):
        raise UsageError(f"{path} holds no JSON object; nothing was written")
    return dict(held)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"can't write {path}: {error.strerror}") from error
