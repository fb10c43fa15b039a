"""The warm and the cold tier: one Parquet file a table and day (UTC), and which file answers for a day.

`warm/<table>/<day>.parquet` below the data directory, `FOLDER/<table>/<day>.parquet` at `analytics.cold_url`.
A file holds all that was ever read of its day, and a mark of the store's rows that it was read from. While
the mark fits, the file is the day's answer; else the day is merged anew. So nothing is counted twice, and no
list of files can disagree with the files.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

from monitord.analytics.cold import ColdTier, first_that_fits, host_id, is_day
from monitord.analytics.merging import Merge
from monitord.analytics.parquet import SUFFIX, is_sound, notes_of, read, write_table
from monitord.analytics.rows import VersionOf, version_unknown
from monitord.analytics.tables import EVENTS, HOTSPOTS, INCIDENTS, Table
from monitord.analytics.versions import deployed_mark, deployments
from monitord.durable import durable_write, file_mode, is_shared
from monitord.errors import StorageError
from monitord.storage.artefacts.providers import descriptors
from monitord.storage.asking import ignore_damage
from monitord.storage.past import PastReader
from monitord.storage.schema import WARM_NAME

MARK = "mark"
FORGOTTEN_NAME = "forgotten"
_KINDS: Mapping[str, Literal["incident", "event"]] = {
    INCIDENTS.name: "incident", HOTSPOTS.name: "incident", EVENTS.name: "event",
}  # fmt: skip
_INCIDENT_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def day_path(data_dir: Path, table: Table, day: str) -> Path:
    """Return where the warm tier keeps a day of a table."""
    return data_dir / WARM_NAME / table.folder / f"{day}{SUFFIX}"


def warm_days(data_dir: Path, table: Table) -> tuple[str, ...]:
    """Return the days of which the warm tier has a file, in order; what else lies there is not ours."""
    folder = data_dir / WARM_NAME / table.folder
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            day = entry.name.removesuffix(SUFFIX)
            if day != entry.name and is_day(day) and entry.is_file(follow_symlinks=False):
                found.append(day)
    return tuple(sorted(found))


def marks_of(reader: PastReader, table: Table) -> dict[str, str]:
    """Return of each day with rows in the store a text that is another one once they have changed.

    Rows with a version change, too, when somebody says later what was deployed then (`deployed --at`).
    """
    marks = reader.day_marks(_KINDS.get(table.name, "history"))
    told = deployments(reader.storage) if marks and _has_version(table) else []
    return {
        day: f"{len(table.columns)}:{mark}{deployed_mark(told, day)}"
        for day, mark in marks.items()
        if is_day(day)
    }


def files_of(
    reader: PastReader,
    scratch: Path,
    table: Table,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    cold_url: str = "",
    on_damage: Callable[[str], object] = ignore_damage,
    version_of: VersionOf = version_unknown,
) -> list[Path]:
    """Return one sound file of each day with rows in [since, until), which together have each row once.

    Days that the store has newer rows of, and those of the bucket, are written into `scratch`, a folder of
    the caller's own. `on_damage` hears of files that were left out, in words. Raises StorageError.
    """
    data_dir = reader.data_dir
    marks, held = marks_of(reader, table), warm_days(data_dir, table)
    forgotten = read_forgotten(data_dir) - reader.incident_ids()
    merge = Merge(reader, host_id(), forgotten, version_of)
    cold = ColdTier.opened(cold_url, data_dir)
    try:
        found: list[Path] = []
        known = sorted({*marks, *held, *cold.days(table)})
        days = [day for day in known if _is_within(day, since, until)]
        cold.check_size(table, [day for day in days if day not in held], scratch)
        for day in days:
            warm = day_path(data_dir, table, day) if day in held else None
            here = _Day(table, day, marks.get(day), warm, forgotten)
            found += here.answer(merge, cold, scratch, on_damage)
        return found
    finally:
        cold.close()


def first_day(
    data_dir: Path,
    tables: Iterable[Table],
    cold_url: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> date | None:
    """Return from which day on a question can bring all that it needs from the bucket; None: every day."""
    cold = ColdTier.opened(cold_url, data_dir)
    try:
        sizes: dict[str, int] = {}
        for table in tables:
            held = warm_days(data_dir, table)
            for day, info in cold.days(table).items():
                if day not in held and _is_within(day, since, until):
                    sizes[day] = sizes.get(day, 0) + info.size_bytes
    finally:
        cold.close()
    return first_that_fits(sizes)


@dataclass(frozen=True, slots=True)
class _Day:
    table: Table
    day: str
    mark: str | None
    warm: Path | None
    forgotten: frozenset[str]

    def answer(
        self, merge: Merge, cold: ColdTier, scratch: Path, on_damage: Callable[[str], object]
    ) -> Iterator[Path]:
        warm = self.warm if self.warm is not None and os.path.lexists(self.warm) else None
        if warm is None and self.warm is not None:  # it went on to the bucket since it was listed
            cold.list_anew(self.table)
        base = warm or cold.fetch(self.table, self.day, scratch, on_damage)
        if base is not None and is_current(self.table, base, self.mark) and not self.forgotten:
            yield base
            return
        if base is not None and not is_sound(base, self.table):
            on_damage(f"cannot read {base}: it is damaged; what the store still has of that day is told")
            base = None
        if base is not None or self.mark is not None:
            path = scratch / f"{self.table.folder}-{self.day}{SUFFIX}"
            write_day(merge, self.table, self.day, path, base, self.mark)
            yield path


def is_current(table: Table, path: Path, mark: str | None) -> bool:
    """Whether a file has all that the store has of its day (`mark`; None: nothing)."""
    try:
        notes = notes_of(path, table)
    except StorageError:
        return False
    return mark is None or notes.get(MARK) == mark


def write_day(
    merge: Merge, table: Table, day: str, path: Path, base: Path | None, mark: str | None, mode: int = 0o600
) -> int:
    """Write a day anew out of the store and its sound file so far, which may be replaced; how many rows."""
    notes = notes_of(base, table) if base else {}
    incidents = base if table is INCIDENTS else day_path(merge.data_dir, INCIDENTS, day)
    versions = versions_in(incidents, table)
    rows, said = merge.day(table, day, read(base, table) if base else (), notes, versions)
    return write_table(table, rows, path, mode=mode, notes={MARK: mark or notes.get(MARK, ""), **said})


def _has_version(table: Table) -> bool:
    return any(name == "version" for name, _kind in table.columns)


def versions_in(path: Path | None, table: Table) -> dict[str, str]:
    """Return which version a file of incidents says of each, for rows of `table`.

    None where these have no version, or the file can't be read.
    """
    if path is None or not _has_version(table):
        return {}
    names = [name for name, _kind in INCIDENTS.columns]
    at, version = names.index("correlation_id"), names.index("version")
    try:
        return {str(row[at]): str(row[version]) for row in read(path, INCIDENTS) if row[version] is not None}
    except StorageError:
        return {}


def _is_within(day: str, since: datetime | None, until: datetime | None) -> bool:
    begins = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    is_after = since is not None and begins + timedelta(days=1) <= since
    return not is_after and (until is None or begins < until)


# ------------------------------------------------------------------------------------------ deletions


def forget(data_dir: Path, correlation_ids: Iterable[str]) -> None:
    """Have the tiers forget incidents that a person deletes; to be called before the store forgets them.

    No answer shows them from now on, and the next tiering takes them out of the files. Raises StorageError.
    """
    folder = data_dir / WARM_NAME
    if not is_plain_folder(folder):
        return
    warm, owner = descriptors.open_own_folder(folder, create=False)  # root may delete in a service's store
    try:
        descriptors.make_folder(warm, FORGOTTEN_NAME, owner)
        with descriptors.folders_below(warm, [FORGOTTEN_NAME]) as held:
            mode = file_mode(shared=is_shared(os.fstat(held[-1])))
            for each in filter(_INCIDENT_ID.fullmatch, correlation_ids):
                durable_write(Path(each), b"", mode=mode, owner=owner, within=held[-1])
    except OSError as error:
        raise StorageError(f"cannot write below {folder}: {error.strerror}; nothing was deleted") from error
    finally:
        os.close(warm)


def read_forgotten(data_dir: Path) -> frozenset[str]:
    """Return the incidents that a person deletes or deleted and whose rows may still be in files.

    Those that the store still has are not deleted yet.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = [path.name for path in (data_dir / WARM_NAME / FORGOTTEN_NAME).iterdir()]
        return frozenset(filter(_INCIDENT_ID.fullmatch, names))
    return frozenset()


def settle_forgotten(data_dir: Path, correlation_ids: Iterable[str]) -> None:
    """Note that no file has rows of these any more."""
    for each in correlation_ids:
        (data_dir / WARM_NAME / FORGOTTEN_NAME / each).unlink(missing_ok=True)


def is_plain_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
