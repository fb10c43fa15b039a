"""A day's file so far, from which its next one is made: here, in the bucket, or in what was compacted there.

Whatever the store has lost since, its rows stay: the file that a host puts counts before all that lies there.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from monitord.analytics.parquet import notes_of, read
from monitord.analytics.shipped import COMPACTED, LARGEST_FILE_BYTES
from monitord.analytics.tables import Table
from monitord.errors import StorageError
from monitord.fleet.day_rows import Row
from monitord.fleet.layout import DayFile, compacted_path
from monitord.fleet.ship_state import Mark
from monitord.fleet.spool import Spool
from monitord.storage.artefacts.errors import AccessDeniedError, MissingArtefactError
from monitord.storage.objects import Objects

_FILE_LIMIT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class SoFar:
    """Rows, and the notes of the file that had them."""

    rows: list[Row] = field(default_factory=list)
    notes: Mapping[str, str] = field(default_factory=dict)


def so_far(
    table: Table,
    day: date,
    mark: Mark | None,
    host_id: str,
    spool: Spool,
    objects: Objects | None,
    told: list[str],
) -> SoFar | None:
    """Return what a day's file has; None when that can't be had now. `told` gets what a person should hear.

    Raises what the bucket raises.
    """
    path = spool.path(table, day)
    if path.exists():
        try:
            return SoFar([*read(path, table)], notes_of(path, table))
        except StorageError:
            path.unlink()  # torn by the disk: made anew
    if mark is None or not mark.rows:
        return SoFar()
    if objects is None:
        return None
    try:
        _found, data = objects.read(DayFile(table, day, host_id).path, _FILE_LIMIT_BYTES)
    except MissingArtefactError:
        return _compacted(table, day, host_id, spool, objects, told)
    if mark.sha256 in ("", hashlib.sha256(data).hexdigest()):
        spool.prepare(table)
        path.write_bytes(data)
        with contextlib.suppress(StorageError):
            return SoFar([*read(path, table)], notes_of(path, table))
        path.unlink()
    told.append(f"{table.name} of {day} in the bucket is not what was put there: made anew")
    return SoFar()


def _compacted(
    table: Table, day: date, host_id: str, spool: Spool, objects: Objects, told: list[str]
) -> SoFar | None:
    """A host's rows in what `fleet compact` made of a day: it removed the host's file."""
    where = compacted_path(table, day)
    try:
        if not [*objects.list(where.rpartition("/")[0])]:
            return SoFar()
        _found, data = objects.read(where, LARGEST_FILE_BYTES)
    except MissingArtefactError:
        return SoFar()
    except AccessDeniedError:
        told.append(f"{table.name} of {day} stays as it was compacted: this host may not read it")
        return None
    spool.prepare(table)
    local = spool.path(table, day).with_name(f".{COMPACTED}.part")
    try:
        local.write_bytes(data)
        return SoFar([*read(local, table, host_id=host_id)])
    except StorageError:
        told.append(f"{table.name} of {day} stays as it was compacted: that file is damaged")
        return None
    finally:
        local.unlink(missing_ok=True)
