"""Stores that grew to several times what they hold now: room goes back to the disk before any evidence does."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select

from monitord.errors import StorageError
from monitord.jobs import RetentionLimits, RetentionManager, vacuum_when_idle
from monitord.model import Incident, ProcessKey
from monitord.recorder.locks import CAPTURE_LOCK, DAEMON_LOCK, hold
from monitord.recorder.retention_store import Saving
from monitord.storage import SQLiteProfileStore, new_correlation_id, open_store
from monitord.storage.cells import time_cell
from monitord.storage.tables import incident as incident_table
from tests.fakes import START, a_capture, a_process, an_alert, some_rates
from tests.incident_rows import stored_incidents

BUDGET = 3_000_000
LIMITS = RetentionLimits(max_total_bytes=BUDGET, min_free_disk_bytes=0, process_share=1.0)
NOW = START + timedelta(hours=1)

READER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN")
held.execute("SELECT count(*) FROM incident").fetchall()
print("ready")
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    opened = open_store(tmp_path / "data")
    yield opened
    opened.close()


def incident(number: int, *, size: int = 30_000, severity: float = 1.0) -> Incident:
    alert = an_alert(raised_at=START + timedelta(seconds=number), severity=severity)
    return Incident(new_correlation_id(), alert, None, (), (a_capture(payload=os.urandom(size)),), "boot")


def grow(store: SQLiteProfileStore, size_bytes: int) -> None:
    """State of random bytes, and gone again: the database has that many free pages."""
    count = -(-size_bytes // 1_000_000)
    for number in range(count):
        store.set_state(f"ballast{number}", os.urandom(size_bytes // count).hex())
    for number in range(count):
        store.state.delete(None, f"ballast{number}")


def on_disk(store: SQLiteProfileStore) -> int:
    return sum(path.stat().st_size for path in store.data_dir.rglob("*") if path.is_file())


def with_evidence(store: SQLiteProfileStore) -> set[str]:
    return {row.correlation_id for row in stored_incidents(store) if not row.is_summary}


def test_every_free_page_goes_back_to_the_disk(store: SQLiteProfileStore) -> None:
    """Not one a call: what is left is what is used."""
    store.save_incident(incident(0))
    store.compact()
    lean = store.usage().database_bytes
    grow(store, 12_000_000)
    assert store.usage().database_bytes > 4 * lean
    assert store.compact() is None
    assert store.usage().database_bytes <= lean + 8192
    assert store.usage().wal_bytes == 0


@pytest.mark.parametrize("times", [2, 4, 10])
def test_a_store_that_grew_to_several_times_its_data_loses_no_evidence(
    store: SQLiteProfileStore, times: int
) -> None:
    made = [incident(number) for number in range(8)]
    for each in made:
        store.save_incident(each)
    grow(store, times * BUDGET)
    assert store.usage().total_bytes > BUDGET
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert report.has_room
    assert (report.dropped_evidence, report.deleted_incidents) == ((), ())
    assert on_disk(store) <= BUDGET
    assert with_evidence(store) == {each.correlation_id for each in made}


def test_vacuum_on_a_full_store_makes_the_file_small(store: SQLiteProfileStore) -> None:
    store.save_incident(incident(0))
    grow(store, 2 * BUDGET)
    outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=0)
    assert outcome.outcome == "ok"
    assert store.usage().database_bytes < 500_000


def test_a_database_made_without_auto_vacuum_becomes_small_by_vacuum_and_stays_so(
    store: SQLiteProfileStore,
) -> None:
    """Such a one comes from a hand-made copy; the next free pages go back like everybody's."""
    with store._driver() as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
    grow(store, BUDGET)
    assert store.compact() is None
    assert store.usage().database_bytes > BUDGET
    vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=0)
    grow(store, BUDGET)
    store.compact()
    assert store.usage().database_bytes < 500_000


def summaries(store: SQLiteProfileStore, size_bytes: int) -> int:
    """Fill the store with summaries as a month of alerts leaves them, up to this size; how many."""
    first = incident(0)
    store.save_incident(first)
    store.drop_evidence([first.correlation_id])
    engine = create_engine(f"sqlite:///{store.database}")
    with engine.begin() as connection:
        row = dict(connection.execute(select(incident_table)).mappings().one())
    row |= {"artefact_key": None, "stored_bytes": 0, "reason": "because " * 400}
    count = 0
    while store.compact() is None and store.usage().total_bytes < size_bytes:
        copies = [
            {
                **row,
                "correlation_id": f"copy{count + number:08}",
                "raised_at": time_cell(START - timedelta(days=9)),
            }
            for number in range(40)
        ]
        with engine.begin() as connection:
            connection.execute(insert(incident_table), copies)
        count += len(copies)
    engine.dispose()
    return count


