"""Rings of this very kernel: what ran is found with the right process, thread and time, also when it is gone."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitord import procfs
from monitord.perf_events import perf_event, records
from monitord.stacks import rings
from monitord.stacks.rings import Rings
from tests.patience import PATIENCE_S
from tests.stacks.programs import BEAT_S, burner, count_rings, functions_of, named, now_ns, one_cpu, until

ROOM = Path(rings.__file__).parents[2]
DISABLE = 0x2401  # PERF_EVENT_IOC_DISABLE


@pytest.fixture
def machine() -> Iterator[Rings]:
    opened = Rings.open()
    yield opened
    opened.close()


def burn_until(rings: Rings) -> None:
    """Keep this thread busy until the ring has seen it."""
    me = (os.getpid(), threading.get_native_id())
    until(lambda: me in rings.fresh(), "a sample of ourselves")


def burn_for(seconds: float) -> None:
    """Keep this thread busy for so much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.root
def test_a_program_that_is_gone_is_found_with_its_stack(machine: Rings, tmp_path: Path) -> None:
    """Right process, thread and time; with frame pointers the call chain is whole."""
    program = burner(tmp_path)
    began = now_ns()
    with subprocess.Popen([program, "600"]) as process:
        pass
    ended = now_ns()
    found = machine.samples(pids=[process.pid])
    assert len(found) >= 6  # 11 a second of one core, less what the kernel itself ran
    assert [at_ns for at_ns, *_ in found] == sorted(at_ns for at_ns, *_ in found)
    assert all(began <= at_ns <= ended and thread == process.pid for at_ns, _, thread, _ in found)
    chains = [named(frames, functions_of(program)) for *_, frames in found]
    assert chains.count(["burn", "third", "second", "first", "main"]) >= len(found) * 0.6, chains


@pytest.mark.root
def test_the_thread_that_ran_is_told_from_those_that_wait(machine: Rings) -> None:
    """Forty idle threads have no sample."""
    done = threading.Event()
    waiting = [threading.Thread(target=done.wait) for _ in range(40)]
    for thread in waiting:
        thread.start()
    machine.fresh()
    try:
        burn_until(machine)
        ran = {thread for _, pid, thread, _ in machine.samples() if pid == os.getpid()}
    finally:
        done.set()
    assert threading.get_native_id() in ran
    assert len(ran & {thread.native_id for thread in waiting}) <= 3  # they did start


@pytest.mark.root
def test_what_is_fresh_is_told_once(machine: Rings) -> None:
    """The sum of what each call tells is what the ring holds, and telling takes no system call."""
    me = os.getpid()
    told = 0
    deadline = time.monotonic() + PATIENCE_S
    while told < 10 and time.monotonic() < deadline:
        told += sum(count for (pid, _), count in machine.fresh().items() if pid == me)
    held = len(machine.samples(pids=[me]))
    told += sum(count for (pid, _), count in machine.fresh().items() if pid == me)
    assert told >= 10
    assert held <= told <= held + 2  # between the two a sample may come


@pytest.mark.root
def test_reading_what_is_fresh_asks_the_kernel_nothing(tmp_path: Path) -> None:
    """A quiet second costs no system call, and reads no bytes but the heads of the rings."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    log = tmp_path / "calls"
    code = (
        "import os\nfrom monitord.stacks.rings import Rings\nrings = Rings.open()\nrings.fresh()\nos.getppid()\n"
        "for _ in range(12):\n rings.fresh()\n rings.side_records()\nos.getppid()\n"
    )
    words = ["strace", "-f", "-o", str(log), sys.executable, "-c", code]
    subprocess.run(words, check=True, cwd=ROOM)
    calls = log.read_text().split("getppid()")[1]
    assert not [line for line in calls.splitlines()[1:] if "(" in line and "brk" not in line], calls


@pytest.mark.root
def test_fresh_bytes_alone_are_copied(machine: Rings) -> None:
    """Four times a second a busy machine's reader takes a few hundred bytes, not half a megabyte a CPU."""
    burn_until(machine)
    burn_until(machine)
    pair = machine._pairs[one_cpu()]
    waiting = pair.stacks.fresh_bytes
    data = pair.stacks.fresh()
    assert waiting <= len(data) < 20_000
    assert pair.stacks.fresh() in (b"", data[:0]) or pair.stacks.fresh_bytes < 20_000


