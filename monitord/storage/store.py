"""The store as the requirement draws it, and what the daemon needs besides. The only writer's face.

Saving acknowledges when artefact bytes, then rows, are durable. Every method may be called from any
thread (one at a time gets in). When the disk is full, read-only or locked, writing raises StorageError
and `is_degraded` says so; the next call tries again, opening or rebuilding the database as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select

from monitord.errors import NotFoundError, SchemaTooNewError, StorageError, UsageError
from monitord.logs import get_logger
from monitord.model import Incident, ProfileRecord, Rates
from monitord.storage import compacting, deletion, incident_stock, mending, recovery, upkeep
from monitord.storage.artefact_store import OpenArtefacts, open_folder
from monitord.storage.cells import json_cell, time_cell
from monitord.storage.events.identity import id_at
from monitord.storage.events.of_incidents import record_incident
from monitord.storage.events.pruning import Pruner
from monitord.storage.events.store import EventStore
from monitord.storage.evidence import discard_evidence, store_evidence, store_incident_artefact
from monitord.storage.faults import DamagedError
from monitord.storage.ids import new_correlation_id
from monitord.storage.leftovers import Leftovers, find_leftovers, remove_artefact
from monitord.storage.opened import OpenDatabase
from monitord.storage.queries import StoreReader
from monitord.storage.records import (
    IncidentRecords,
    StoredCapture,
    capture_record,
    incident_record,
    profile_records,
    records_of,
    with_steps,
)
from monitord.storage.rows import insert_records, load_keys, load_records, load_replaced, numbered
from monitord.storage.tables import history as history_table
from monitord.storage.tables import incident as incident_table
from monitord.storage.thinning import FINE_S, pack
from monitord.storage.usage import usage_of
from monitord.storage.views import Note, RecentFilter, Usage

_T = TypeVar("_T")
NOTE_LIMIT = 2000


class SQLiteProfileStore(OpenDatabase):
    """One data directory, for writing; see `open_store`."""

    # ---------------------------------------------------------------------------------- evidence

    def save_incident(self, incident: Incident) -> list[ProfileRecord]:
        """Store an incident with its captures' bytes; durable when this returns. Its rows, oldest first.

        Saving the same correlation id again replaces what was stored (a retry, or more evidence);
        a pin stays. After an error nothing of this call is left, and it may be called again.
        """
        stored = incident_record(incident)
        captures: list[StoredCapture] = []
        with self._guarded(), self._cleaning_up() as written:
            engine, artefact_store = self._ready()
            with engine.connect() as connection:
                taken = load_keys(connection, incident.correlation_id)
            for capture in incident.captures:
                row = capture_record(stored, capture)
                row = store_evidence(artefact_store.artefacts, stored, row, capture, taken)
                written.extend([row.artefact_key] if row.artefact_key else [])
                captures.append(row)
            return self._save(with_steps(stored, captures, incident), written)

    def save(self, record: ProfileRecord) -> ProfileRecord:
        """The requirement's save: one row whose file, if any, lies where `profile_path` says."""
        records = records_of(record, record.correlation_id or new_correlation_id())
        with self._guarded(), self._cleaning_up() as written:
            return self._save(records, written)[0]

    @contextmanager
    def _cleaning_up(self) -> Iterator[list[str]]:
        """Remove the artefacts that a failed save wrote: nobody was told that they are there."""
        written: list[str] = []
        try:
            yield written
        except BaseException:
            if self._artefact_store is not None:
                discard_evidence(self._artefact_store.artefacts, written)
            raise

    def _save(self, records: IncidentRecords, written: list[str]) -> list[ProfileRecord]:
        """The incident's own artefact, then all rows in one transaction; then what they replaced goes."""
        engine, artefact_store = self._ready()
        with engine.begin() as connection:
            before = load_replaced(connection, records.incident.correlation_id)
            is_pinned = records.incident.pinned or before.pinned
            records = replace(records, notes=before.notes)
            records = records.changed(pinned=is_pinned, artefact_key=before.own_key)
            records = numbered(connection, records)
            records = store_incident_artefact(artefact_store.artefacts, records)
            if before.own_key is None:
                written.append(str(records.incident.artefact_key))
            records = insert_records(connection, records)
        replaced = [key for key in before.capture_keys if key not in written]
        written.clear()  # the rows are there and name it: nothing that fails from here on may remove it
        discard_evidence(artefact_store.artefacts, replaced)
        return list(profile_records(records, self.data_dir))

    def pin(self, correlation_id: str, pinned: bool = True) -> None:
        """Keep an incident from retention, or no longer; raises NotFoundError."""
        self._change(correlation_id, lambda records: records.changed(pinned=pinned))

    def set_reason(self, correlation_id: str, reason: str) -> None:
        """Say more of why an incident was opened; raises NotFoundError."""
        self._change(correlation_id, lambda records: records.changed(reason=reason))

    def add_note(self, correlation_id: str, text: str, now: datetime) -> None:
        """Leave a note on an incident; raises NotFoundError, UsageError for an invalid note."""
        if not 0 < len(text.strip()) <= NOTE_LIMIT:
            raise UsageError(f"invalid note: expected a text of 1 to {NOTE_LIMIT} characters")
        note = Note(now, text.strip())
        self._change(correlation_id, lambda records: replace(records, notes=(*records.notes, note)))

    def _change(self, correlation_id: str, change: Callable[[IncidentRecords], IncidentRecords]) -> None:
        """Change what is kept of an incident that is there for everybody, in its artefact and in its rows."""
        with self._guarded():
            engine, artefact_store = self._ready()
            with engine.begin() as connection:
                before = load_records(connection, correlation_id)
                if before is None or before.incident.state != "active":
                    raise NotFoundError(f"cannot find incident {correlation_id!r}")
                after = change(before)
                if (after.incident.reason, after.notes) != (before.incident.reason, before.notes):
                    record_incident(connection, after)
                recovery.rewrite_incident(connection, artefact_store.artefacts, after)

    def adopt(self) -> int:
        """Put right what a crash or damage left, at the daemon's start; return how many rows came back.

        Checks the whole database first, so that a damaged one is set aside and built anew here and
        not met weeks later; then see `recovery.adopt`.
        """
        self.integrity_check()
        with self._guarded():
            return recovery.adopt(*self._ready())

    def repair(self) -> list[str]:
        """Put right what `verify` finds, as far as it can be; what was done, in words."""
        from monitord.storage import repairing

        with self._guarded():
            return mending.mend(*self._ready()) + repairing.repair(*self._ready())

    def leftovers(self, quarantined_before: datetime) -> Leftovers:
        """What `adopt` and `drop_quarantine_before` would tidy."""
        with self._guarded(writes=False):
            return find_leftovers(*self._ready(), self.data_dir, quarantined_before)

    def remove_artefact(self, key: str) -> int:
        """Remove one artefact by hand; its row stays, as missing. UsageError for an incident's own."""
        with self._guarded():
            return remove_artefact(*self._ready(), key)

    # ------------------------------------------------------------------------ history and state

    def add_history(self, passes: Sequence[Rates], *, step_s: int = FINE_S) -> None:
        """Store passes, oldest first, as one row, and thin what is old; durable when this returns.

        `step_s` is the level that they are of: `COARSE_S` keeps all of them for a day.
        """
        if not passes:
            return
        times = [rates.taken_at for rates in passes]
        since, until = time_cell(min(times)), time_cell(max(times))
        row = {"taken_from": since, "taken_until": until, "rates": pack(passes), "step_s": step_s}
        with self._transaction() as connection:
            connection.execute(history_table.insert().values(row))
            upkeep.thin_history(connection, passes[-1].taken_at)

    def sweep(self) -> int:
        """Remove what has expired of the state; how many."""
        return self.state.sweep()

    @property
    def events(self) -> EventStore:
        """What happened, kept in this database."""
        return EventStore(self._transaction, asking=self._questions)

    def get_state(self, key: str) -> Any:
        """Return what `set_state` kept under this key, or None."""
        return self._read(lambda reader: reader.state(key))

    def set_state(self, key: str, value: Any) -> None:
        """Keep a JSON-able value under a key of the global namespace."""
        self.state.set(key, json_cell(value).encode("ascii"))

    # -------------------------------------------------------------------------------- questions

    def fetch_recent(self, limit: int) -> list[ProfileRecord]:
        """Return the newest incidents, one row each."""
        return self._read(lambda reader: reader.recent(RecentFilter(limit=limit)))

    def _read(self, question: Callable[[StoreReader], _T]) -> _T:
        """Ask what is there; a store that can't be written now can often be read."""
        with self._lock:
            try:
                with self._guarded(writes=False):
                    self._ready()
            except SchemaTooNewError:
                raise
            except StorageError as error:
                if not self.database.exists():
                    raise
                get_logger().debug("store.read_while_degraded", reason=str(error))
            with StoreReader(self.data_dir) as reader:
                return question(reader)

    def incidents(
        self, usage: Usage, boots: incident_stock.Boots, now: datetime, stuck: Collection[str] = ()
    ) -> incident_stock.IncidentStock:
        """The incidents as retention judges them; none of them may be damaged, see `mend_incidents`."""
        return incident_stock.stock_of(self._questions, usage, boots, now, stuck)

    def mend_incidents(self) -> None:
        """Put right what is damaged, if anything is that tells the age, severity or size of an incident."""
        with self._guarded(writes=False):
            mending.mend_incidents(*self._ready())

    def incident_times(self) -> tuple[datetime, datetime] | None:
        """The median and the newest of the times at which incidents were raised; None without any."""
        with self._questions() as connection:
            return incident_stock.incident_times(connection)

    def usage(self) -> Usage:
        """What the store takes on disk, and what is left there."""
        with self._guarded(writes=False):
            artefact_store = self._artefact_store or self._ready()[1]
            return usage_of(self.data_dir, is_remote=artefact_store.uploading is not None)

    def history_bytes(self) -> int:
        """What history takes in the database, about."""
        with self._questions() as connection:
            return upkeep.history_bytes(connection)

    def verify(self) -> list[str]:
        """Everything that is wrong, in words; [] when all is well. Reads every byte of evidence."""
        from monitord.storage.verifying import verify

        with self._guarded(writes=False):
            return verify(*self._ready(), self.data_dir)

    def integrity_check(self) -> list[str]:
        """What SQLite's whole check finds; [] when all is well. After damage the next write sets it aside."""
        try:
            with self._guarded(writes=False):
                found = self._pragma("integrity_check(50)")
        except DamagedError as error:
            return [str(error)]
        problems = [str(line) for line in found if line != "ok"]
        if problems:
            with self._lock:
                self._is_suspect = True
                self._release()
        return problems

    # --------------------------------------------------------------------------------- deletion

    def delete_incident(self, correlation_id: str) -> None:
        """Remove an incident, its rows and its evidence, pinned or not; raises NotFoundError."""
        if not self._delete([correlation_id], spare_pinned=False):
            raise NotFoundError(f"cannot find incident {correlation_id!r}")

    def delete_incidents(self, correlation_ids: Sequence[str]) -> int:
        """Remove incidents whole, but for those that are pinned; how many."""
        return self._delete(correlation_ids, spare_pinned=True)

    def _delete(self, correlation_ids: Sequence[str], *, spare_pinned: bool) -> int:
        with self._guarded(proves=bool(correlation_ids)):
            count = deletion.delete_incidents(*self._ready(), correlation_ids, spare_pinned=spare_pinned)
        with suppress(StorageError), self._guarded(writes=False), self._driver() as connection:
            compacting.fold(connection, self.database)  # on a full disk the WAL may hold all that was gained
        return count

    def drop_evidence(self, correlation_ids: Sequence[str]) -> int:
        """Make incidents small summaries: reason and hotspots stay, files and history go. Bytes freed."""
        with self._guarded(proves=bool(correlation_ids)):
            return deletion.drop_evidence(*self._ready(), correlation_ids)

    def settle(self) -> None:
        """Finish deletions that broke off, remove what killed captures left, and note what artefacts take by
        now; for the hourly job.
        """
        upkeep.drop_abandoned(self.data_dir)
        with self._guarded():
            engine, artefact_store = self._ready()
            deletion.finish_deletions(engine, artefact_store)
            upkeep.note_sizes(engine, artefact_store.folder)

    def delete_older_than(self, date: datetime) -> int:
        """Remove incidents raised before `date` unless they are pinned; how many."""
        old = (incident_table.c.raised_at < time_cell(date)) & (incident_table.c.pinned == 0)
        query = select(incident_table.c.correlation_id).where(old)
        with self._transaction() as connection:
            old_ids = connection.execute(query).scalars().all()
        return self.delete_incidents(old_ids) if old_ids else 0

    def drop_history_before(self, when: datetime) -> int:
        """Remove history that ends before `when`, and events of then that belong to no incident; how many."""
        with self._transaction() as connection:
            flushes = upkeep.drop_history_before(connection, when)
        return flushes + self.drop_loose_events_before(when)

    def history_from(self, keep_share: float) -> datetime | None:
        """Before when history goes if this share of its bytes stays; None where that is not known."""
        with self._questions() as connection:
            return upkeep.history_from(connection, keep_share)

    def shorten_history(self, keep_share: float) -> None:
        """Keep the share of history that was recorded last, and of events that belong to no incident."""
        with self._transaction() as connection:
            excess = upkeep.shorten_history(connection, keep_share)
        Pruner(self._transaction).remove(at_most=excess, which="loose")

    def drop_loose_events_before(self, when: datetime) -> int:
        """Remove events before `when` that belong to no incident; how many."""
        return Pruner(self._transaction).remove(before=id_at(when), which="loose")

    def prune_events(self, *, max_events: int | None = None, before: datetime | None = None) -> int:
        """Remove the oldest events that no incident needs, beyond a number or before a time; how many."""
        remove = Pruner(self._transaction).remove
        count = 0 if before is None else remove(before=id_at(before, "before"), which="spare")
        return count + (0 if max_events is None else self.events.keep_newest(max_events, "spare"))

    def drop_abandoned(self) -> int:
        """Remove what killed captures left in the spool; bytes freed."""
        return upkeep.drop_abandoned(self.data_dir)

    def drop_set_aside(self, wanted_bytes: int) -> int:
        """Remove what was set aside for a person to look at, the oldest first; bytes freed."""
        with self._guarded(writes=False):
            return upkeep.drop_set_aside(self.data_dir, wanted_bytes)

    def drop_quarantine_before(self, when: datetime) -> int:
        """Remove quarantined files that were put there before `when`; bytes freed."""
        with self._guarded(proves=False):
            return upkeep.drop_quarantine_before(self.data_dir, when)

    # ----------------------------------------------------------------------------------- upkeep

    def compact(self) -> str | None:
        """Give free pages and the WAL's room back to the disk; None, or who keeps that from happening."""
        with self._guarded(), self._driver() as connection:
            return compacting.compact(connection, self.database)

    def vacuum(self) -> None:
        """Rewrite the database without its holes; the disk must have room for two more of it."""
        with self._guarded(), self._driver() as connection:
            compacting.vacuum(connection)
            compacting.fold(connection, self.database)

    def has_free_pages(self) -> bool:
        """Whether there are any that `compact` could not give back: only `vacuum` can."""
        with self._guarded(writes=False):
            return bool(self._pragma("freelist_count")[0])

    def optimize(self) -> None:
        """Let SQLite refresh what its query planner knows."""
        with self._guarded(proves=False):
            self._pragma("optimize")


def open_store(
    data_dir: Path,
    *,
    create: bool = True,
    open_artefacts: OpenArtefacts = open_folder,
    budget_bytes: int | None = None,
) -> SQLiteProfileStore:
    """Open the store in `data_dir`, made, migrated or rebuilt as needed; copies it sets aside fit the budget.

    When the disk is full, read-only or locked the store is given all the same, with `is_degraded` set,
    and recovers by itself at a later call. Raises PermissionDeniedError (not ours, or open to others),
    SchemaTooNewError, NotFoundError (none there and `create` is False).
    """
    store = SQLiteProfileStore(
        data_dir, create=create, open_artefacts=open_artefacts, budget_bytes=budget_bytes
    )
    try:
        store.migrate_if_needed()
    except SchemaTooNewError:
        raise
    except StorageError as error:
        get_logger().warning("store.degraded", reason=str(error))
    return store
