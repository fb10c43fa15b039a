"""The incidents as retention judges them: asked in SQL, so that however many there are, few are held.

Each incident is up to two items, because it goes in two steps: its *evidence* (big, deleted by making it a
summary), and its *summary* (small; deleting it removes the incident whole).
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
)

from monitord.storage.artefacts.lifecycle import KIND, PROCESS, RULE, Cut, Holders, Item, Tally
from monitord.storage.cells import MAX_BYTES, text_cell, text_of, time_cell, time_of
from monitord.storage.soundness import check_row
from monitord.storage.tables import incident, profile_capture
from monitord.storage.views import Usage

EVIDENCE, SUMMARY = "evidence", "summary"
BARE = "bare"  # the tag of a summary whose evidence went before
_FIRST_PAGE, _PAGE = 50, 200  # most questions need a few items
_SLACK = timedelta(seconds=120)  # what clocks drift apart within a boot without being wrong
_JUDGED = (
    *("correlation_id", "process_name", "raised_at", "severity", "pinned", "is_summary", "stored_bytes"),
    "state",
)

Condition = ColumnElement[bool]
Questions = Callable[[], AbstractContextManager[Connection]]
Boots = Mapping[str, tuple[datetime, datetime]]  # by id: when it began, and when it was seen last

_COLUMNS = incident.c
_ROWID = literal_column("incident.rowid", Integer)
_ACTIVE = _COLUMNS.state == "active"
_CAPTURED_BYTES = profile_capture.c.stored_bytes


def _sound(size: ColumnElement[int]) -> ColumnElement[int]:
    """A size, or 0 for one that nobody can have written."""
    return case((size.between(0, MAX_BYTES), size), else_=0)


_CAPTURED = (
    select(func.total(_sound(_CAPTURED_BYTES)))
    .where(profile_capture.c.correlation_id == _COLUMNS.correlation_id)
    .correlate(incident)
    .scalar_subquery()
)
_HELD = cast(_sound(_COLUMNS.stored_bytes) + _CAPTURED, Integer)
_FREED: Mapping[str, ColumnElement[int]] = {
    EVIDENCE: _HELD,
    SUMMARY: case((_COLUMNS.is_summary == 1, _HELD), else_=0),
}


@dataclass(frozen=True, slots=True)
class IncidentStock:
    """A StockView of the active incidents, without those that the cuts in `gone` cover.

    `known` holds for those that were there when it was made: what is saved meanwhile nobody judged.
    Items in `stuck` could not go before; they count as pinned, so that others go instead.
    """

    questions: Questions
    total_bytes: int
    free_disk_bytes: int | None
    happened_at: ColumnElement[str]
    known: Condition = _ACTIVE
    stuck: frozenset[str] = frozenset()
    gone: tuple[Cut, ...] = ()
    compiled: dict[Any, Any] = field(default_factory=dict, compare=False)  # statements, while it is asked

    def count(self, only: Mapping[str, str]) -> int:
        query = select(func.count()).select_from(incident).where(self._here(only))
        return int(self._rows(query)[0][0])

    def holders(self, tag: str, only: Mapping[str, str], above_bytes: int) -> Holders:
        """Only processes are told apart by what they hold."""
        if tag != PROCESS:
            raise ValueError(f"invalid tag {tag!r}: expected {PROCESS!r}")
        freed = _FREED[only[KIND]]
        held = select(_COLUMNS.process_name.label("name"), func.total(freed).label("bytes")).where(
            self._here(only), freed > 0
        )
        groups = held.group_by(_COLUMNS.process_name).subquery()
        count = self._rows(select(func.count()).select_from(groups))[0][0]
        above = self._rows(select(groups).where(groups.c.bytes > above_bytes)) if count > 1 else ()
        return Holders(count, {text_of(name): int(size) for name, size in above})

    def tally(self, cuts: Sequence[Cut]) -> Tally:
        if not cuts:
            return Tally(0, 0)
        freed = func.total(_FREED[cuts[0].only[KIND]])
        query = select(func.count(), freed).select_from(incident).where(self._going(cuts))
        count, size = self._rows(query)[0]
        return Tally(int(count), int(size))

    def select(self, cuts: Sequence[Cut]) -> Iterator[Item]:
        """Page by page; what is deleted meanwhile moves no page.

        Beyond the first page all are sorted once, of which only the rowids are held.
        """
        if not cuts:
            return
        kind, going = cuts[0].only[KIND], self._going(cuts)
        order = (_COLUMNS.severity, self.happened_at, _COLUMNS.correlation_id)
        query = (
            select(*order, _COLUMNS.process_name, _COLUMNS.rule, _FREED[kind]).where(going).order_by(*order)
        )
        page = self._rows(query.limit(_FIRST_PAGE))
        yield from _items(kind, page)
        if len(page) < _FIRST_PAGE:
            return
        rest = tuple_(*order) > tuple_(*page[-1][:3])
        rowids = self._rowids(select(_ROWID).where(going, rest).order_by(*order))
        for start in range(0, len(rowids), _PAGE):
            listed = _listed(rowids[start : start + _PAGE].tolist())
            yield from _items(kind, self._rows(query.where(_ROWID.in_(listed))))

    def excluding(self, cuts: Sequence[Cut]) -> IncidentStock:
        freed = self.tally(cuts).stored_bytes
        free = None if self.free_disk_bytes is None else self.free_disk_bytes + freed
        gone = (*self.gone, *cuts)
        return replace(self, total_bytes=self.total_bytes - freed, free_disk_bytes=free, gone=gone)

    def _rows(self, query: Any) -> Sequence[Any]:
        with self.questions() as connection:
            return connection.execution_options(compiled_cache=self.compiled).execute(query).all()

    def _rowids(self, query: Any) -> array[int]:
        with self.questions() as connection:
            streamed = connection.execution_options(compiled_cache=self.compiled, yield_per=_PAGE)
            return array("q", streamed.execute(query).scalars())

    def _here(self, only: Mapping[str, str]) -> Condition:
        """Active and known, of these tags, and not gone."""
        kind = only[KIND]
        gone = or_(false(), *(self._covered(cut) for cut in self.gone if cut.only[KIND] == kind))
        return and_(_ACTIVE, self.known, _tagged(only), not_(and_(gone, self._movable(kind))))

    def _going(self, cuts: Sequence[Cut]) -> Condition:
        kind = cuts[0].only[KIND]
        covered = or_(*(self._covered(cut) for cut in cuts))
        return and_(self._here({KIND: kind}), self._movable(kind), covered)

    def _movable(self, kind: str) -> Condition:
        stuck = [correlation_id_of(key) for key in self.stuck if key.startswith(f"{kind}/")]
        if not stuck:
            return _COLUMNS.pinned == 0
        return and_(_COLUMNS.pinned == 0, _COLUMNS.correlation_id.not_in(_listed(stuck)))

    def _covered(self, cut: Cut) -> Condition:
        """The same condition as `Cut.covers`."""
        parts = [_tagged(cut.only)]
        if cut.before is not None:
            parts.append(self.happened_at < time_cell(cut.before))
        if cut.up_to is not None:
            severity, moment, key = cut.up_to
            order = tuple_(_COLUMNS.severity, self.happened_at, _COLUMNS.correlation_id)
            parts.append(order <= tuple_(severity, time_cell(moment), correlation_id_of(key)))
        if cut.severity_from > -math.inf:
            parts.append(_COLUMNS.severity >= cut.severity_from)
        if cut.severity_below < math.inf:
            parts.append(_COLUMNS.severity < cut.severity_below)
        if cut.takes_room:
            parts.append(_FREED[cut.only[KIND]] > 0)
        return and_(*parts)


def _items(kind: str, page: Iterable[Any]) -> Iterator[Item]:
    for severity, moment, correlation_id, name, rule, freed in page:
        tags = {KIND: kind, PROCESS: text_of(name), RULE: text_of(rule)}
        yield Item(f"{kind}/{correlation_id}", freed, time_of(moment), severity, tags=tags)


def _listed(values: Sequence[Any]) -> Select[Any]:
    """These as a subquery: one parameter, however many they are."""
    return select(func.json_each(json.dumps(values)).table_valued("value").c.value)


def _tagged(only: Mapping[str, str]) -> Condition:
    parts: list[Condition] = [_COLUMNS.is_summary == 0] if only[KIND] == EVIDENCE else []
    if BARE in only:
        parts.append(_COLUMNS.is_summary == 1)
    if RULE in only:
        parts.append(_COLUMNS.rule == text_cell(only[RULE]))
    if PROCESS in only:
        parts.append(_COLUMNS.process_name == text_cell(only[PROCESS]))
    return and_(*parts) if parts else _ACTIVE


def is_summary(key: str) -> bool:
    """Whether this item's deletion takes the incident whole."""
    return key.startswith(f"{SUMMARY}/")