@pytest.mark.parametrize("below", [0, 50_000, 200_000, 390_000, 450_000])
def test_a_store_full_of_old_summaries_takes_every_new_incident_with_its_evidence(
    store: SQLiteProfileStore, below: int
) -> None:
    """There is no dead zone below the budget: what nobody pinned gives way, and no fresh evidence does."""
    count = summaries(store, BUDGET - below)
    saving = Saving(store, LIMITS)
    made = [incident(number) for number in range(1, 11)]
    for each in made:
        saving.save(each)
        assert on_disk(store) <= BUDGET
    assert with_evidence(store) == {each.correlation_id for each in made}
    assert 0 < len(stored_incidents(store)) - len(made) < count


@pytest.fixture
def reader(store: SQLiteProfileStore, start: Callable[..., Popen[str]]) -> Callable[[], Popen[str]]:
    return lambda: start(READER, str(store.database))


def test_a_foreign_reader_costs_no_evidence_and_is_named(
    store: SQLiteProfileStore, reader: Callable[[], Popen[str]]
) -> None:
    """A backup tool reads for hours: history waits, incidents are kept, the budget holds, the reason is real."""
    saving = Saving(store, LIMITS)
    made = [incident(number) for number in range(8)]
    for each in made:
        saving.save(each)
    program = reader()
    refusals = []
    for number in range(100):
        try:
            saving.add_history(
                [some_rates(number, [a_process(key=ProcessKey(pid, 1)) for pid in range(1, 15)])]
            )
            store.set_state("detection.memory", os.urandom(8_000).hex())
        except StorageError as error:
            refusals.append(str(error))
            if len(refusals) == 8:
                break  # each waits for the reader: the answer is the same from here on
    assert on_disk(store) <= BUDGET
    assert with_evidence(store) == {each.correlation_id for each in made}
    assert refusals
    assert re.search(rf"another program \(pid {program.pid}, \w+\) keeps the database open", refusals[-1])
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert (report.dropped_evidence, report.deleted_incidents) == ((), ())
    fresh = incident(9, severity=5.0)
    saving.save(fresh)
    assert fresh.correlation_id in with_evidence(store)
    program.communicate("")
    assert RetentionManager(store, LIMITS).purge_expired(NOW).has_room
    assert store.usage().wal_bytes == 0


def test_what_was_set_aside_counts_and_goes_before_any_evidence(store: SQLiteProfileStore) -> None:
    made = [incident(number) for number in range(8)]
    for each in made:
        store.save_incident(each)
    for number in range(10):
        (store.data_dir / f"monitord.db.damaged-{number}").write_bytes(bytes(460_000))
    assert store.usage().total_bytes == on_disk(store)
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert report.has_room
    assert report.dropped_evidence == ()
    assert on_disk(store) <= BUDGET
    assert list(store.data_dir.glob("monitord.db.damaged-*")), "no more goes than must"


def test_a_disk_smaller_than_the_floor_keeps_a_tenth_of_itself_free(store: SQLiteProfileStore) -> None:
    """On a partition of 150 MB the default floor of 200 MB would refuse every incident."""
    limits = RetentionLimits()
    assert limits.floor_bytes(150_000_000) == 15_000_000
    assert limits.floor_bytes(10**12) == limits.min_free_disk_bytes
    assert limits.floor_bytes(0) == limits.min_free_disk_bytes


