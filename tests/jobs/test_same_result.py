"""Retention asks SQL for totals and pages, and decides what it would with every incident in memory at once."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from monitord.jobs import RetentionLimits, RetentionManager, RetentionReport, Uptime
from monitord.jobs.clock_guard import BOOTS_KEY, Boots
from monitord.jobs.limits import PATIENCE, HistoryTrim
from monitord.jobs.plan import Round, Weights
from monitord.model import Incident
from monitord.storage import SQLiteProfileStore, Usage, open_store
from monitord.storage.artefacts.lifecycle import Stock
from monitord.storage.cells import text_cell, time_cell
from monitord.storage.tables import incident, profile_capture
from monitord.storage.usage import usage_of
from tests.fakes import a_capture, an_alert
from tests.incident_rows import IncidentRow, happened_at, listed_stock, stored_incidents

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
UPTIME = Uptime("boot-2", 40 * 3600.0)
AGES_H = (-30_000, -5, 0, 1, 1, 39, 50, 71, 72, 73, 73, 200, 719, 721, 17_520)


@dataclass(frozen=True)
class Case:
    """A store, what lies beside its rows, and what is wanted of it."""

    rows: tuple[IncidentRow, ...]
    boots: Mapping[str, tuple[datetime, datetime]]
    limits: RetentionLimits
    quarantine_bytes: int
    usage: Usage
    by_age: bool
    pressure: int
    history_bytes: int | None
    stuck: frozenset[str]


def rows_of(chance: random.Random) -> tuple[IncidentRow, ...]:
    made = []
    for number in range(chance.choice((0, 1, 2, chance.randint(3, 25)))):
        is_summary = chance.random() < 0.5
        made.append(
            IncidentRow(
                f"i{number:02}",
                NOW - timedelta(hours=chance.choice(AGES_H)),
                chance.choice([0.0, 1.0, 1.0, 1.5, 9.0]),
                chance.choice([False, False, True]),
                chance.randint(0, 900) if is_summary else chance.choice([0, 1, 1, 40_000, 300_000]),
                is_summary,
                chance.choice(["web", "db", "\udcff=cmd\n"]),
                chance.choice([None, "boot-1", "boot-2", "boot-9"]),
            )
        )
    return tuple(made)


def case_of(seed: int) -> Case:
    chance = random.Random(seed)
    made = rows_of(chance)
    quarantine = chance.choice([0, 0, 70_000])
    held = sum(row.artefact_bytes for row in made) + quarantine
    usage = Usage(
        database_bytes=chance.choice([50_000, 300_000, 900_000]),
        wal_bytes=chance.choice([0, 40_000]),
        artefact_bytes=held,
        free_disk_bytes=chance.choice([100_000, 10**12]),
    )
    limits = RetentionLimits(
        max_total_bytes=chance.choice([1, 300_000, 700_000, 10**9]),
        process_share=chance.choice([0.0, 0.3, 1.0]),
        min_free_disk_bytes=chance.choice([0, 300_000, 10**10]),
        summary_share=chance.choice([0.0, 0.02, 0.25]),
    )
    boots = {
        "boot-1": (
            NOW - timedelta(hours=chance.choice([160, 400])),
            NOW - timedelta(hours=chance.choice([45, 100])),
        ),
        "boot-2": (NOW - timedelta(hours=40), NOW),
    }
    keys = [f"{kind}/{row.correlation_id}" for row in made for kind in ("evidence", "summary")]
    stuck = frozenset(chance.sample(keys, min(len(keys), chance.randint(0, 3))))
    by_age, pressure = (chance.random() < 0.5), chance.choice([0, 1, PATIENCE])
    history_bytes = chance.choice([None, 0, 200_000])
    return Case(made, boots, limits, quarantine, usage, by_age, pressure, history_bytes, stuck)


# One number is drawn for each: to draw a case takes hypothesis far longer than to judge it.
CASES = st.integers(0, 2**64).map(case_of)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteProfileStore]:
    with closing(open_store(tmp_path_factory.mktemp("same") / "data")) as opened:
        opened.save_incident(Incident("0123456789ab", an_alert(), None, captures=(a_capture("profile"),)))
        yield opened


@pytest.fixture(scope="module")
def templates(store: SQLiteProfileStore) -> tuple[dict[str, object], dict[str, object]]:
    """A sound row of each table, from which others are made."""
    with store._transaction() as connection:
        found = [
            dict(connection.execute(select(table)).mappings().first() or {})
            for table in (incident, profile_capture)
        ]
    return found[0] | {"artefact_key": None}, found[1] | {"artefact_key": None}


def fill(
    store: SQLiteProfileStore,
    templates: tuple[dict[str, object], dict[str, object]],
    made: Sequence[IncidentRow],
) -> None:
    """Put these incidents in the place of all that the store holds; each has one capture without a file."""
    of_incident, of_capture = templates
    of_capture = {name: value for name, value in of_capture.items() if name != "id"}
    with store._transaction() as connection:
        for table in (profile_capture, incident):
            connection.execute(delete(table))
        for row in made:
            own_bytes = row.artefact_bytes // 3
            changed = {
                "correlation_id": row.correlation_id,
                "process_name": text_cell(row.process_name),
                "raised_at": time_cell(row.raised_at),
                "severity": row.severity,
                "pinned": int(row.pinned),
                "is_summary": int(row.is_summary),
                "boot_id": row.boot_id,
                "stored_bytes": own_bytes,
            }
            connection.execute(insert(incident).values({**of_incident, **changed}))
            captured = {"correlation_id": row.correlation_id, "stored_bytes": row.artefact_bytes - own_bytes}
            connection.execute(insert(profile_capture).values({**of_capture, **captured}))


# ---------------------------------------------------------------------------------------- one round


class AtOnce:
    """The reference: everything in memory, each policy one loop over it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rows = [replace(row, raised_at=happened_at(row, case.boots, NOW)) for row in case.rows]
        self.gone: dict[str, str] = {}
        self.total, self.free = case.usage.total_bytes, case.usage.free_disk_bytes

    def of(
        self, kind: str, *, bare: bool = False, movable: bool = True
    ) -> list[tuple[IncidentRow, str, int]]:
        """Row, key and bytes of what is there, the mild first."""
        found = []
        for row in sorted(self.rows, key=lambda row: (row.severity, row.raised_at, row.correlation_id)):
            key = f"{kind}/{row.correlation_id}"
            freed = row.artefact_bytes if row.is_summary == (kind == "summary") else 0
            is_there = not (kind == "evidence" and row.is_summary) and not (bare and not row.is_summary)
            may_go = not row.pinned and key not in self.case.stuck
            if is_there and key not in self.gone and (may_go or not movable):
                found.append((row, key, freed))
        return found

    def take(self, why: str, key: str, freed: int) -> None:
        self.gone[key] = why
        self.total, self.free = self.total - freed, self.free + freed

    def older(self, kind: str, age_s: float) -> None:
        for row, key, freed in self.of(kind):
            if NOW - row.raised_at > timedelta(seconds=age_s):
                self.take("age", key, freed)

    def quota(self, quota_bytes: int) -> None:
        held: defaultdict[str, int] = defaultdict(int)
        for row, _key, freed in self.of("evidence", movable=False):
            held[row.process_name] += freed
        if sum(size > 0 for size in held.values()) < 2:
            return
        for row, key, freed in self.of("evidence"):
            if freed and held[row.process_name] > quota_bytes:
                held[row.process_name] -= freed
                self.take("process quota", key, freed)

    def for_room(self, why: str, kind: str, wanted: int, row_bytes: int = 0, *, bare: bool = False) -> None:
        for _row, key, freed in self.of(kind, bare=bare):
            if wanted <= 0:
                return
            if freed + row_bytes:
                wanted -= freed + row_bytes
                self.take(why, key, freed)

    def bare_excess(self, row_bytes: int) -> int:
        limits = self.case.limits
        held = sum(freed + row_bytes for _row, _key, freed in self.of("summary", bare=True))
        share = int(limits.summary_share * limits.max_total_bytes)
        return max(0, min(held - share, self.total - limits.max_total_bytes))

    def judge(self) -> dict[str, str]:
        case, limits = self.case, self.case.limits
        weights = Weights.of(len(self.rows), case.usage, case.history_bytes)
        trim = HistoryTrim.of(
            weights.history_bytes, case.usage, limits, is_clock_trusted=case.by_age, pressure=case.pressure
        )
        budget = limits.max_total_bytes + trim.credit_bytes + self.bare_excess(weights.row_bytes)
        if case.by_age:
            self.older("summary", max(limits.max_age_s, limits.summary_age_s))
            self.older("evidence", limits.max_age_s)
        self.quota(int(limits.process_share * limits.max_total_bytes))
        excess = self.bare_excess(weights.row_bytes)
        self.for_room("budget", "summary", excess, weights.row_bytes, bare=True)
        self.for_room("budget", "evidence", self.total - budget)
        wanted = limits.floor_bytes(case.usage.disk_bytes) - self.free
        if wanted <= sum(freed for _row, _key, freed in self.of("evidence")):
            self.for_room("free disk", "evidence", wanted)
        if trim.pressure and not trim.credit_bytes:
            self.for_room("budget", "summary", self.total - budget, weights.row_bytes)
        return self.gone


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES)
def test_a_round_decides_what_it_would_with_every_incident_at_once(
    store: SQLiteProfileStore, templates: tuple[dict[str, object], dict[str, object]], case: Case
) -> None:
    """The same items go, each for the same reason, and their total is told right."""
    fill(store, templates, case.rows)
    stock = store.incidents(case.usage, case.boots, NOW, case.stuck)
    plan = Round(case.limits, NOW, case.by_age, case.pressure, case.history_bytes).plan(stock, case.usage)
    decided = {each.key: each.policy for step in plan.steps for each in step.decisions()}
    assert decided == AtOnce(case).judge()
    for step in plan.steps:
        sizes = [each.stored_bytes for each in step.decisions()]
        assert (len(sizes), sum(sizes)) == (step.tally.count, step.tally.stored_bytes)


