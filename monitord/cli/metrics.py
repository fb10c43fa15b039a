"""`metrics serve` and `metrics textfile`: figures for Prometheus, asked for or laid down in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions import metrics
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit


def serve(
    context: CliContext,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8767,
    unix_socket: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="A unix socket instead, for a proxy.")
    ] = None,
) -> None:
    """Serve figures at /metrics for Prometheus: to this machine alone, unless systemd passes a socket.

    It needs the extra `metrics`; Ctrl-C ends it. Answers are as fresh as the last report of the recorder.
    """
    from monitord import logs

    logs.configure("warning")

    def tell(where: str) -> None:
        emit(f"{where}\n")
        sys.stdout.flush()

    metrics.serve(context.workspace, port, unix_socket, tell)


def textfile(
    context: CliContext,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Replaced whole; *.prom for node_exporter.")],
) -> None:
    """Write figures into a file for node_exporter's textfile collector; it needs the extra `metrics`.

    With `metrics.textfile` in the configuration the recorder has it written by itself.
    """
    metrics.write_textfile(context.workspace, file)