steps = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.integers(1_000, 300_000)),
        st.tuples(st.just("grow"), st.integers(10_000, 2 * BUDGET)),
        st.tuples(st.just("history"), st.integers(1, 5)),
        st.tuples(st.just("pin"), st.integers(0, 20)),
        st.tuples(st.just("unpin"), st.integers(0, 20)),
        st.tuples(st.just("delete"), st.integers(0, 20)),
        st.tuples(st.just("set aside"), st.integers(1, 900_000)),
        st.tuples(st.just("retention"), st.just(0)),
    ),
    min_size=5,
    max_size=16,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_any_history_of_growth_keeps_the_budget_and_takes_what_is_new(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """After every save and every pass: within the budget, and the incident is there unless pins fill it."""
    store = open_store(tmp_path_factory.mktemp("grown") / "data")
    saving, manager = Saving(store, LIMITS), RetentionManager(store, LIMITS)
    known: list[str] = []
    try:
        for number, (step, value) in enumerate(steps):
            if step == "save":
                each = incident(number, size=value)
                pinned = sum(row.artefact_bytes for row in stored_incidents(store) if row.pinned)
                try:
                    saving.save(each)
                    known.append(each.correlation_id)
                except StorageError:
                    assert pinned > BUDGET / 3, "only what is pinned refuses a new incident"
                assert on_disk(store) <= max(BUDGET, pinned + BUDGET / 2)
            elif step == "grow":
                grow(store, value)
            elif step == "history":
                saving.add_history(
                    [some_rates(number, [a_process(key=ProcessKey(pid, 1)) for pid in range(1, 9)])] * value
                )
            elif step in ("pin", "unpin", "delete") and known:
                chosen = known[value % len(known)]
                if chosen not in {row.correlation_id for row in stored_incidents(store)}:
                    continue
                store.delete_incident(chosen) if step == "delete" else store.pin(chosen, step == "pin")
            elif step == "set aside":
                (store.data_dir / f"monitord.db.damaged-{number}").write_bytes(bytes(value))
            elif step == "retention":
                report = manager.purge_expired(NOW)
                assert report.has_room == (on_disk(store) <= BUDGET)
                if not report.has_room:
                    assert "kept" in str(report.obstacle)
    finally:
        store.close()


def test_what_killed_captures_left_counts_and_goes_before_any_evidence(store: SQLiteProfileStore) -> None:
    """Nobody captures: it is in the way, and the hourly job removes it whether the store is full or not."""
    made = [incident(number) for number in range(8)]
    for each in made:
        store.save_incident(each)
    litter = store.data_dir / "spool" / "deadbeef"
    litter.mkdir(parents=True)
    (litter / "perf.data").write_bytes(bytes(2 * BUDGET))
    (store.data_dir / "spool" / "loose").write_bytes(bytes(1000))
    assert store.usage().total_bytes == on_disk(store)
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert (report.has_room, report.dropped_evidence) == (True, ())
    assert on_disk(store) <= BUDGET
    assert not list((store.data_dir / "spool").iterdir())
    litter.mkdir()
    store.settle()
    assert not litter.exists()


@pytest.mark.parametrize("lock", [DAEMON_LOCK, CAPTURE_LOCK])
def test_what_a_running_capture_writes_is_left_alone(store: SQLiteProfileStore, lock: str) -> None:
    """While somebody records or captures it may be theirs; what is a day old is nobody's even then."""
    fresh, old = store.data_dir / "spool" / "fresh", store.data_dir / "spool" / "old"
    for folder in (fresh, old):
        folder.mkdir(parents=True)
        (folder / "perf.data").write_bytes(bytes(1000))
    with hold(store.data_dir / lock, "somebody works"):
        usage = store.usage()
        assert usage.temporary_bytes == 2000
        assert usage.total_bytes == on_disk(store) - 2000
        assert store.drop_abandoned() == 0
    assert store.usage().total_bytes == on_disk(store)
    assert store.drop_abandoned() == 2000


def test_who_has_just_begun_to_record_loses_nothing(store: SQLiteProfileStore) -> None:
    """The lock is held a moment before its holder's pid stands in it."""
    fresh = store.data_dir / "spool" / "fresh"
    fresh.mkdir(parents=True)
    (fresh / "perf.data").write_bytes(bytes(1000))
    with (store.data_dir / DAEMON_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store.drop_abandoned() == 0
    assert store.drop_abandoned() == 1000


def test_however_often_a_database_is_damaged_what_is_set_aside_is_bounded(store: SQLiteProfileStore) -> None:
    """At once, not at the next retention: at most three copies, and no more than the budget has room for."""
    made = [incident(number) for number in range(6)]
    for each in made:
        store.save_incident(each)
    store.close()
    sizes = []
    for number in range(6):
        with (store.data_dir / "monitord.db").open("r+b") as database:
            database.seek(4096 * (number + 2))
            database.write(os.urandom(4096))
        budget = BUDGET if number < 4 else 700_000
        again = open_store(store.data_dir, budget_bytes=budget)
        again.adopt()
        assert len(list(store.data_dir.glob("monitord.db.damaged-*Z"))) <= 3
        assert on_disk(again) <= budget
        sizes.append(len(list(store.data_dir.glob("monitord.db.damaged-*Z"))))
        assert with_evidence(again) == {each.correlation_id for each in made}
        again.close()
    assert max(sizes) == 3, "copies are kept for a person to look at while there is room"


def test_the_weekly_rebuild_keeps_to_the_budget(store: SQLiteProfileStore) -> None:
    """Its copies would lie beside a full store; by hand it is done, and where free pages need it."""
    store.set_state("ballast", os.urandom(BUDGET // 6).hex())
    outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=0, max_total_bytes=BUDGET)
    assert "rebuilt the database" in outcome.detail
    store.set_state("more", os.urandom(BUDGET // 6).hex())
    outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=0, max_total_bytes=BUDGET)
    assert "over its budget" in outcome.detail
    with store._driver() as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
    store.state.delete(None, "more")
    outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=0, max_total_bytes=BUDGET)
    assert "rebuilt the database" in outcome.detail


def test_once_something_must_go_room_is_left_for_what_is_written_next(store: SQLiteProfileStore) -> None:
    """Events and state are written without asking for room; a store within its budget loses nothing for it."""
    made = [incident(number) for number in range(20)]
    for each in made:
        store.save_incident(each)
    store.compact()
    total = store.usage().total_bytes
    within = replace(LIMITS, max_total_bytes=total + 60_000)
    assert RetentionManager(store, within, reserve_bytes=100_000).purge_expired(NOW).dropped_evidence == ()
    above = replace(LIMITS, max_total_bytes=total - 1000)
    report = RetentionManager(store, above, reserve_bytes=100_000).purge_expired(NOW)
    assert report.has_room
    assert store.usage().total_bytes <= total - 101_000