@pytest.mark.root
def test_a_ring_that_was_overrun_says_so_and_has_what_is_newest(tmp_path: Path) -> None:
    """A page holds some thirty samples; what is told is whole, newest, and the rest is counted."""
    ring = perf_event.Ring(perf_event.stack_attributes(2_000), perf_event.EVERYBODY, one_cpu(), 4096)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one_cpu()})
    try:
        until(lambda: ring.fresh_bytes > 40_000, "ten times as much as the ring holds")
        written, began = ring.fresh_bytes, now_ns()
        data = ring.fresh()
        whole = list(records.samples(ring.whole()))
    finally:
        os.sched_setaffinity(0, before)
        ring.close()
    assert ring.overrun_bytes >= written - 4096
    found = list(records.samples(data))
    assert 3 <= len(found) <= 4096 // 40
    assert [at_ns for at_ns, *_ in found] == sorted((at_ns for at_ns, *_ in found), reverse=True)
    assert began - found[0][0] < 10**9
    assert 3 <= len(whole) <= 4096 // 40
    assert all(pid < 1 << 23 and frames for _, pid, _, frames in (*found, *whole))


@pytest.mark.root
def test_a_side_ring_says_that_it_fills_before_it_is_overrun() -> None:
    """What was started while nobody ran is taken in seldom, and before it is lost."""
    with closing(Rings.open(bytes_a_cpu=64 << 10)) as rings:
        rings.side_records()
        began_s = time.monotonic()
        while not rings.is_filling:
            assert time.monotonic() < began_s + PATIENCE_S
            subprocess.run(["/bin/true"], check=True)
        assert rings.lost.side_bytes == 0
        assert rings.side_records()
        assert not rings.is_filling


@pytest.mark.root
def test_side_records_tell_a_whole_life(machine: Rings, tmp_path: Path) -> None:
    """Started, renamed by its program, its code mapped, ended: oldest first, also when all is over."""
    program = burner(tmp_path)
    machine.side_records()
    found = []
    with subprocess.Popen([program, "1"]) as process:
        while process.poll() is None:
            found += machine.side_records()
            time.sleep(BEAT_S)
    found += machine.side_records()
    told = [records.side_record(raw) for _, pid, raw in found if pid == process.pid]
    kinds = [type(one).__name__ for one in told if one is not None]
    assert (kinds[0], kinds[-1]) == ("Forked", "Ended")
    assert [one.parent_pid for one in told if isinstance(one, records.Forked)] == [os.getpid()]
    assert ("burner", True) in [(one.name, one.is_exec) for one in told if isinstance(one, records.Named)]
    code = [one for one in told if isinstance(one, records.Mapped) and one.path == str(program)]
    assert [one.inode for one in code] == [program.stat().st_ino]
    begin, end = functions_of(program)["burn"]
    assert code[0].start <= begin < end <= code[0].end


@pytest.mark.root
def test_cpus_come_and_go() -> None:
    """Rings of a CPU that went keep what they have; when it comes back they begin anew."""
    first = one_cpu()
    rings = Rings.open(cpus=[first])
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    try:
        burn_until(rings)
        held = len(rings.samples(pids=[os.getpid()]))
        rings.take_cpus([])
        assert rings.cpus == ()
        assert len(rings.samples(pids=[os.getpid()])) >= held > 0
        rings.take_cpus([first])
        assert rings.cpus == (first,)
        fds = count_rings()
        rings.take_cpus([first])
        assert count_rings() == fds
        burn_until(rings)
        assert rings.lost.cpus == 0
    finally:
        os.sched_setaffinity(0, before)
        rings.close()


