"""`storage status` and `storage metrics`: can evidence be kept right now, and how it went so far."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions import metrics as figures
from monitord.actions.storage_health import StorageHealth, check_storage
from monitord.cli.context import CliContext
from monitord.cli.findings import Finding, finding_lines
from monitord.cli.status import artefact_counts, store_line, uploader_line
from monitord.cli.terminal import Style, cut, emit, emit_json, fact
from monitord.cli.terminal import width as screen_width
from monitord.recorder.status import nobody_records
from monitord.redaction import printable


def status(context: CliContext, as_json: bool = False) -> None:
    """Write, read and delete a probe wherever evidence goes; say what went in and out, and what waits.

    Each failing check comes with its fix. Exit 1 when one fails.
    """
    found = check_storage(context.workspace)
    if as_json:
        emit_json(found.as_json())
    else:
        for line in _lines(found, context.style(), screen_width()):
            emit(f"{line}\n")
    sys.stdout.flush()
    found.require_ok()


def metrics(
    context: CliContext,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Replace this file whole instead (*.prom).")
    ] = None,
) -> None:
    """Print all figures as Prometheus text, as `metrics serve` serves them; it needs the extra `metrics`.

    Without a daemon it says `monitord_up 0`, and exits with 0.
    """
    if write is None:
        emit(figures.text(context.workspace))
    else:
        figures.write_textfile(context.workspace, write)


def _lines(found: StorageHealth, style: Style, columns: int) -> Iterator[str]:
    answer = found.as_json()
    checks = answer["checks"]
    for where in answer["places"]:
        yield style.paint(cut(printable(where), columns), "bold")
        found_here = [
            Finding("ok" if check["ok"] else "failure", check["name"], check["detail"], check["fix"])
            for check in checks
            if check["where"] == where
        ]
        yield from finding_lines(found_here, style, columns)
    facts = {
        "store": store_line(found.usage),
        "artefacts": artefact_counts(found.reported) or f"nothing was counted: {nobody_records()}",
        "remote": uploader_line(found.uploader, datetime.now(UTC)),
    }
    yield ""
    for name, text in facts.items():
        if text:
            yield from fact(name, text, columns, indent="")
