"""RetentionManager carries plans out on a store, and a jumping clock deletes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.errors import StorageError
from monitord.jobs import RetentionLimits, RetentionManager, Uptime
from monitord.jobs.clock_guard import STATE_KEY, read_uptime
from monitord.storage.artefacts.lifecycle import Stock
from tests.incident_rows import IncidentRow, happened_at, listed_stock
from tests.jobs.test_plan import STORES

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
LIMITS = RetentionLimits(max_total_bytes=1_000_000, min_free_disk_bytes=0, process_share=1.0)


Row = IncidentRow


@dataclass(frozen=True)
class Usage:
    database_bytes: int
    wal_bytes: int
    artefact_bytes: int
    free_disk_bytes: int
    disk_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.database_bytes + self.wal_bytes + self.artefact_bytes


class MemoryStore:
    """A store in memory: history points weigh 1,000 bytes each, and deleted pages come back at `compact`."""

    def __init__(self, rows: Collection[Row] = (), history: Collection[datetime] = ()) -> None:
        self.rows = {row.correlation_id: row for row in rows}
        self.history = sorted(history)
        self.state: dict[str, str] = {}
        self.wal_bytes = 0
        self.free_disk_bytes = 10**12
        self.database_bytes = 0
        self.compact()

    def incidents(
        self,
        usage: Usage,
        boots: Mapping[str, tuple[datetime, datetime]],
        now: datetime,
        stuck: Collection[str] = (),
    ) -> Stock:
        rows = [replace(row, raised_at=happened_at(row, boots, now)) for row in self.rows.values()]
        return listed_stock(rows, usage.total_bytes, usage.free_disk_bytes, stuck)

    def mend_incidents(self) -> None:
        """Nothing here can be damaged."""

    def incident_times(self) -> tuple[datetime, datetime] | None:
        times = sorted(row.raised_at for row in self.rows.values())
        return (times[len(times) // 2], times[-1]) if times else None

    def usage(self) -> Usage:
        held = sum(row.artefact_bytes for row in self.rows.values())
        return Usage(self.database_bytes, self.wal_bytes, held, self.free_disk_bytes)

    def drop_evidence(self, ids: Collection[str]) -> int:
        ids = [name for name in ids if name in self.rows]
        freed = sum(self.rows[name].artefact_bytes for name in ids)
        for name in ids:
            self.rows[name] = replace(self.rows[name], artefact_bytes=0, is_summary=True)
        return freed

    def delete_incidents(self, ids: Collection[str]) -> int:
        for name in ids:
            del self.rows[name]
        return len(ids)

    def drop_history_before(self, when: datetime) -> int:
        before = len(self.history)
        self.history = [taken_at for taken_at in self.history if taken_at >= when]
        return before - len(self.history)

    def history_from(self, keep_share: float) -> datetime | None:
        going = self.history[: math.ceil(len(self.history) * (1 - keep_share))]
        return going[-1] if going else None

    def shorten_history(self, keep_share: float) -> None:
        del self.history[: math.ceil(len(self.history) * (1 - keep_share))]

    def drop_loose_events_before(self, when: datetime) -> int:
        return 0

    def history_bytes(self) -> int:
        return 1000 * len(self.history)

    def drop_set_aside(self, wanted_bytes: int) -> int:
        return 0

    def compact(self) -> None:
        self.database_bytes = 2000 * len(self.rows) + 1000 * len(self.history)
        self.wal_bytes = 0

    def get_state(self, key: str) -> object:
        return json.loads(self.state[key]) if key in self.state else None

    def set_state(self, key: str, value: object) -> None:
        self.state[key] = json.dumps(value)


class Machine:
    """A machine whose wall clock can be set and whose uptime can't."""

    def __init__(self, store: MemoryStore, limits: RetentionLimits = LIMITS) -> None:
        self.store = store
        self.wall = NOW
        self.boot = Uptime("boot-1", 1000.0)
        self.manager = RetentionManager(store, limits, uptime=lambda: self.boot)

    def wait(self, **duration: float) -> None:
        passed = timedelta(**duration)
        self.wall += passed
        self.boot = replace(self.boot, boottime_s=self.boot.boottime_s + passed.total_seconds())

    def reboot(self) -> None:
        self.boot = Uptime(self.boot.boot_id + "+", 20.0)

    def purge(self, *, dry_run: bool = False):
        return self.manager.purge_expired(self.wall, dry_run=dry_run)


