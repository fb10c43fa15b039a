"""A pass is left out only when the totals prove that nothing can have happened: the proof, with made totals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.model import Demand, ProcessKey, ProcessSample
from monitord.sampling.bounds import CPU_MARGIN_S, UNREAD_SHARE, Bounds, Need, Totals
from monitord.sampling.process_reader import ProcessReading
from monitord.sampling.rates import LastTick, process_rates
from monitord.sampling.system import has_network_mount, parse_pressure, parse_stat, storage_bytes

QUIET = Totals(
    monotonic_s=100.0, cpu_count=2, idle_s=190.0, busy_s=10.0, mapped_bytes=1 << 30, storage_bytes=0
)
PROCESS = ProcessSample(ProcessKey(7, 70), 1, "worker", "R", 0.0, 1 << 20, 1)
DEMAND = Demand(cpu_percent=90.0, rss_bytes=4 << 30, disk_bytes_per_s=50e6)


def later(
    before: Totals, over_s: float = 2.0, *, used_s: float = 0.0, moved: int = 0, **changes: int
) -> Totals:
    """`over_s` later, with `used_s` of CPU that the tick counters did not see (a process that dodges ticks)."""
    return replace(
        before,
        monotonic_s=before.monotonic_s + over_s,
        idle_s=before.idle_s + over_s * before.cpu_count - used_s,
        storage_bytes=None if before.storage_bytes is None else before.storage_bytes + moved,
        **changes,
    )


def judge_after(totals: Totals, demand: Demand = DEMAND) -> Need:
    bounds = Bounds()
    bounds.judge(QUIET, demand)
    return bounds.judge(totals, demand)


def test_a_quiet_machine_needs_no_pass() -> None:
    assert not judge_after(later(QUIET)).any


def test_without_an_earlier_look_or_without_totals_everything_matters() -> None:
    bounds = Bounds()
    assert bounds.judge(QUIET, DEMAND).any
    assert bounds.judge(None, DEMAND).any
    assert bounds.judge(QUIET, DEMAND).any


def test_cpu_that_the_tick_counters_missed_still_counts() -> None:
    """The busy counter stands still here; only the idle clock shows the 1.9 s."""
    assert judge_after(later(QUIET, used_s=1.9)).cpu


def test_busy_ticks_count_where_the_idle_clock_is_coarse() -> None:
    assert judge_after(replace(later(QUIET), busy_s=QUIET.busy_s + 1.9)).cpu


def test_a_core_that_comes_or_goes_forces_a_pass() -> None:
    assert judge_after(later(QUIET, cpu_count=4)).any


def test_small_uses_add_up_until_a_pass_is_made() -> None:
    bounds, totals = Bounds(), QUIET
    bounds.judge(totals, DEMAND)
    needed = []
    for _ in range(6):
        totals = later(totals, used_s=0.11)
        needed.append(bounds.judge(totals, DEMAND).cpu)
    assert needed == [False, False, False, True, True, True]
    bounds.all_was_read(with_io=True)
    assert not bounds.judge(later(totals, used_s=0.11), DEMAND).cpu


def test_memory_totals_below_the_level_rule_out_every_process() -> None:
    assert not judge_after(later(QUIET, mapped_bytes=3 << 30)).rss
    assert judge_after(later(QUIET, mapped_bytes=4 << 30)).rss


def test_storage_totals_below_the_level_rule_out_every_process() -> None:
    assert not judge_after(later(QUIET, moved=1 << 20)).io
    assert judge_after(later(QUIET, moved=100_000_000)).io


def test_a_network_mount_leaves_storage_unbounded() -> None:
    unbounded = replace(later(QUIET), storage_bytes=None)
    assert judge_after(unbounded).io
    assert not judge_after(unbounded, replace(DEMAND, disk_bytes_per_s=None)).io


def test_nothing_matters_when_nobody_asks() -> None:
    assert not judge_after(later(QUIET, used_s=4.0, moved=10**9, mapped_bytes=10**12), Demand()).any


@given(
    uses=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=20),
    share=st.floats(0.0, 1.0),
    level=st.floats(1.0, 200.0),
)
def test_whatever_one_process_does_a_broken_level_is_reported_in_its_interval(
    uses: list[float], share: float, level: float
) -> None:
    """A process takes `share` of what the machine uses in each interval. If that breaks the level, this very
    look reads it and reports at least the level; and no report exceeds the truth by more than the stated error."""
    demand = Demand(cpu_percent=level)
    bounds, totals = Bounds(), QUIET
    bounds.judge(totals, demand)
    cpu_s = read_cpu_s = 0.0
    read_at_s = totals.monotonic_s
    for used_s in uses:
        cpu_s += share * used_s
        totals = later(totals, used_s=used_s)
        true_percent = 100 * share * used_s / 2.0
        if not bounds.judge(totals, demand).cpu:
            assert true_percent < level
            continue
        bounds.all_was_read(with_io=False)
        seen = ProcessReading(replace(PROCESS, cpu_s=cpu_s), read_cpu_s, totals.monotonic_s - read_at_s)
        reported = process_rates(seen, LastTick(2.0, bounds.tick_cpu_s, None, level)).cpu_percent
        assert reported is not None
        if true_percent >= level:
            assert reported >= true_percent * (1 - 1e-9)
        if reported >= level * 1.001:
            assert true_percent >= level * (1 - UNREAD_SHARE) - 100 * CPU_MARGIN_S / 2.0 - 1e-6
        read_cpu_s, read_at_s = cpu_s, totals.monotonic_s


def test_proc_stat_is_busy_idle_and_cores_without_steal_and_guest() -> None:
    text = b"cpu  100 10 50 1000 20 5 5 70 30 0\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1 1 1\nintr 5\n"
    assert parse_stat(text) == (2, pytest.approx(1.7), pytest.approx(10.2), None)


def test_storage_is_dirtied_pages_and_both_directions_of_paging() -> None:
    page = storage_bytes(b"nr_free_pages 1\nnr_dirtied 1\nnr_written 9\npgpgin 0\npgpgout 0\n")
    assert page >= 4096
    assert storage_bytes(b"x 1\nnr_dirtied 0\nnr_written 9\npgpgin 3\npgpgout 4\n") == 7 * 1024


def test_pressure_lines_become_seconds() -> None:
    text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=1000000\n"
    assert parse_pressure("io", text) == {"io_some": 2.5, "io_full": 1.0}


@pytest.mark.parametrize(
    "kind", [b"nfs4", b"nfs", b"cifs", b"9p", b"fuse.sshfs", b"ceph", b"smb3", b"virtiofs"]
)
def test_network_file_systems_are_recognised(kind: bytes) -> None:
    assert has_network_mount(b"/dev/sda / ext4 rw 0 0\nhost:/x /mnt " + kind + b" rw 0 0\n")


def test_local_file_systems_are_not_taken_for_network_ones() -> None:
    assert not has_network_mount(b"/dev/sda / ext4 rw 0 0\ntmpfs /nfs tmpfs rw 0 0\nproc /proc proc rw 0 0\n")