def correlation_id_of(key: str) -> str:
    """The incident that an item belongs to."""
    return key.partition("/")[2]


def check_incidents(connection: Connection) -> None:
    """Raise DamagedRowError when an incident, or the size of a capture, holds what can't be judged."""
    query = select(*(_COLUMNS[name] for name in _JUDGED)).where(_COLUMNS.state != "deleting")
    for row in connection.execution_options(yield_per=_PAGE).execute(query).mappings():
        check_row("incident", dict(row))
    odd = select(profile_capture.c.correlation_id, _CAPTURED_BYTES)
    for row in connection.execute(odd.where(not_(_CAPTURED_BYTES.between(0, MAX_BYTES)))).mappings():
        check_row("profile_capture", dict(row))


def incident_times(connection: Connection) -> tuple[datetime, datetime] | None:
    """The median and the newest of the times at which incidents were raised; None without any."""
    raised = _COLUMNS.raised_at
    count, newest = connection.execute(select(func.count(), func.max(raised)).where(_ACTIVE)).one()
    if not count:
        return None
    middle = select(raised).where(_ACTIVE).order_by(raised).offset(count // 2).limit(1)
    return time_of(connection.execute(middle).scalar_one()), time_of(newest)


def stock_of(
    questions: Questions, usage: Usage, boots: Boots, now: datetime, stuck: Collection[str]
) -> IncidentStock:
    """The stock of all incidents at `now`, within what the store takes in all."""
    with questions() as connection:
        moment, known = happened_at(connection, boots, now), _known(connection)
    return IncidentStock(questions, usage.total_bytes, usage.free_disk_bytes, moment, known, frozenset(stuck))


def _known(connection: Connection) -> Condition:
    """Those that are there now. A later one may get the rowid of one that went, but was raised later, too."""
    last = select(func.coalesce(func.max(_ROWID), 0)).select_from(incident)
    newest = select(func.coalesce(func.max(_COLUMNS.raised_at), ""))
    last_rowid, raised_at = (connection.execute(each).scalar_one() for each in (last, newest))
    return and_(last_rowid >= _ROWID, _COLUMNS.raised_at <= raised_at)


def happened_at(connection: Connection, boots: Boots, now: datetime) -> ColumnElement[str]:
    """When incidents happened although the clock was wrong: none can be older than its boot.

    One that was raised before its boot counts from the boot's start, one from the future from when its boot
    was seen last. Only boots that have such incidents stand in the expression.
    """
    boot, raised = _COLUMNS.boot_id, _COLUMNS.raised_at
    spans = select(boot, func.min(raised), func.max(raised)).where(_ACTIVE, boot.in_(boots)).group_by(boot)
    whens: list[tuple[Condition, Any]] = []
    for boot_id, first, last in connection.execute(spans):
        began, seen_last = boots[boot_id]
        if first < (early := time_cell(began - _SLACK)):
            whens.append((and_(boot == boot_id, raised < early), time_cell(began)))
        if last > (late := time_cell(now + _SLACK)):
            whens.append((and_(boot == boot_id, raised > late), func.min(raised, time_cell(seen_last))))
    return case(*whens, else_=raised) if whens else raised
