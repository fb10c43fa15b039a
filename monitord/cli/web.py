"""`web`: the page, for a browser on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, say
from monitord.errors import MonitordError

TOKEN_FILE = "web.token"  # noqa: S105  a file's name


def serve(
    context: CliContext,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8766,
    address: Annotated[
        str, typer.Option("--address", metavar="IP", help="Where to listen; warns unless it is loopback.")
    ] = "127.0.0.1",
    unix_socket: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="A unix socket instead, for a proxy.")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A name that leads here, as a proxy's: HOST[:PORT]."),
    ] = None,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Let the page act; otherwise it only reads.")
    ] = False,
    browser: Annotated[
        bool | None, typer.Option("--browser/--no-browser", help="Open it. Default: on a desktop.")
    ] = None,
) -> None:
    """Serve a page that shows incidents in a browser: on this machine, with a token, read-only."""
    from monitord import logs

    logs.configure("warning")
    _require_extra()
    from monitord.actions import desktop
    from monitord.http_server.tokens import read_or_make_token
    from monitord.web.files import require
    from monitord.web.server import Place, Server, opener

    require()

    place = Place(address, port, unix_socket, tuple(names or ()))
    folder = context.own_folder()
    left_over = [unix_socket] if unix_socket is not None else []

    def tidy() -> None:
        for path in left_over:
            path.unlink(missing_ok=True)

    with place.listen() as listener:
        try:
            server = Server(context.workspace, place, read_or_make_token(folder / TOKEN_FILE), allow_actions)
            url = server.url(listener)
            emit(f"{url}\n")
            sys.stdout.flush()
            _tell(place.is_local, unix_socket, allow_actions)
            if browser or (browser is None and sys.stderr.isatty()):
                left_over.append(desktop.page_to_open(f"web-{os.getpid()}.html"))
                opener(left_over[-1], url)
                _open(left_over[-1], is_asked=bool(browser))
            server.run(listener, tidy)
        finally:
            tidy()


def _require_extra() -> None:
    """Say what to type where the page can't be served."""
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            from monitord.installation import install_command

            raise MonitordError(f"cannot import {package}; install it: {install_command('web')}")


def _tell(is_local: bool, unix_socket: Path | None, allow_actions: bool) -> None:
    if unix_socket is not None:
        say(f"listening at {unix_socket}; a proxy passes requests on, with a Host that `--name` names")
    if not is_local:
        say(
            "monitord: others on the network reach this address, and what they and you send is not encrypted:"
            " better --socket behind a proxy with TLS, or `ssh -L`"
        )
    acts = "it may act (--allow-actions)" if allow_actions else "it only reads"
    say(f"open the address above in a browser; {acts}; Ctrl-C ends it")


def _open(page: Path, *, is_asked: bool) -> None:
    """Open it in a browser. Without one, only `--browser` is refused."""
    from monitord.actions import desktop

    try:
        desktop.open_page(page, os.environ)
    except MonitordError:
        if is_asked:
            raise
