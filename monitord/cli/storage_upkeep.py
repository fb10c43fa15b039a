"""`storage gc|verify|rebuild|rotate-key`: what is left over, damaged, lost, or sealed with an old key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.terminal import emit, say
from monitord.errors import ConfigError, StorageError, UsageError
from monitord.export.encoding import json_text
from monitord.export.units import quantity
from monitord.model import counted
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.storage.leftovers import Leftovers

_QUARANTINE = timedelta(days=3)  # as the hourly job has it
_NO_ROOM = "is removed: with it the store would be over its budget (retention.max_total_mb)"


def gc(
    context: CliContext,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, change nothing.")] = False,
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Tidy up: what killed captures left, old quarantine, broken-off deletions, rows out of step."""
    as_json = wants_json(output, json)
    before = datetime.now(UTC) - _QUARANTINE
    with context.store(whole=True) as store:
        found = store.leftovers(before)
        if not dry_run and not found.is_nothing:
            store.drop_quarantine_before(before)
            store.drop_abandoned()
            store.adopt()
    if as_json:
        answer = {
            "dry_run": dry_run,
            "temporary_files": list(found.parts),
            "abandoned": [printable(name) for name in found.abandoned],
            "abandoned_bytes": found.abandoned_bytes,
            "quarantined": [printable(name) for name in found.quarantined],
            "quarantined_bytes": found.quarantined_bytes,
            "deletions": list(found.deletions),
            "without_row": list(found.orphans),
            "without_file": list(found.missing),
        }
        emit(json_text(answer) + "\n")
        return
    for line in _leftover_lines(found, dry_run=dry_run):
        emit(f"{printable(line)}\n")
    if found.is_nothing:
        emit("nothing to tidy\n")


def _leftover_lines(found: Leftovers, *, dry_run: bool) -> Iterator[str]:
    will = "would be " if dry_run else ""
    yield from (f"temporary file {name}: {will}removed" for name in found.parts)
    yield from (f"{name} of a capture that was killed: {will}removed" for name in found.abandoned)
    yield from (f"quarantined {name}: {will}removed" for name in found.quarantined)
    yield from (f"incident {name}: its deletion {will}finished" for name in found.deletions)
    yield from (f"{key}, without a row: {will}taken in, or quarantined if damaged" for key in found.orphans)
    yield from (f"{key}, gone: its row {will}marked missing" for key in found.missing)
    if found.quarantined_bytes:
        yield f"{quantity(found.quarantined_bytes, 'disk_bytes')} of quarantine"
    if found.abandoned_bytes:
        yield f"{quantity(found.abandoned_bytes, 'disk_bytes')} of captures that were killed"


def verify(
    context: CliContext,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Set damaged ones aside, adopt strays, mark lost ones."),
    ] = False,
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Read every artefact and check it, and whether rows and files agree. Exit 1 when problems are left."""
    as_json = wants_json(output, json)
    done: list[str] = []
    with context.store(whole=True) as store:
        problems = store.integrity_check()
        if problems and repair:
            done += [f"{problem}: the database is set aside and built anew" for problem in problems[:1]]
            store.migrate_if_needed()
            problems = []
        problems = problems or store.verify()
        if repair and problems:
            out_of_step = store.leftovers(datetime.min.replace(tzinfo=UTC))
            done += store.repair()
            done += [f"row without file: marked missing: {key}" for key in out_of_step.missing]
            done += [f"file without row: taken in: {key}" for key in out_of_step.orphans]
            store.adopt()
            problems = store.integrity_check() or store.verify()
    if as_json:
        answer = {
            "ok": not problems,
            "problems": [printable(problem) for problem in problems],
            "repaired": [printable(step) for step in done],
        }
        emit(json_text(answer) + "\n")
    else:
        for line in (*done, *problems):
            emit(f"{printable(line)}\n")
        if not problems:
            emit("every artefact is what was stored\n")
    if problems:
        count = counted(len(problems), "problem")
        more = (
            "nothing was deleted" if repair else "`monitord storage verify --repair` sets right what it can"
        )
        raise StorageError(f"{count} in {context.data_dir()}; {more}")


def rebuild(
    context: CliContext,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to do anything.")] = False,
) -> None:
    """Build the database anew from the artefacts; the old one is kept beside it.

    What stands in no artefact (history, plans, other events) is taken from the old one as far as it can be
    read.
    """
    from monitord.recorder.locks import DAEMON_LOCK, hold
    from monitord.storage import StoreReader
    from monitord.storage.folder import check_data_dir
    from monitord.storage.opening import put_aside
    from monitord.storage.schema import DATABASE_NAME

    folder = context.data_dir()
    old: Path | None = None
    check_data_dir(folder)
    if not yes:
        raise UsageError("nothing done; to build the database anew: add --yes")
    with hold(folder / DAEMON_LOCK, "the daemon records; `monitord service stop` first"):
        if (folder / DATABASE_NAME).exists():
            old = put_aside(folder / DATABASE_NAME)
        with context.store(whole=True) as store:
            if store.degraded_reason is not None:
                raise StorageError(store.degraded_reason)
            with StoreReader(folder) as reader:
                emit(f"{counted(reader.counts().incidents, 'incident')} came back\n")
            if old is not None:
                told = ", ".join(f"{count:,} of {table}" for table, count in store.salvaged.items())
                emit(f"rows from the old database: {told}\n")
                is_kept = f"is kept as {printable(str(old))}" if old.exists() else _NO_ROOM
                emit(f"the old database {is_kept}\n")


def rotate_key(context: CliContext) -> None:
    """Wrap the keys of all sealed artefacts with the active key, here, remote and archived.

    Every reader must know the new key before: make it `storage.encryption_key`, name the old one in
    `storage.old_encryption_keys`, restart the service, then rotate.
    """
    from monitord.recorder.artefact_stores import keyring_of, sealed_places
    from monitord.storage.artefacts import is_probe
    from monitord.storage.artefacts.rotation import rotate
    from monitord.storage.folder import check_data_dir
    from monitord.storage.schema import ARTEFACTS_NAME

    settings = context.config().settings
    keyring = keyring_of(settings.storage)
    if keyring is None:
        raise ConfigError("nothing is sealed: storage.encryption_key is not set")
    folder = context.data_dir()
    check_data_dir(folder)
    rotated, total = 0, 0
    with sealed_places(settings, folder / ARTEFACTS_NAME) as places:
        for each in places:
            keys = [key for key in each.provider.list() if not is_probe(key)]
            say(f"{counted(len(keys), 'artefact')} in {each.provider.name}; this can be interrupted")
            rotated += rotate(each.provider, keyring, keys, sealed_as=each.sealed_as)
            total += len(keys)
    emit(
        f"{rotated:,} of {total:,} have key {keyring.active.key_id} now; "
        "the others had it before, or are not sealed\n"
    )