# ------------------------------------------------------------------------------------- whole passes


class Remote(SQLiteProfileStore):
    """Artefacts lie elsewhere: they count as their rows say."""

    def usage(self) -> Usage:
        return usage_of(self.data_dir, is_remote=True)


class Listed(Remote):
    """The reference: every incident is loaded, and judged in memory."""

    def incidents(  # type: ignore[override]
        self,
        usage: Usage,
        boots: Mapping[str, tuple[datetime, datetime]],
        now: datetime,
        stuck: Collection[str] = (),
    ) -> Stock:
        found = [replace(row, raised_at=happened_at(row, boots, now)) for row in stored_incidents(self)]
        return listed_stock(found, usage.total_bytes, usage.free_disk_bytes, stuck)


def passed(opened: SQLiteProfileStore, case: Case) -> tuple[RetentionReport, list[IncidentRow]]:
    """An hourly pass, room made for what comes, and what is left then."""
    (opened.data_dir / "quarantine").mkdir(exist_ok=True)
    (opened.data_dir / "quarantine" / "damaged").write_bytes(bytes(case.quarantine_bytes))
    opened.set_state(BOOTS_KEY, Boots(case.boots).as_json())
    manager = RetentionManager(opened, case.limits, uptime=lambda: UPTIME)
    report = manager.purge_expired(NOW)
    room = manager.make_room(50_000, NOW)
    assert room.evidence_count == len(room.dropped_evidence)
    return replace(report, bytes_before=0, bytes_after=0), stored_incidents(opened)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES, budget=st.sampled_from([300_000, 700_000, 10**9]))
