"""`mcp`: the server for assistants, and the words to put into their configuration."""

from __future__ import annotations

import contextlib
import importlib.util
import json as jsonlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from monitord.children import own_command
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, say
from monitord.cli.times import parse_period
from monitord.durable import durable_write, read_regular
from monitord.errors import BusyError, MonitordError, StorageError, UsageError

TOKEN_FILE = "mcp.token"  # noqa: S105  a file's name
_COMMAND_TIMEOUT_S = 150.0
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
    from monitord.storage.state import open_state

    sources = _sources(context, raw=raw)
    if not http:
        if sys.stdin.isatty():
            say("an assistant starts this and speaks through stdin; `monitord mcp install` says how.")
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # a thread waits for stdin and would hear no KeyboardInterrupt
        build(sources, allow_actions=allow_actions).run()
        return
    from monitord.mcp_server.http import application, read_or_make_token

    token_path = context.data_dir() / TOKEN_FILE
    with _listener(port) as listener:
        token = read_or_make_token(token_path)
        sessions = Sessions(open_state("memory://"), "token")
        server = build(sources, allow_actions=allow_actions, sessions=sessions)
        port = listener.getsockname()[1]
        _run(application(server, token, sessions, port), listener, token_path)


def _require_extra() -> None:
    """Say what to type where the server can't run."""
    for package in ("mcp", "cachetools", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            from monitord.installation import install_command

            raise MonitordError(
                f"the MCP server needs the package {package}; install it: {install_command('mcp')}"
            )


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
            f"port {port} on 127.0.0.1 can't be had ({error.strerror}); choose another with --port"
        ) from error
    return listener


def _run(application: Any, listener: socket.socket, token_path: Path) -> None:
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
    uvicorn.Server(settings).run(sockets=[listener])


def _sources(context: CliContext, *, raw: bool) -> Any:
    from monitord.cli.export import identities
    from monitord.mcp_server.output_filter import Fence
    from monitord.mcp_server.sources import Sources
    from monitord.model import Event, EventType
    from monitord.recorder.status import read_status
    from monitord.redaction import Redactor
    from monitord.storage import open_store

    known = identities()
    redactor = Redactor(users=known.users, hosts=known.hosts, machine_ids=known.machine_ids)
    data_dir = context.data_dir()

    def command(words: Sequence[str]) -> Any:
        return _own_command(context, words)

    def audit(tool: str, about: Mapping[str, Any]) -> None:
        said = {"what": f"mcp {tool}", "about": dict(about)}
        with contextlib.closing(open_store(data_dir)) as store:
            store.events.store_event(Event(EventType.DAEMON, datetime.now(UTC), payload=said))

    return Sources(
        data_dir=data_dir,
        open_reader=context.reader,
        read_status=lambda: read_status(data_dir),
        parse_period=lambda since, until: parse_period(since, until, datetime.now(UTC)),
        command=command,
        audit=audit,
        fence=Fence(None if raw else redactor),
    )


def _own_command(context: CliContext, words: Sequence[str]) -> Any:
    """Run one of our own commands; its JSON if it wrote any. Its refusal is ours."""
    argv = [*own_command("monitord"), "--data-dir", str(context.data_dir().absolute())]
    argv += ["--config", str(context.config_path.absolute())] if context.config_path else []
    try:
        done = subprocess.run(
            [*argv, *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
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
    key = _SERVERS_KEY.get(client, "mcpServers")
    # A client starts it in a project's folder, from which nothing may be imported.
    command, *arguments = own_command("monitord", "--data-dir", str(context.data_dir().absolute()))
    arguments += ["--config", str(context.config_path.absolute())] if context.config_path else []
    arguments += ["mcp", "serve"]
    arguments += ["--allow-actions"] if allow_actions else []
    entry = {"command": command, "args": arguments}
    if (hint := _of_the_machine(context.data_dir())) is not None:
        say(hint)
    if write is None:
        emit(jsonlib.dumps({key: {"monitord": entry}}, indent=2, ensure_ascii=False) + "\n")
        return
    merged = _read(write)
    servers = merged.setdefault(key, {})
    if not isinstance(servers, dict):
        raise UsageError(f"{write}: {key} is not an object; nothing was written")
    servers["monitord"] = entry
    _replace(write.resolve(), jsonlib.dumps(merged, indent=2, ensure_ascii=False) + "\n")
    emit(f"{write}: {client.value} will start monitord's MCP server\n")


def _of_the_machine(data_dir: Path) -> str | None:
    """What a client of an ordinary user needs where the machine's service records; None: nothing more."""
    from monitord.config.places import SYSTEM_DATA_DIR

    if not os.path.lexists(SYSTEM_DATA_DIR):
        return None
    is_the_machines = data_dir in (SYSTEM_DATA_DIR, SYSTEM_DATA_DIR.resolve())
    if not is_the_machines and (os.geteuid() == 0 or data_dir.exists()):
        return None
    return (
        f"the machine's service records into {SYSTEM_DATA_DIR}, which only root can read: for a client that"
        " is not root's, type `sudo monitord mcp --http` and give it the address and the token that it names"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        held = jsonlib.loads(read_regular(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} can't be read as JSON ({error}); nothing was written") from error
    if not isinstance(held, Mapping):
        raise UsageError(f"{path} holds no JSON object; nothing was written")
    return dict(held)


def _replace(path: Path, text: str) -> None:
    """The whole file at once, as private as it was: other servers' secrets may stand in it."""
    try:
        durable_write(path, text.encode())
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror}") from error