WAYS = ["made believe", *(["really"] if os.environ.get("MONITORD_HOTPLUG") else [])]
"""To take a CPU away from all tests that run beside these is for a machine of one's own."""


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
def test_a_cpu_that_was_away_between_two_looks_records_again(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As each but the first is in a suspend: the list is what it was, and the kernel took the events away."""
    last = max(procfs.online_cpus())
    rings = Rings.open(cpus=[last])
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {last})
        burn_until(rings)
        os.sched_setaffinity(0, before)
        if way == "really":
            switch = Path(f"/sys/devices/system/cpu/cpu{last}/online")
            for word in "01":
                switch.write_text(word)
        else:
            fcntl.ioctl(rings._pairs[last].stacks.fd, DISABLE)
            monkeypatch.setattr(procfs, "cpu_turn", lambda _cpu: -1)
        os.sched_setaffinity(0, {last})
        rings.fresh()
        burn_for(0.5)
        assert not rings.fresh(), "or nothing was taken away"
        rings.take_cpus([last])
        burn_until(rings)
        assert rings.cpus == (last,)
        assert rings.lost.cpus == 0
    finally:
        os.sched_setaffinity(0, before)
        rings.close()


def test_a_cpu_is_in_one_turn_as_long_as_it_is_on() -> None:
    turns = [procfs.cpu_turn(cpu) for _ in range(2) for cpu in procfs.online_cpus()]
    assert turns[: len(turns) // 2] == turns[len(turns) // 2 :]
    assert 0 not in turns
    assert procfs.cpu_turn(100_000) == 0


@pytest.mark.root
def test_a_cpu_that_can_have_no_ring_is_counted() -> None:
    """The others go on."""
    rings = Rings.open()
    try:
        rings.fresh()
        rings.take_cpus([*rings.cpus, 100_000])
        assert rings.lost.cpus == 1
        burn_until(rings)
    finally:
        rings.close()


@pytest.mark.root
def test_closing_leaves_nothing_open() -> None:
    before = count_rings()
    rings = Rings.open()
    assert count_rings() > before
    rings.close()
    assert count_rings() == before


@pytest.mark.parametrize("cpus", [1, 2, 16, 31, 32, 64, 256, 1024])
def test_rings_keep_within_their_bounds(cpus: int) -> None:
    """At most 1 MiB a CPU and 16 MiB in all, a power of two of at least a page."""
    for wanted in (1, 4096, 100_000, 512 << 10, 1 << 30):
        size = rings.stack_bytes(wanted, cpus)
        side = max(4096, size // 4)
        assert size & (size - 1) == 0
        assert size >= 4096
        assert size + side <= 1 << 20
        assert cpus * (size + side) <= 16 << 20 or size == 4096


def test_what_was_lost_is_said_in_words() -> None:
    """And nothing is said where all is there."""
    assert rings.Lost(fresh_bytes=9).in_words() == []
    said = "; ".join(rings.Lost(side_bytes=2_500_000, cpus=1, threads=68).in_words())
    assert "2.5 MB about starts, programs and ends were overwritten unread" in said
    assert "no stacks of 1 CPU: no ring was granted; no stacks of 68 threads in processes" in said


def test_lists_of_cpus_are_read() -> None:
    assert procfs.cpus_in("0-3,5,7-8\n") == (0, 1, 2, 3, 5, 7, 8)
    with pytest.raises(ValueError, match="invalid literal"):
        procfs.cpus_in("")


def test_an_unknown_architecture_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another table of system calls would make of the same number another call."""
    there = os.uname()
    monkeypatch.setattr(os, "uname", lambda: type(there)((*there[:4], "riscv64")))
    with pytest.raises(OSError, match="riscv64") as refused:
        perf_event.open_event(perf_event.side_attributes(), 0, perf_event.NO_CPU)
    assert refused.value.errno == errno.ENOSYS


@pytest.mark.root
def test_fewer_frames_are_taken_where_the_kernel_grants_no_more() -> None:
    """kernel.perf_event_max_stack may be below what we ask for: a ring of shorter stacks is better than none."""
    limit = int(Path("/proc/sys/kernel/perf_event_max_stack").read_text())
    ring = perf_event.Ring(perf_event.stack_attributes(19, limit + 1), perf_event.EVERYBODY, one_cpu(), 4096)
    ring.close()


def test_fcntl_and_mmap_are_all_that_a_ring_needs() -> None:
    """The recorder carries no ctypes for it."""
    code = "import sys, monitord.stacks.rings as r\ntry: r.Rings.open().close()\nexcept OSError: pass\nprint('ctypes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOM, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert fcntl  # loaded with the room