def hourly(count: int, **fields: object) -> list[Row]:
    return [Row(f"i{age:02}", NOW - timedelta(hours=age), **fields) for age in range(count)]  # type: ignore[arg-type]


def test_an_ordinary_pass_takes_what_is_older_than_72_hours_at_once() -> None:
    machine = Machine(MemoryStore(hourly(80)))
    report = machine.purge()
    assert report.postponed is None
    assert report.dropped_evidence == tuple(f"i{age}" for age in range(73, 80))
    assert report.freed_bytes == 7000


@pytest.mark.parametrize(
    "jump",
    [timedelta(hours=1), timedelta(hours=-1), timedelta(days=1), timedelta(days=3650)],
    ids=["+1h", "-1h", "+1d", "+10y"],
)
def test_a_clock_set_while_running_deletes_nothing_in_that_pass(jump: timedelta) -> None:
    store = MemoryStore(hourly(70), history=[NOW - timedelta(hours=age) for age in range(70)])
    machine = Machine(store)
    machine.purge()
    machine.wall += jump
    report = machine.purge()
    assert report.postponed
    assert report.freed_bytes == 0
    assert len(store.rows) == 70
    assert len(store.history) == 70


def test_1970_deletes_nothing_then_or_after_it_is_put_right() -> None:
    machine = Machine(MemoryStore(hourly(70)))
    machine.purge()
    right = machine.wall
    machine.wall = datetime(1970, 1, 1, tzinfo=UTC)
    assert "behind the newest incident" in str(machine.purge().postponed)
    machine.wall = right
    assert machine.purge().dropped_evidence == ()
    assert not any(row.is_summary for row in machine.store.rows.values())


@given(STORES)
def test_a_clock_behind_the_newest_incident_takes_nothing_by_age(rows: list[Row]) -> None:
    machine = Machine(MemoryStore(rows), replace(LIMITS, max_total_bytes=10**12))
    machine.wall = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    report = machine.purge()
    assert (report.evidence_count, report.incident_count) == (0, 0)
    assert (report.postponed is not None) is bool(rows)


def test_a_jump_that_is_put_right_within_the_wait_never_deletes_anything() -> None:
    machine = Machine(MemoryStore(hourly(70)))
    machine.purge()
    machine.wall += timedelta(days=3650)
    machine.purge()
    machine.wait(minutes=30)
    assert machine.purge().postponed
    machine.wall -= timedelta(days=3650)
    machine.wait(minutes=30)
    assert machine.purge().freed_bytes == 0
    machine.wait(hours=1)
    assert machine.purge().postponed is None
    assert not any(row.is_summary for row in machine.store.rows.values())


def test_more_than_half_goes_only_after_a_second_look_fifty_minutes_of_uptime_later() -> None:
    """The machine was off for a week: everything is old, and really so."""
    machine = Machine(MemoryStore(hourly(10)))
    machine.wall += timedelta(days=7)
    assert "second look" in str(machine.purge().postponed)
    machine.wait(minutes=49)
    assert "second look is due" in str(machine.purge().postponed)
    machine.wait(minutes=2)
    report = machine.purge()
    assert report.postponed is None
    assert len(report.dropped_evidence) == 10


