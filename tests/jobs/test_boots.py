"""Age is judged by boot and uptime too: a wrong clock deletes nothing, and stops nothing else from going."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.jobs.test_retention import NOW, Machine, MemoryStore, Row, hourly

YEARS = timedelta(days=730)


def boot_row(name: str, raised_at: datetime, boot_id: str = "boot-1") -> Row:
    return Row(name, raised_at, boot_id=boot_id)


@pytest.mark.parametrize("passes_before", [0, 1, 5])
def test_an_incident_of_this_boot_is_no_older_than_the_boot(passes_before: int) -> None:
    """A machine without a clock chip: the clock two years back, an incident, then the clock is right."""
    store = MemoryStore([boot_row("early", NOW - YEARS), *hourly(70)])
    machine = Machine(store)
    machine.wall -= YEARS
    for _ in range(passes_before):
        machine.purge()
        machine.wait(minutes=2)
    machine.wall += YEARS
    for _ in range(4):
        machine.wait(hours=1)
        machine.purge()
    assert not store.rows["early"].is_summary


def test_it_is_remembered_over_the_next_boot_and_goes_when_it_is_really_old() -> None:
    store = MemoryStore([boot_row("early", NOW - YEARS), *hourly(70)])
    machine = Machine(store)
    machine.purge()
    machine.reboot()
    machine.wait(hours=2)
    machine.purge()
    assert not store.rows["early"].is_summary
    for _ in range(80):
        machine.wait(hours=1)
        machine.purge()
    assert store.rows["early"].is_summary


def test_one_incident_from_the_future_stops_no_other_from_going() -> None:
    store = MemoryStore([boot_row("ahead", NOW + YEARS, boot_id="another"), *hourly(80)])
    report = Machine(store).purge()
    assert report.postponed is None
    assert report.dropped_evidence == tuple(f"i{age}" for age in range(73, 80))
    assert not store.rows["ahead"].is_summary


def test_one_from_the_future_of_this_boot_goes_when_its_time_has_come() -> None:
    store = MemoryStore([boot_row("ahead", NOW + YEARS), *hourly(70)])
    machine = Machine(store)
    machine.purge()
    machine.reboot()
    for _ in range(80):
        machine.wait(hours=1)
        machine.purge()
    assert store.rows["ahead"].is_summary
