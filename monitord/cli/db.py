"""`db …`: the database itself."""

from __future__ import annotations

from monitord.actions import upkeep
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json, say
from monitord.redaction import printable


def upgrade(context: CliContext) -> None:
    """Bring the database to this monitord's schema; a copy is made before anything changes."""
    upkeep.upgrade_database(context.workspace)
    emit("the database is up to date\n")


def check(context: CliContext, as_json: bool = False) -> None:
    """Look for damage in the database and every artefact, also remote ones; exit 1 when there is some."""
    found = upkeep.check_database(context.workspace)
    if as_json:
        emit_json({"ok": not found.problems, "problems": [printable(problem) for problem in found.problems]})
    else:
        for problem in found.problems:
            emit(f"{printable(problem)}\n")
        if not found.problems:
            emit("no damage found\n")
    found.require_none()


def vacuum(context: CliContext) -> None:
    """Rebuild the database compactly."""
    say("rebuilding; this can take some seconds")
    emit(f"{upkeep.vacuum_database(context.workspace)}\n")