def test_passes_over_a_store_leave_what_they_would_with_every_incident_at_once(
    store: SQLiteProfileStore,
    templates: tuple[dict[str, object], dict[str, object]],
    tmp_path_factory: pytest.TempPathFactory,
    case: Case,
    budget: int,
) -> None:
    """Removed and kept, with reasons: also over several rounds, and for clocks that are in doubt."""
    fill(store, templates, case.rows)
    store.compact()
    store.close()
    case = replace(case, limits=replace(case.limits, max_total_bytes=budget, min_free_disk_bytes=0))
    results = []
    for kind in (Remote, Listed):
        folder = tmp_path_factory.mktemp("copy") / "data"
        shutil.copytree(store.data_dir, folder)
        with closing(kind(folder)) as opened:
            results.append(passed(opened, case))
    assert results[0] == results[1]


@pytest.mark.parametrize("budget", [10**9, 700_000])
def test_times_that_a_wrong_clock_told_and_what_is_pinned_count_as_they_do_at_once(
    store: SQLiteProfileStore, templates: tuple[dict[str, object], dict[str, object]], budget: int
) -> None:
    """From the future goes by when its boot was seen last; an old pinned one counts in its process's quota."""
    then = [NOW - timedelta(hours=hours) for hours in (-5, -30_000, 200, 1, 1, 17_520)]
    made = (
        IncidentRow("ahead", then[0], boot_id="boot-1", process_name="a"),
        IncidentRow("far-ahead", then[1], boot_id="boot-1", process_name="b"),
        IncidentRow("pinned", then[2], pinned=True, artefact_bytes=300_000, process_name="a"),
        IncidentRow("young", then[3], artefact_bytes=40_000, process_name="a"),
        IncidentRow("other", then[4], artefact_bytes=40_000, process_name="b"),
        IncidentRow("early", then[5], boot_id="boot-2", process_name="b"),
    )
    boots = {
        "boot-1": (NOW - timedelta(hours=400), NOW - timedelta(hours=100)),
        "boot-2": (NOW - timedelta(hours=40), NOW),
    }
    limits = RetentionLimits(max_total_bytes=budget, min_free_disk_bytes=0, process_share=0.3)
    usage = Usage(50_000, 0, 500_000, 10**12)
    case = Case(made, boots, limits, 0, usage, True, 0, None, frozenset())
    fill(store, templates, made)
    plan = Round(limits, NOW).plan(store.incidents(usage, boots, NOW), usage)
    decided = {each.key: each.policy for step in plan.steps for each in step.decisions()}
    for_room = {} if budget == 10**9 else {"evidence/young": "process quota"}
    assert decided == {"evidence/ahead": "age", "evidence/far-ahead": "age"} | for_room
    assert decided == AtOnce(case).judge()
