"""Rates are made in one place, and a gap is never a spike. Made samples, no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.model import (
    DiskCounters,
    InterfaceCounters,
    Pressure,
    ProcessKey,
    ProcessSample,
    SystemSample,
)
from monitord.sampling.process_reader import ProcessReading
from monitord.sampling.rates import (
    LastTick,
    gap_between,
    per_second,
    process_rates,
    system_rates,
    unattributed_cpu_percent,
)

START = SystemSample(
    taken_at=datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
    monotonic_s=1000.0,
    boottime_s=1500.0,
    cpu_count=4,
    cpu_busy_s=800.0,
    memory_total_bytes=8 << 30,
    memory_available_bytes=4 << 30,
    swap_total_bytes=0,
    swap_used_bytes=0,
    load_1=0.5,
    load_5=0.5,
    load_15=0.5,
    disks=(DiskCounters("sda", 1000, 1000),),
    interfaces=(InterfaceCounters("eth0", 5000, 5000),),
    pressure=Pressure(1.0, 0.0, 0.0, 2.0, 1.0),
)
PROCESS = ProcessSample(ProcessKey(7, 70), 1, "worker", "R", 12.0, 1 << 20, 1, 0, 500, 500)
TICK = LastTick(2.0)


def after(
    seconds: float = 2.0, *, asleep: float = 0.0, clock_jump: float = 0.0, **changes: object
) -> SystemSample:
    """The sample `seconds` of waking time later, with a suspend or a clock jump in between."""
    later = replace(
        START,
        monotonic_s=START.monotonic_s + seconds,
        boottime_s=START.boottime_s + seconds + asleep,
        taken_at=START.taken_at + timedelta(seconds=seconds + asleep + clock_jump),
        cpu_busy_s=START.cpu_busy_s + seconds,
    )
    return replace(later, **changes)


def test_an_ordinary_interval_is_no_gap() -> None:
    assert gap_between(START, after(), 60.0) is None


def test_the_first_sample_gives_no_rate_at_all() -> None:
    assert gap_between(None, START, 60.0) == "first sample"
    rates = system_rates(None, START)
    assert rates.machine_percent == 0.0
    assert rates.disk_bytes_per_s == rates.network_bytes_per_s == rates.pressure_percent == {}
    seen = process_rates(ProcessReading(PROCESS), LastTick(0.0))
    assert seen.cpu_percent is None
    assert seen.disk_bytes_per_s is None


def test_suspend_is_a_gap_and_its_time_is_not_counted() -> None:
    resumed = after(2.0, asleep=36_000.0)
    assert gap_between(START, resumed, 60.0) == "suspend"
    assert system_rates(START, resumed).machine_percent == pytest.approx(25.0)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, 86_400.0, 10 * 365 * 86_400.0, -56 * 365 * 86_400.0, 2.0])
def test_a_wall_clock_jump_marks_a_gap_and_leaves_cpu_rates_alone(jump: float) -> None:
    jumped = after(2.0, clock_jump=jump)
    assert gap_between(START, jumped, 60.0) == "clock jump"
    assert system_rates(START, jumped).machine_percent == system_rates(START, after()).machine_percent


@pytest.mark.parametrize("slew", [0.001, -0.001, 0.5, -0.5])
def test_a_slewed_clock_is_no_jump(slew: float) -> None:
    assert gap_between(START, after(2.0, clock_jump=slew), 60.0) is None


def test_a_stopped_daemon_wakes_into_a_gap() -> None:
    assert gap_between(START, after(600.0), 60.0) == "interval too long"


def test_two_looks_at_once_say_nothing() -> None:
    assert gap_between(START, after(0.01), 60.0) == "interval too short"
    sighting = ProcessReading(replace(PROCESS, cpu_s=12.01), 12.0, 0.01)
    assert process_rates(sighting, LastTick(0.01)).cpu_percent is None


def test_a_machine_counter_that_runs_backwards_is_a_gap() -> None:
    back = after(2.0, cpu_busy_s=100.0)
    assert gap_between(START, back, 60.0) == "counters ran backwards"
    assert system_rates(START, back).machine_percent == 0.0


def test_a_process_counter_that_runs_backwards_has_no_rate() -> None:
    rates = process_rates(ProcessReading(PROCESS, 13.0, 2.0, 5000, 2.0), TICK)
    assert rates.cpu_percent is None
    assert rates.disk_bytes_per_s is None


def test_disks_and_interfaces_that_come_go_or_are_reset_are_no_spike() -> None:
    changed = after(
        disks=(DiskCounters("sda", 3000, 1000), DiskCounters("usb", 10**12, 0)),
        interfaces=(InterfaceCounters("eth0", 0, 10), InterfaceCounters("wg0", 10**12, 0)),
    )
    rates = system_rates(START, changed)
    assert rates.disk_bytes_per_s == {"sda": 1000.0}
    assert rates.network_bytes_per_s == {}
    assert system_rates(changed, replace(START, monotonic_s=1004.0)).network_bytes_per_s == {"eth0": 4995.0}


def test_pressure_is_the_share_of_the_interval() -> None:
    stalled = after(pressure=Pressure(2.0, 0.0, 0.0, 9.0, 1.0))
    shares = system_rates(START, stalled).pressure_percent
    assert shares["cpu_some"] == pytest.approx(50.0)
    assert shares["io_some"] == 100.0
    assert shares["memory_full"] == 0.0


def test_a_process_rate_is_percent_of_one_core_and_bytes_per_second() -> None:
    rates = process_rates(ProcessReading(PROCESS, 9.0, 2.0, 400, 2.0), TICK)
    assert rates.cpu_percent == pytest.approx(150.0)
    assert rates.disk_bytes_per_s == pytest.approx(300.0)


def test_a_spike_after_skipped_looks_is_not_thinned_out_by_them() -> None:
    """Ten quiet seconds unread, then 1.9 s of CPU in the last 2 s: 95 %, not 16 %."""
    tick = LastTick(2.0, cpu_s=2.0, cpu_level_percent=90.0)
    rates = process_rates(ProcessReading(PROCESS, 10.1, 12.0), tick)
    assert rates.cpu_percent == pytest.approx(95.0)


def test_a_steady_process_keeps_its_average_over_skipped_looks() -> None:
    """0.3 s in 14 s can't have broken 90 % in the last 2 s: then the average is the better number."""
    tick = LastTick(2.0, cpu_s=0.3, cpu_level_percent=90.0)
    rates = process_rates(ProcessReading(PROCESS, 11.7, 14.0), tick)
    assert rates.cpu_percent == pytest.approx(100 * 0.3 / 14.0)


def test_the_machine_bounds_what_is_assigned_to_the_last_interval() -> None:
    tick = LastTick(2.0, cpu_s=1.0, cpu_level_percent=90.0)
    assert process_rates(ProcessReading(PROCESS, 4.0, 14.0), tick).cpu_percent == pytest.approx(100 * 8 / 14)


def test_unattributed_cpu_is_what_no_process_accounts_for_and_never_negative() -> None:
    seen = [ProcessReading(PROCESS, cpu_used_s=1.0), ProcessReading(PROCESS, cpu_used_s=0.5)]
    assert unattributed_cpu_percent(2.5, 2.0, seen) == pytest.approx(50.0)
    assert unattributed_cpu_percent(1.0, 2.0, seen) == 0.0


@given(before=st.integers(0, 2**64), now=st.integers(0, 2**64), over=st.floats(-10, 1000))
def test_a_rate_is_never_negative_and_never_of_no_time(before: int, now: int, over: float) -> None:
    rate = per_second(before, now, over)
    assert rate is None or (rate >= 0 and over > 0 and now >= before)
