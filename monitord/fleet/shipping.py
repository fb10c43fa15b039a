"""One round of shipping: rows become files of days, then these and incidents' evidence go to the bucket.

May be killed anywhere. A file is verified before it is put and asked for afterwards; only then it is noted.
What was put and not noted is put again, under the same name, and so is there once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from monitord.analytics.merging import Merge, as_they_are
from monitord.analytics.parquet import read, write_table
from monitord.analytics.rows import rows_of
from monitord.analytics.tables import INCIDENTS, TABLES, Table
from monitord.analytics.tiers import versions_in
from monitord.analytics.versions import deployments, known_versions
from monitord.config.settings import ShipSettings
from monitord.errors import MonitordError, NotFoundError, StorageError
from monitord.export.cleaning import Cleaner, Identities
from monitord.fleet.day_rows import Row, RowCleaner, days_of, fingerprint, in_order
from monitord.fleet.day_sums import with_sums
from monitord.fleet.host import NameTakenError, claim
from monitord.fleet.identity import LOCK_FILE
from monitord.fleet.layout import ArtefactFile, DayFile
from monitord.fleet.ship_state import Mark, new_state, read_state, write_state
from monitord.fleet.so_far import so_far
from monitord.fleet.spool import Spool
from monitord.model import counted
from monitord.recorder.locks import hold
from monitord.storage.artefacts.secret_sources import read_url
from monitord.storage.artefacts.wrappers.retried import Patience
from monitord.storage.objects import Objects, open_objects
from monitord.storage.past import PastReader

TABLES_EVERY = timedelta(minutes=55)
_COMES_LATE = timedelta(hours=6)  # rows of a day may come or change so long after its end
_SETTLES = timedelta(minutes=10)
"""How long a last file is kept after it was put: `fleet compact` may have removed it in the same moment."""
_EVIDENCE_STAYS = timedelta(hours=72)
_ARTEFACT_LIMIT_BYTES = 32 << 20
_ARTEFACTS_A_ROUND = 16
_DAYS_AT_MOST = 400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ArchiveOf = Callable[[str], bytes]
"""Gives an incident's evidence as one archive, redacted as configured; NotFoundError when it is gone."""


@dataclass(slots=True)
class Shipped:
    """What one round did, and what it wants a person to know; it grows while the round goes on."""

    host_id: str = ""
    files: int = 0
    rows: int = 0
    artefacts: int = 0
    put_bytes: int = 0
    artefacts_left: int = 0
    waiting_files: int = 0
    waiting_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def as_line(self) -> str:
        """What was done, for a log."""
        done = f"{counted(self.files, 'file')} and {counted(self.artefacts, 'archive')} of evidence"
        return f"{done}, {self.put_bytes:,} bytes, as {self.host_id}"


