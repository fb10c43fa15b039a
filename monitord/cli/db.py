"""`db …`: the database itself."""

from __future__ import annotations

from pathlib import Path

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.terminal import emit, say
from monitord.errors import StorageError
from monitord.export.encoding import json_text
from monitord.model import counted
from monitord.redaction import printable


def upgrade(context: CliContext) -> None:
    """Bring the database to this monitord's schema; a copy is made before anything changes."""
    with context.store() as store:
        store.migrate_if_needed()
    emit("the database is up to date\n")


def check(context: CliContext, output: OutputFlag = None, json: JsonFlag = False) -> None:
    """Look for damage: pages, rows without bytes (remote ones, too), bytes without rows. Exit 1 if so."""
    as_json = wants_json(output, json)
    set_aside = _set_aside(context.data_dir())
    with context.store(whole=True) as store:
        if context.config().settings.storage.url:
            store.adopt()  # the recorder can't: it never looks there
        problems = store.integrity_check()
        if problems:
            store.migrate_if_needed()  # what is damaged as a whole is set aside and built anew
        problems = problems or store.verify()
    fresh = sorted(_set_aside(context.data_dir()) - set_aside)
    problems += [
        f"the database was damaged: set aside as {path}, rebuilt from the artefacts" for path in fresh
    ]
    if as_json:
        emit(json_text({"ok": not problems, "problems": [printable(problem) for problem in problems]}) + "\n")
    else:
        for problem in problems:
            emit(f"{printable(problem)}\n")
        if not problems:
            emit("no damage found\n")
    if problems:
        count = counted(len(problems), "problem")
        more = "nothing was deleted" if fresh else "`monitord storage verify --repair` puts right what can be"
        raise StorageError(f"{count} in {context.data_dir()}; {more}")


def _set_aside(data_dir: Path) -> set[Path]:
    """Damaged databases that were kept for a person to look at."""
    return set(data_dir.glob("monitord.db.damaged-*"))


def vacuum(context: CliContext) -> None:
    """Rebuild the database compactly."""
    from monitord.jobs import vacuum_when_idle

    say("rebuilding; this can take some seconds")
    floor = context.config().settings.retention.min_free_disk_bytes
    with context.store() as store:
        outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=floor)
    if outcome.outcome != "ok":
        raise StorageError(f"not vacuumed: {outcome.detail}")
    emit(f"{outcome.detail}\n")
