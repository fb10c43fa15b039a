"""Questions to the store: read-only, through sqlite3, so that asking starts fast and disturbs nobody.

Never imports SQLAlchemy. Each answer takes at most two statements (`incident`: five), and no
read transaction lives longer than its query, so the WAL can always be folded back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.model import ProfileRecord, Rates, short_id
from monitord.storage.answers import incident_view, is_baseline
from monitord.storage.artefact_store import OpenArtefacts, open_folder
from monitord.storage.artefacts import StorageMetadata, is_key
from monitord.storage.asking import (
    CAUSE,
    PAGE,
    AlikeQuestions,
    OnDamage,
    ignore_damage,
    incident_conditions,
)
from monitord.storage.baselines import baseline_id
from monitord.storage.cells import MENDED_BY, Row, read_cells, read_row, text_cell, time_cell
from monitord.storage.events.identity import time_of_id
from monitord.storage.faults import DamagedError
from monitord.storage.hot import hot_function, hot_statement
from monitord.storage.ids import is_id_prefix
from monitord.storage.records import (
    OF_THE_INCIDENT,
    IncidentRecords,
    StoredCapture,
    StoredIncident,
    profile_record,
)
from monitord.storage.schema import ARTEFACTS_NAME
from monitord.storage.state import NamespacedStorage, Storage
from monitord.storage.state.readonly import ReadOnlyBackend
from monitord.storage.thinning import unpack
from monitord.storage.views import (
    BaselineView,
    Counts,
    HotFilter,
    HotFunction,
    IncidentView,
    Note,
    RecentFilter,
    RuleTally,
    StoredTallies,
)

if TYPE_CHECKING:
    from monitord.storage.history_columns import HistoryColumns

__all__ = ["RecentFilter", "RecentProfilesViewModel", "StoreReader"]

_COLUMNS = (
    "SELECT c.*, i.rule, i.severity, i.pinned, i.raised_at, i.reason, "
    "CASE WHEN json_valid(CAST(i.hotspots AS TEXT)) "
    "THEN json_extract(CAST(i.hotspots AS TEXT), '$[0].function') END AS hottest_function, "
    f"{CAUSE} AS cause "
)
_ON = " ON i.correlation_id = c.correlation_id"
_RECORD = f"{_COLUMNS}FROM profile_capture c JOIN incident i{_ON}"
# CROSS keeps the order: the index of `raised_at` gives the newest first; who follows needs only the new rows.
_NEWEST = f"FROM incident i CROSS JOIN profile_capture c{_ON}"
_AFTER = f"FROM profile_capture c CROSS JOIN incident i{_ON}"
_INCIDENT = (
    "SELECT *, ({notes}) AS annotations, ({repeats}) AS repeats "
    "FROM incident i WHERE correlation_id = ? AND state = 'active'"
)
_REPEATS = (
    "SELECT count(*) FROM event WHERE correlation_id = i.correlation_id AND event_type = 8 AND event_type > 0"
)
_NOTES = (
    "SELECT json_group_array(json_array(e.id, CAST(e.payload AS TEXT))) FROM (SELECT id, payload FROM event "
    "WHERE correlation_id = i.correlation_id AND event_type = 4 AND event_type > 0 ORDER BY id) e"
)
_NEWEST_FIRST = " ORDER BY i.raised_at DESC, c.id DESC"
_CANDIDATES_SHOWN = 5


class StoreReader(AlikeQuestions):
    """Reads one data directory; NotFoundError when there is nothing, StorageError when it can't be read.

    Opens at the first question. May be used by one thread at a time. Rows that are damaged are left out of
    lists, and `on_damage` is told in words that name the cure; asked for by name they raise DamagedRowError.
    """

    def __init__(
        self,
        data_dir: Path,
        open_artefacts: OpenArtefacts = open_folder,
        on_damage: OnDamage = ignore_damage,
    ) -> None:
        super().__init__(data_dir, on_damage)
        self._open_artefacts = open_artefacts

    def recent(self, wanted: RecentFilter | None = None) -> list[ProfileRecord]:
        """Return each incident's leading row, newest first."""
        return list(self.each_recent(wanted))

    def each_recent(self, wanted: RecentFilter | None = None) -> Iterator[ProfileRecord]:
        """Yield what `recent` returns, one after the other, to be written out as they come."""
        wanted = wanted or RecentFilter()
        conditions, values = incident_conditions(wanted)
        limit = -1 if wanted.limit is None else wanted.limit
        source = _NEWEST if wanted.after_id is None else _AFTER
        chosen = f"{source} WHERE {conditions}{_NEWEST_FIRST} LIMIT :limit"
        values["limit"] = limit
        if 0 <= limit <= PAGE:
            rows: Iterable[Row] = self._all(_COLUMNS + chosen, values)
        else:
            records = f"{_RECORD} WHERE c.id IN ({{ids}})"
            rows = self._in_pages(f"SELECT c.id {chosen}", values, records)
        yield from self._sound(rows, self._record, "incidents")

    def newest_id(self) -> int:
        """Return the highest id of a row so far, 0 when there is none: what `after_id` may begin with."""
        return int(self._all("SELECT coalesce(max(id), 0) AS id FROM profile_capture", [])[0]["id"])

    def _record(self, row: Row) -> ProfileRecord:
        capture = read_row(StoredCapture, row)
        of_incident = read_cells(StoredIncident, {name: row[name] for name in OF_THE_INCIDENT})
        found = {name: row[name] for name in ("hottest_function", "cause") if isinstance(row[name], str)}
        return profile_record(capture, {**of_incident, **found}, self.data_dir)

    def find(self, text: str) -> ProfileRecord:
        """The row with this id, or the leading row of the incident whose id begins so.

        Raises NotFoundError, or UsageError naming the candidates when several begin so.
        """
        text = text.strip()
        if text.isascii() and text.isdigit() and len(text) < 19:
            rows = self._all(f"{_RECORD} WHERE c.id = ? AND c.state <> 'deleting'", [int(text)])
        elif is_id_prefix(text):
            # The ids' characters all sort below '~': a range, so that the primary key finds it.
            sql = f"{_RECORD} WHERE c.is_leading = 1 AND i.correlation_id >= ? AND i.correlation_id < ?"
            rows = self._all(f"{sql} AND i.state = 'active' LIMIT 50", [text, text + "~"])
        else:
            rows = []
        if not rows:
            raise NotFoundError(f"cannot find incident {text!r}; `monitord recent` lists what there is")
        if len(rows) > 1:
            raise UsageError(_ambiguous(text, rows))
        with self._understood():
            return self._record(rows[0])

    def incident(self, correlation_id: str) -> IncidentView:
        """Return everything kept of one incident, by its whole id."""
        rows = self._all(_INCIDENT.format(notes=_NOTES, repeats=_REPEATS), [correlation_id])
        captures = self._all(
            "SELECT * FROM profile_capture WHERE correlation_id = ? AND state <> 'deleting' "
            "ORDER BY captured_at, id",
            [correlation_id],
        )
        if not rows or not captures:
            raise NotFoundError(
                f"cannot find incident {correlation_id!r}; `monitord recent` lists what there is"
            )
        incident = read_row(StoredIncident, rows[0])
        sound = tuple(self._sound(captures, partial(read_row, StoredCapture), "captures"))
        if not sound:
            read_row(StoredCapture, captures[0])  # says what is wrong with it
        with self._understood():
            notes = tuple(self._sound(json.loads(rows[0]["annotations"]), _note, "notes"))
            view = incident_view(IncidentRecords(incident, sound, notes), self.data_dir)
        return replace(view, repeat_count=rows[0]["repeats"], baseline=self._baseline(view))

    def _baseline(self, view: IncidentView) -> BaselineView | None:
        """What is kept of the program's baseline; of a baseline there is none."""
        programs = ((record.notes or {}).get("program") for record in view.captures)
        program = next((each for each in programs if each and isinstance(each, str)), None)
        if program is None or is_baseline(view):
            return None
        rows = self._all(
            "SELECT correlation_id, raised_at, hotspots FROM incident WHERE correlation_id = ? "
            "AND state = 'active'",
            [baseline_id(self.storage, program) or ""],
        )
        return next(self._sound(rows, _baseline_view, "baselines"), None)

    def incidents_of(self, process: str) -> frozenset[str]:
        """The incidents of processes that are called so: a part of the name, or a shell pattern."""
        rows = self._all(
            "SELECT DISTINCT correlation_id FROM profile_capture "
            "WHERE matches(?, CAST(process_name AS BLOB), CAST(command_line AS BLOB))",
            [text_cell(process)],
        )
        return frozenset(str(row["correlation_id"]) for row in rows)

    def has_incident(self, correlation_id: str) -> bool:
        """Whether an incident is there, damaged or not."""
        sql = "SELECT 1 FROM incident WHERE correlation_id = ? AND state <> 'deleting'"
        return bool(self._all(sql, [correlation_id]))

    def has_evidence(self, correlation_id: str) -> bool:
        """Whether an incident is there and more than a summary."""
        sql = "SELECT 1 FROM incident WHERE correlation_id = ? AND state = 'active' AND is_summary = 0"
        return bool(self._all(sql, [correlation_id]))

    def hot(self, wanted: HotFilter) -> list[HotFunction]:
        """Functions by how much time they took across captures, the hottest first."""
        try:
            rows = self._fetched(*hot_statement(wanted))
        except DamagedError:  # a payload that is not JSON hides all others: leave such ones out
            rows = self._fetched(*hot_statement(wanted, checked=True))
            self._on_damage(f"damaged events were left out; {MENDED_BY}")
        return list(self._sound(rows, hot_function, "hot functions"))

    def artefact(self, key: str, limit_bytes: int | None = None) -> tuple[StorageMetadata, bytes]:
        """Return an artefact's metadata and plain payload, checked; StorageError when it is missing or
        damaged.

        It never holds more bytes than its metadata promise, and one of more than `limit_bytes` is not read.
        """
        artefact_store = self._open_artefacts(self.data_dir / ARTEFACTS_NAME, create=False)
        try:
            metadata, chunks = artefact_store.artefacts.provider.retrieve(key)
            if limit_bytes is not None and metadata.size > limit_bytes:
                raise StorageError(
                    f"cannot read artefact {key}: {metadata.size:,} bytes, at most {limit_bytes:,} are read"
                )
            return metadata, b"".join(chunks)
        finally:
            artefact_store.close()

    def owner(self, key: str) -> tuple[str, int | None] | None:
        """Whose artefact it is: the incident's id, and the row's where it is a capture; None: nobody's."""
        rows = self._all("SELECT correlation_id, id FROM profile_capture WHERE artefact_key = ?", [key])
        rows += self._all("SELECT correlation_id, NULL AS id FROM incident WHERE artefact_key = ?", [key])
        return (str(rows[0]["correlation_id"]), rows[0]["id"]) if rows else None

    def artefact_keys(self) -> frozenset[str]:
        """Return the keys of all artefacts that a row names."""
        rows = self._all(
            "SELECT artefact_key FROM profile_capture WHERE artefact_key IS NOT NULL"
            " UNION SELECT artefact_key FROM incident WHERE artefact_key IS NOT NULL",
            [],
        )
        return frozenset(key for row in rows if is_key(key := row["artefact_key"]))

    def payload(self, key: str, limit_bytes: int) -> bytes:
        """Return an artefact's plain payload alone; StorageError as for `artefact`."""
        return self.artefact(key, limit_bytes)[1]

    def history(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Rates]:
        """The thinned passes taken in [since, until) that looked at processes, oldest first."""
        lower = time_cell(since) if since else ""
        upper = time_cell(until) if until else "~"
        ids = "SELECT id FROM history WHERE taken_until >= ? AND taken_from < ? ORDER BY taken_from, id"
        rows = self._in_pages(ids, [lower, upper], "SELECT id, rates FROM history WHERE id IN ({ids})")
        for passes in self._sound(rows, lambda row: unpack(row["rates"], every=False), "history"):
            for rates in passes:
                if (since is None or rates.taken_at >= since) and (until is None or rates.taken_at < until):
                    yield rates

    def history_columns(self, since: datetime, until: datetime) -> Iterator[HistoryColumns]:
        """Yield the rows of history that reach into [since, until) as columns of the machine's values."""
        from monitord.storage.history_columns import columns_of  # nothing that the recorder asks

        ids = "SELECT id FROM history WHERE taken_until >= ? AND taken_from < ? ORDER BY taken_from, id"
        cells = [time_cell(since), time_cell(until)]
        rows = self._in_pages(ids, cells, "SELECT id, rates FROM history WHERE id IN ({ids})")
        yield from self._sound(rows, lambda row: columns_of(row["rates"]), "history")

    def history_span(self) -> tuple[datetime, datetime] | None:
        """Return when the first and the last thinned pass were taken; None without any."""
        from monitord.storage.tallies import SPAN, span_of_history  # nothing that the recorder asks

        return next(self._sound(self._all(SPAN, []), span_of_history, "history"), None)

    def incidents_by_rule(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> list[RuleTally]:
        """Count what each rule made in [since, until), those with most first."""
        from monitord.storage.tallies import by_rule_statement, tally_of  # nothing that the recorder asks

        return list(self._sound(self._all(*by_rule_statement(since, until)), tally_of, "rules"))

    def tallies(self) -> StoredTallies:
        """Count the incidents by rule and cause and the captures by outcome, with each rule's newest."""
        from monitord.storage import tallies  # nothing that the recorder asks

        return StoredTallies(
            tuple(self._sound(self._all(tallies.BY_CAUSE, []), tallies.cause_tally_of, "rules")),
            tuple(self._sound(self._all(tallies.BY_OUTCOME, []), tallies.outcome_tally_of, "captures")),
            tuple(self._sound(self._all(tallies.NEWEST, []), tallies.newest_of, "rules")),
        )

    @property
    def storage(self) -> Storage:
        """The small state by namespace, to be read: a change raises StateUnavailableError."""
        return NamespacedStorage(ReadOnlyBackend(self._all))

    def state(self, key: str) -> Any:
        """Return what `set_state` kept under this key, or None."""
        item = self.storage.get(key)
        with self._understood():
            return json.loads(item.data) if item else None

    def counts(self) -> Counts:
        """How much is stored."""
        row = self._all(
            "SELECT count(*) AS incidents, coalesce(sum(pinned = 1), 0) AS pinned, "
            "coalesce(sum(is_summary = 1), 0) AS summaries, "
            "(SELECT count(*) FROM profile_capture) AS captures, "
            "(SELECT count(*) FROM history) AS history_rows, "
            "(SELECT correlation_id FROM incident "
            "WHERE NOT (rule = 'baseline' AND trigger_metric = 'manual') "
            "ORDER BY raised_at DESC LIMIT 1) AS last_incident_id "
            "FROM incident",
            [],
        )[0]
        return Counts(**row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class RecentProfilesViewModel:
    """The last anomalies under a filter, as a screen shows them; follows what is added."""

    def __init__(self, reader: StoreReader, wanted: RecentFilter | None = None) -> None:
        self.reader = reader
        self.wanted = wanted or RecentFilter()
        self.rows: list[ProfileRecord] = []
        self._cursor = 0

    def refresh(self) -> list[ProfileRecord]:
        """Read again: the newest first."""
        self._cursor = self.reader.newest_id()  # asked first: what comes in between is not lost
        self.rows = self.reader.recent(self.wanted)
        self._move_cursor(self.rows)
        return self.rows

    def follow(self) -> list[ProfileRecord]:
        """What was stored since the last look, oldest first; it is put before `rows` as well."""
        fresh = self.reader.recent(replace(self.wanted, after_id=self._cursor, limit=None))
        self._move_cursor(fresh)
        known = {record.correlation_id for record in fresh}
        self.rows = fresh + [record for record in self.rows if record.correlation_id not in known]
        if self.wanted.limit is not None:
            del self.rows[self.wanted.limit :]
        return fresh[::-1]

    def _move_cursor(self, records: Sequence[ProfileRecord]) -> None:
        self._cursor = max([self._cursor, *(record.id or 0 for record in records)])


def _baseline_view(row: Row) -> BaselineView:
    held = read_cells(StoredIncident, row)
    return BaselineView(held["correlation_id"], held["raised_at"], held["hotspots"])


def _note(row: Sequence[Any]) -> Note:
    said = json.loads(row[1])["text"]
    if not isinstance(said, str):
        raise TypeError("a note without its text")
    return Note(time_of_id(row[0]), said)


def _ambiguous(text: str, rows: Sequence[Row]) -> str:
    ids = [row["correlation_id"] for row in rows]
    names = ids if len({short_id(each) for each in ids}) < len(ids) else [short_id(each) for each in ids]
    shown = ", ".join(names[:_CANDIDATES_SHOWN])
    more = f" and {len(rows) - _CANDIDATES_SHOWN} more" if len(rows) > _CANDIDATES_SHOWN else ""
    return f"{text!r} is the beginning of several incidents: {shown}{more}"