class Shipper:
    """Ships one data directory; `done` and `state` hold what was reached also after an error.

    Rounds of one data directory exclude each other (BusyError).
    """

    def __init__(
        self,
        data_dir: Path,
        settings: ShipSettings,
        reader: PastReader,
        identities: Identities,
        archive_of: ArchiveOf,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.done = Shipped()
        self.state = new_state(pseudonym=settings.pseudonym)
        self._data_dir, self._settings, self._reader = data_dir, settings, reader
        self._identities, self._archive_of = identities, archive_of
        self._spool = Spool(data_dir)
        self._now = clock()
        self._objects: Objects | None = None
        self._away: MonitordError | None = None

    def run(self, *, everything: bool) -> Shipped:
        """Ship incidents with their evidence, and the other tables once an hour or with `everything`.

        Raises what the bucket raises once all that can be done here is done.
        """
        with hold(self._data_dir / LOCK_FILE, "cannot ship: another one is at it"):
            self._load()
            is_hour = everything or self._is_hour()
            try:
                self._round(everything=is_hour)
            except NameTakenError as error:
                self._take_new_name(str(error))
                self._round(everything=True)
            finally:
                self._count_waiting()
            if is_hour:
                self.state.tables_at = self._now
            self.state.last_success_at = self._now
            self._save()
        return self.done

    def _load(self) -> None:
        try:
            self.state = read_state(self._data_dir) or self.state
        except ValueError:
            self.done.notes.append("what this host remembered of shipping is damaged: it has a new name")
        except OSError as error:
            raise StorageError(f"cannot read what was shipped: {error.strerror}") from error
        self._save()

    def _save(self) -> None:
        self.done.host_id = self.state.host_id
        try:
            write_state(self._data_dir, self.state)
        except OSError as error:
            raise StorageError(f"cannot note what was shipped: {error.strerror}") from error

    def _is_hour(self) -> bool:
        last = self.state.tables_at
        return last is None or not timedelta(0) <= self._now - last < TABLES_EVERY

    def _take_new_name(self, why: str) -> None:
        before = self.state
        self.state = new_state(pseudonym=self._settings.pseudonym, before=before)
        if self.state.since is not None and self.state.since > self._now:
            self.state.since = None  # of a clock that was ahead: until then nothing would be shipped
        self._spool.clear()
        self._save()
        self.done.notes.append(f"{why}: this one is {self.state.host_id} from now on")

    def _round(self, *, everything: bool) -> None:
        cleaner = self._cleaner()
        self._away = None
        with ExitStack() as stack:
            try:
                self._objects = stack.enter_context(closing(self._open()))
                named = not self._settings.pseudonym
                told = claim(self._objects, self.state, self._now, self._save, named=named)
                self.done.notes += [told.note] if told.note else []
            except NameTakenError:
                raise
            except MonitordError as error:
                self._objects, self._away = None, error
            self._build(cleaner, everything=everything)
            if self._away is not None:
                raise self._away
            self._put_all()
            if self._settings.artefacts:
                self._put_artefacts()

    def _open(self) -> Objects:
        patience = Patience(deadline_s=self._settings.deadline_s)
        return open_objects(read_url(self._settings.url, "the fleet's bucket"), patience, create=True)

    def _cleaner(self) -> RowCleaner | None:
        if not self._settings.redact:
            return None
        made = RowCleaner(Cleaner(self._identities_of_ours()))
        since = self._now - _EVIDENCE_STAYS
        made.learn(INCIDENTS, self._rows(INCIDENTS, since, None))
        return made

    def _identities_of_ours(self) -> Identities:
        """With a key of this host's: the same stand-ins in all its files."""
        names = self._identities
        return Identities(
            names.users, names.hosts, names.machine_ids, bytes.fromhex(self.state.key), names.found
        )

    # --------------------------------------------------------------------------------------- files of days

    def _rows(self, table: Table, since: datetime, until: datetime | None) -> Iterator[Row]:
        if self.state.since is not None:
            since = max(since, self.state.since)
        try:
            versions = known_versions(deployments(self._reader.storage))
            yield from rows_of(self._reader, table, since, until, self.state.host_id, versions)
        except NotFoundError:
            return  # nothing was ever stored

    def _build(self, cleaner: RowCleaner | None, *, everything: bool) -> None:
        """Write the files of days that changed; no more of them, newest first, than may wait here."""
        wanted = [table for table in TABLES if table.name not in self._settings.not_tables]
        if not everything:
            wanted = [table for table in wanted if table is INCIDENTS]
        self._spool.tidy()
        merge = self._merge(cleaner)
        for day in self._days(wanted) if everything else self._newest_days(2):
            for table in wanted:
                if merge is not None and not self._is_finished(table, day):
                    self._build_day(table, day, merge)
            if self._objects is not None:
                self._put_all()
                self._make_room()  # what is there goes first
            elif self._spool.size_bytes() > self._settings.spool_bytes:
                self.done.notes.append(
                    f"as much waits as may: what is older than {day} waits in the store alone"
                )
                break
        if everything and self._objects is not None:
            for name in list(self.state.dropped):  # days of which the store has nothing any more
                table_name, _slash, day_name = name.partition("/")
                self._note_lost(name, table_name, day_name, 0)
        self._make_room()

    def _merge(self, cleaner: RowCleaner | None) -> Merge | None:
        """What brings a day's file up to date, as in the tiers; None where nothing was ever stored."""
        try:
            versions = known_versions(deployments(self._reader.storage))
        except NotFoundError:
            return None
        clean = cleaner.clean if cleaner is not None else as_they_are
        return Merge(
            self._reader, self.state.host_id, version_of=versions, clean=clean, not_before=self.state.since
        )

    def _make_room(self) -> None:
        for table, day, path in self._spool.over(self._settings.spool_bytes, self._tomorrow()):
            if not self._is_there(_name(table, day), path):
                self.state.dropped[_name(table, day)] = sum(1 for _row in read(path, table))
            path.unlink()
        self._save()

    def _newest_days(self, count: int) -> Iterator[date]:
        for back in range(count):
            yield self._now.date() - timedelta(days=back)

    def _days(self, tables: list[Table]) -> Iterator[date]:
        """All of which anything is stored, newest first; then days to come, where the clock was ahead."""
        first = self._first() or self._now
        yield from self._newest_days(min((self._now.date() - first.date()).days + 1, _DAYS_AT_MOST))
        ahead = _begins(self._tomorrow())
        yield from sorted({day for table in tables for day in days_of(table, self._rows(table, ahead, None))})

    def _tomorrow(self) -> date:
        return self._now.date() + timedelta(days=1)

    def _first(self) -> datetime | None:
        """When what is stored begins."""
        try:
            span = self._reader.history_span()
            incident = self._reader.incident_beside(_EPOCH, is_next=True)
        except NotFoundError:
            return None
        return min(filter(None, (span[0] if span else None, incident)), default=None)

    def _is_finished(self, table: Table, day: date) -> bool:
        """Whether all of the day is in its file, here or there; a clock that was ahead finished nothing."""
        ends_at = _begins(day + timedelta(days=1)) + _COMES_LATE
        if self._now < ends_at:
            return False
        with suppress(FileNotFoundError):
            written_at = self._spool.path(table, day).stat().st_mtime
            return ends_at.timestamp() <= written_at <= self._now.timestamp() + 60
        mark = self.state.marks.get(_name(table, day))
        return mark is not None and ends_at <= mark.put_at <= self._now

    def _build_day(self, table: Table, day: date, merge: Merge) -> None:
        name, path = _name(table, day), self._spool.path(table, day)
        mark = self.state.marks.get(name)
        before = so_far(table, day, mark, self.state.host_id, self._spool, self._objects, self.done.notes)
        if before is None:
            return  # the bucket has it, and can't say what: the store goes on holding what is new
        versions = versions_in(self._spool.path(INCIDENTS, day), table)
        rows, said = merge.day(table, str(day), before.rows, before.notes, versions)
        after = in_order(table, rows)
        self._note_lost(name, table.name, str(day), len(after))
        if not after:
            self.state.marks[name] = Mark("", 0, 0, self._now)
            return
        if (after, said) != (before.rows, before.notes) or not path.exists():
            self._spool.prepare(table)
            write_table(table, with_sums(table, after), path, notes=said, is_summed=True)
        os.utime(path, (self._now.timestamp(),) * 2)  # when all of it was in there

    def _note_lost(self, name: str, table: str, day: str, count: int) -> None:
        if name in self.state.dropped:
            known = self.state.dropped.pop(name)
            if known is None or known > count:
                self.state.note_lost(table, day, None if known is None else known - count)

    def _put_all(self) -> None:
        for table, day, path in self._spool.files():
            name, data = _name(table, day), path.read_bytes()
            sums = hashlib.sha256(data).hexdigest()
            mark = self.state.marks.get(name)
            if mark is None or mark.sha256 != sums:
                self._put(DayFile(table, day, self.state.host_id).path, data)
                rows = sum(1 for _row in read(path, table))
                mark = self.state.marks[name] = Mark(sums, rows, len(data), self._now)
                self._save()
                self.done.files, self.done.rows = self.done.files + 1, self.done.rows + rows
            if self._is_finished(table, day) and not timedelta(0) <= self._now - mark.put_at < _SETTLES:
                self._settle(table, day, path, data, mark)

    def _settle(self, table: Table, day: date, path: Path, data: bytes, mark: Mark) -> None:
        """Let a day's last file go here once it is there still; else put it again, and keep it."""
        assert self._objects is not None  # noqa: S101  it is open by then
        where = DayFile(table, day, self.state.host_id).path
        is_there = self._objects.holds(where, data)
        if not is_there:
            self._put(where, data)
        mark.put_at = self._now
        self._save()
        if is_there:
            path.unlink()

    def _put(self, path: str, data: bytes) -> None:
        """Write, and ask whether it is there."""
        assert self._objects is not None  # noqa: S101  it is open by then
        self._objects.put(path, data)
        if not self._objects.holds(path, data):
            raise StorageError(f"cannot ship {path}: the bucket has other bytes there than it was given")
        self.state.puts += 1
        self.state.put_bytes += len(data)
        self.done.put_bytes += len(data)

    # ---------------------------------------------------------------------------------------- evidence

    def _put_artefacts(self) -> None:
        """What the newest incidents left, each as one archive; again when an incident has got more."""
        sums = {}
        waiting: list[tuple[datetime, str]] = []
        for row in self._rows(INCIDENTS, self._now - _EVIDENCE_STAYS, None):
            cells = dict(zip((name for name, _kind in INCIDENTS.columns), row, strict=True))
            incident, raised_at = str(cells["correlation_id"]), cells["raised_at"]
            sums[incident] = fingerprint({**cells, "pinned": None})
            if self.state.artefacts.get(incident) != sums[incident] and isinstance(raised_at, datetime):
                waiting.append((raised_at, incident))
        self.state.artefacts = {k: v for k, v in self.state.artefacts.items() if k in sums}
        waiting.sort(reverse=True)
        for raised_at, incident in waiting[:_ARTEFACTS_A_ROUND]:
            self._put_artefact(raised_at, incident)
            self.state.artefacts[incident] = sums[incident]
            self._save()
        self.done.artefacts_left = len(waiting[_ARTEFACTS_A_ROUND:])

    def _put_artefact(self, raised_at: datetime, incident: str) -> None:
        try:
            data = self._archive_of(incident)
        except NotFoundError:
            return  # deleted meanwhile
        except StorageError as error:
            self.done.notes.append(f"cannot ship the evidence of {incident}: {error}")
            return
        if len(data) > _ARTEFACT_LIMIT_BYTES:
            self.done.notes.append(
                f"cannot ship the evidence of {incident}: {len(data):,} bytes are too many"
            )
            return
        day = raised_at.astimezone(UTC).date()
        self._put(ArtefactFile(day, self.state.host_id, incident).path, data)
        self.done.artefacts += 1

    def _count_waiting(self) -> None:
        waiting = [
            path.stat().st_size
            for table, day, path in self._spool.files()
            if not self._is_there(_name(table, day), path)
        ]
        self.done.waiting_files, self.done.waiting_bytes = len(waiting), sum(waiting)

    def _is_there(self, name: str, path: Path) -> bool:
        mark = self.state.marks.get(name)
        return mark is not None and mark.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def _name(table: Table, day: date) -> str:
    return f"{table.name}/{day}"


def _begins(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
