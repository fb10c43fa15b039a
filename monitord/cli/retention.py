"""`retention run`: tidy now instead of at the next full hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json, width, wrap
from monitord.errors import StorageError
from monitord.export.encoding import iso
from monitord.export.units import quantity
from monitord.redaction import printable
from monitord.storage.ids import short_id

if TYPE_CHECKING:
    from monitord.jobs import RetentionReport


def run(
    context: CliContext,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, delete nothing.")] = False,
    as_json: bool = False,
) -> None:
    """Delete what is too old or over the budget, the mild before the bad; kept incidents stay."""
    from monitord.actions.upkeep import run_retention

    report = run_retention(context.workspace, dry_run=dry_run)
    if as_json:
        answer = {
            "dry_run": report.is_dry_run,
            "dropped_evidence": list(report.dropped_evidence),
            "deleted_incidents": list(report.deleted_incidents),
            "history_before": iso(report.history_before) if report.history_before else None,
            "reasons": {key: printable(reason) for key, reason in report.reasons.items()},
            "bytes_before": report.bytes_before,
            "bytes_after": report.bytes_after,
            "postponed": report.postponed,
            "has_room": report.has_room,
            "obstacle": printable(report.obstacle) if report.obstacle else None,
            "failures": {key: printable(why) for key, why in report.failures.items()},
        }
        emit_json(answer)
    else:
        _show(report)
    if report.failures:
        raise typer.Exit(StorageError.exit_code)


def _show(report: RetentionReport) -> None:
    for correlation_id in report.dropped_evidence:
        emit(f"{short_id(correlation_id)}  evidence  {printable(report.reasons.get(correlation_id, ''))}\n")
    for correlation_id in report.deleted_incidents:
        emit(f"{short_id(correlation_id)}  whole     {printable(report.reasons.get(correlation_id, ''))}\n")
    verb = "would free" if report.is_dry_run else "freed"
    lines = [f"{verb} {quantity(report.freed_bytes, 'disk_bytes')}: {report.gone}"]
    lines += [f"nothing by age: {report.postponed}"] if report.postponed else []
    lines += [] if report.has_room else [f"still without room: {report.obstacle or ''}"]
    for line in lines:
        emit("\n".join(wrap(printable(line), width())) + "\n")
    for name, why in report.failures.items():
        emit(f"{printable(name)}  stays     {printable(why)}\n")