@given(
    st.lists(
        st.tuples(
            st.integers(1, 90),  # minutes until the clock jumps
            st.sampled_from([-400_000, -24, -1, 1, 24, 90, 90_000]),  # by so many hours
            st.lists(st.integers(0, 12), max_size=4),  # minutes between passes while it is wrong
            st.lists(st.integers(0, 90), max_size=3),  # and after it is put right
        ),
        max_size=6,
    )
)
def test_no_jump_that_is_put_right_within_fifty_minutes_ever_deletes_anything(
    jumps: list[tuple[int, int, list[int], list[int]]],
) -> None:
    """Whatever the jumps, and whenever passes fall between them; all incidents are younger than 72 hours."""
    history = [NOW - timedelta(hours=age) for age in range(30)]
    machine = Machine(MemoryStore(hourly(30), history=history))
    machine.purge()
    for until, hours, wrong, right in jumps:
        machine.wait(minutes=until)
        machine.purge()
        machine.wall += timedelta(hours=hours)
        for minutes in wrong:
            machine.wait(minutes=minutes)
            machine.purge()
        machine.wall -= timedelta(hours=hours)
        for minutes in right:
            machine.wait(minutes=minutes)
            machine.purge()
    assert not any(row.is_summary for row in machine.store.rows.values())
    assert (len(machine.store.rows), len(machine.store.history)) == (30, 30)


def test_a_new_process_of_the_same_boot_inherits_the_wait_and_a_reboot_starts_it_anew() -> None:
    machine = Machine(MemoryStore(hourly(10)))
    machine.wall += timedelta(days=7)
    machine.purge()
    machine.wait(minutes=55)
    machine.reboot()
    assert machine.purge().postponed
    machine.wait(minutes=55)
    successor = RetentionManager(machine.store, LIMITS, uptime=lambda: machine.boot)
    assert len(successor.purge_expired(machine.wall).dropped_evidence) == 10


def test_history_alone_is_not_emptied_by_a_jump_over_a_restart() -> None:
    """Without incidents the time since the last pass tells how much of the history would go."""
    store = MemoryStore(history=[NOW - timedelta(hours=age) for age in range(72)])
    machine = Machine(store)
    machine.purge()
    machine.reboot()
    machine.wall += timedelta(days=3650)
    assert machine.purge().postponed
    assert len(store.history) == 72


def test_size_is_never_postponed() -> None:
    machine = Machine(MemoryStore(hourly(10, artefact_bytes=200_000)))
    machine.wall += timedelta(days=3650)
    report = machine.purge()
    assert report.postponed
    assert report.has_room
    assert machine.store.usage().total_bytes <= LIMITS.max_total_bytes
    assert set(report.reasons.values()) == {"budget"}


def test_a_fat_wal_is_folded_in_before_any_evidence_goes() -> None:
    machine = Machine(MemoryStore(hourly(3)))
    machine.store.wal_bytes = 2_000_000
    report = machine.purge()
    assert report.dropped_evidence == ()
    assert report.has_room


def test_history_is_cut_until_the_budget_holds_even_when_it_is_all_of_one_hour() -> None:
    points = [NOW - timedelta(seconds=index) for index in range(3000)]
    machine = Machine(MemoryStore(hourly(2), history=points))
    report = machine.purge()
    assert report.has_room
    assert machine.store.history
    assert len(machine.store.rows) == 2


def test_pinned_incidents_above_the_budget_stay_and_the_report_says_so() -> None:
    machine = Machine(MemoryStore(hourly(10, artefact_bytes=200_000, pinned=True)))
    report = machine.purge()
    assert not report.has_room
    assert "pinned" in report.summary()
    assert len(machine.store.rows) == 10
    assert not any(row.is_summary for row in machine.store.rows.values())


def test_a_dry_run_tells_what_would_go_and_touches_nothing() -> None:
    machine = Machine(MemoryStore(hourly(80)))
    foretold = machine.purge(dry_run=True)
    assert machine.store.state == {}
    assert len(machine.store.rows) == 80
    assert not any(row.is_summary for row in machine.store.rows.values())
    assert foretold.dropped_evidence == machine.purge().dropped_evidence


