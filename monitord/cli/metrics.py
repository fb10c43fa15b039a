"""`storage metrics`: what the daemon counts, as Prometheus reads it."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.status import usage_of
from monitord.cli.terminal import emit
from monitord.durable import durable_write
from monitord.errors import StorageError
from monitord.recorder.status import read_status


def metrics(
    context: CliContext,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Replace this file whole instead (*.prom).")
    ] = None,
) -> None:
    """Print counts of the storage and the daemon's basics as Prometheus text; it needs the extra `metrics`.

    Without a daemon it says `monitord_up 0`, and exits with 0.
    """
    from monitord.export.prometheus import metrics_text
    from monitord.recorder.uploader_status import read_uploader_status

    if importlib.util.find_spec("prometheus_client") is None:
        from monitord.installation import install_command

        raise StorageError(
            f"the package prometheus-client is not installed; install it: {install_command('metrics')}"
        )
    folder = context.data_dir()
    told = {"is_running": False, **(read_status(folder) or {})}
    uploader = read_uploader_status(folder)
    told["courier"] = asdict(uploader) if uploader else None
    text = metrics_text(told, usage_of(context, folder, told))
    if write is None:
        emit(text)
    else:
        _replace(write, text)


def _replace(path: Path, text: str) -> None:
    """For collectors that read whatever lies there at any moment, as another user."""
    try:
        durable_write(path, text.encode(), mode=0o644)
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror}") from error