def test_make_room_frees_the_mildest_and_only_as_much_as_asked() -> None:
    rows = [Row(f"i{index}", NOW, severity=index, artefact_bytes=300_000) for index in range(3)]
    machine = Machine(MemoryStore(rows))
    report = machine.manager.make_room(300_000, NOW)
    assert report.has_room
    assert report.dropped_evidence == ("i0",)
    assert machine.manager.make_room(300_000, NOW).dropped_evidence == ()


def test_make_room_throws_nothing_away_for_what_cannot_fit() -> None:
    machine = Machine(MemoryStore(hourly(3, artefact_bytes=300_000)))
    report = machine.manager.make_room(2_000_000, NOW)
    assert not report.has_room
    assert report.dropped_evidence == ()


def test_make_room_heeds_the_floor_of_the_disk() -> None:
    machine = Machine(MemoryStore(hourly(3)), replace(LIMITS, min_free_disk_bytes=500))
    machine.store.free_disk_bytes = 600
    assert not machine.manager.make_room(50_000, NOW).has_room


@pytest.mark.parametrize(
    "state", [7, "x", {"last": 3, "asked": {"wall": "yesterday"}}, {"last": {"wall": "x"}}]
)
def test_unreadable_memory_counts_as_none(state: object) -> None:
    machine = Machine(MemoryStore(hourly(80)))
    machine.store.set_state(STATE_KEY, state)
    assert len(machine.purge().dropped_evidence) == 7


def test_the_real_uptime_moves_forward_within_one_boot() -> None:
    first, second = read_uptime(), read_uptime()
    assert first.boot_id == second.boot_id
    assert 0 < first.boottime_s <= second.boottime_s


class Stubborn(MemoryStore):
    """Some incidents can't go, each in its own words, or all in the same."""

    stuck: frozenset[str] = frozenset()
    says = "{name} can't be removed"
    tries = 0

    def drop_evidence(self, ids: Collection[str]) -> int:
        self.tries += 1
        for name in ids:
            if name in self.stuck:
                raise StorageError(self.says.format(name=name))
        return super().drop_evidence(ids)


def test_an_incident_that_can_not_go_is_told_and_others_go_in_its_place() -> None:
    """The budget holds all the same: the next worse ones are let go instead."""
    rows = [Row(f"i{number:02}", NOW, severity=number, artefact_bytes=60_000) for number in range(30)]
    machine = Machine(Stubborn(rows))
    machine.store.stuck = frozenset({"i00", "i02"})
    report = machine.purge()
    assert report.has_room
    assert report.failures == {"i00": "i00 can't be removed", "i02": "i02 can't be removed"}
    assert "2 could not go" in report.summary()
    assert report.dropped_evidence == ("i01", *(f"i{number:02}" for number in range(3, 17)))


def test_a_sick_store_is_said_at_once_and_not_taken_for_a_full_one() -> None:
    machine = Machine(Stubborn(hourly(30, artefact_bytes=60_000)))
    machine.store.stuck, machine.store.says = frozenset(machine.store.rows), "the database is locked"
    with pytest.raises(StorageError, match="locked"):
        machine.manager.make_room(100_000, NOW)
    assert machine.store.tries == 3


def test_a_full_disk_is_named_as_what_it_is() -> None:
    """Not the budget, of which hardly anything is used, and not what is pinned."""
    limits = replace(LIMITS, min_free_disk_bytes=200_000_000)
    machine = Machine(MemoryStore([Row("a", NOW, pinned=True)]), limits)
    machine.store.free_disk_bytes = 120_000_000
    report = machine.manager.make_room(1000, machine.wall)
    assert not report.has_room
    assert report.obstacle is not None
    assert report.obstacle.startswith("the disk has 120 MB free, and 200 MB must stay free")
    assert "retention.min_free_disk_mb" in report.obstacle
