"""What a pass does is counted: reads, opened files and calls, which no other load of the machine changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitord import config
from monitord.detection import Detector
from monitord.model import Demand, ProcessKey, ProcessRates
from monitord.sampling import Sampler
from monitord.sampling.linux import LinuxProcesses
from monitord.sampling.process_reader import ReadRequest
from monitord.sampling.waiting import TurnWaits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the cheap pass is Linux's")

Start = Callable[..., "subprocess.Popen[str]"]
PROCESSES = 500
LARGE_PAGES = 30_000  # 117 MiB: every rule about memory wants to know more of it
CALLS_OF_A_TICK = 230
LOOK_AGAIN = Demand(rss_bytes=1 << 30, disk_bytes_per_s=50e6, private_from_bytes=1 << 20)


def stat_line(pid: int, ticks: int, pages: int) -> str:
    return (
        f"{pid} (worker) S 1 {pid} {pid} 0 -1 4194560 100 0 0 0 {ticks} 0 0 0 20 0 1 0 5000 9000000 {pages} "
        + "1 " * 20
        + "\n"
    )


def write(proc: Path, pid: int, ticks: int = 7, pages: int = 300) -> None:
    """One process as the kernel would show it after `ticks` of CPU."""
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(stat_line(pid, ticks, pages))
    (folder / "schedstat").write_text(f"{ticks}0000000 500 {ticks}\n")
    (folder / "statm").write_text(f"{2 * pages} {pages} 200 1 0 100 0\n")
    (folder / "io").write_text(
        "rchar: 1\nwchar: 1\nsyscr: 1\nsyscw: 1\nread_bytes: 5\nwrite_bytes: 5\ncancelled_write_bytes: 0\n"
    )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine of 500 processes, its totals those of the real one."""
    for name in ("stat", "loadavg", "meminfo", "vmstat"):
        (tmp_path / name).write_bytes(Path("/proc", name).read_bytes())
    for pid in range(1000, 1000 + PROCESSES):
        write(tmp_path, pid)
    return tmp_path


opened: Counter[str] = Counter()
sys.addaudithook(
    lambda event, words: (
        opened.update([Path(os.fsdecode(words[0])).name if isinstance(words[0], str | bytes) else "?"])
        if event == "open" and threading.current_thread() is threading.main_thread()
        else None
    )
)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often a file was read in place, opened, and a function of ours was called."""
    counts: Counter[str] = Counter()
    real_pread = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        counts["read"] += 1
        return real_pread(descriptor, length, offset)

    def follow(frame: object, event: str, _: object) -> None:
        counts["call"] += event == "call" and frame.f_code is not pread.__code__  # type: ignore[attr-defined]

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", pread)
        opened.clear()
        sys.setprofile(follow)
        try:
            yield counts
        finally:
            sys.setprofile(None)
            counts["open"] = opened.total()


def test_whoever_rests_costs_one_read_and_no_call(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over 500 sleepers: one pread of each, no file opened, as many calls as with nobody there."""
    reader = LinuxProcesses(root=str(proc))
    for _ in range(3):
        reader.read_all(ReadRequest())
    with counted(monkeypatch) as counts:
        look = reader.read_all(ReadRequest())
    reader.close()
    assert look.readings == ()
    assert counts["read"] <= PROCESSES + 1
    assert counts["open"] == 0
    assert counts["call"] < 30


def test_a_tick_that_reads_nobody_costs_the_reads_of_the_machine(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look and its judgement by the default rules, when nothing can matter: ten files, and few calls."""
    detector, sampler = Detector(config.load(None).settings.rules), Sampler(heartbeat_s=1e9, root=str(proc))
    for _ in range(3):
        detector.judge(sampler.look(Demand()))
        time.sleep(0.06)
    with counted(monkeypatch) as counts:
        detector.demand()
        rates = sampler.look(Demand())
        detector.judge(rates)
    sampler.close()
    assert not rates.is_complete
    assert counts["read"] <= 20  # those that are missing here are tried twice
    assert counts["call"] < CALLS_OF_A_TICK


def test_a_heartbeat_over_sleepers_costs_no_more_than_their_reads(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look and its judgement by the default rules: what is done beside the reads does not grow with the machine."""
    detector, sampler = Detector(config.load(None).settings.rules), Sampler(heartbeat_s=0.0, root=str(proc))
    for _ in range(4):
        detector.judge(sampler.look(detector.demand()))
        time.sleep(0.06)
    with counted(monkeypatch) as counts:
        rates = sampler.look(detector.demand())
        detector.judge(rates)
    sampler.close()
    assert rates.is_complete
    assert counts["read"] <= PROCESSES + 15
    assert counts["open"] <= 4  # pressure and interfaces, where they are not there: tried again
    assert counts["call"] < 500


def test_whoever_works_costs_a_few_reads_of_open_files(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """50 large processes used CPU: stat, schedstat, io and statm of each, all by descriptors that stay open."""
    sampler = Sampler(heartbeat_s=0.0, root=str(proc))
    workers = range(1000, 1050)
    for number in range(4):
        for pid in workers:
            write(proc, pid, 7 + number, LARGE_PAGES + number)
        sampler.look(LOOK_AGAIN)
        time.sleep(0.06)
    for pid in workers:
        write(proc, pid, 20, LARGE_PAGES + 20)
    with counted(monkeypatch) as counts:
        rates = sampler.look(LOOK_AGAIN)
    sampler.close()
    assert sum(one.private_bytes is not None for one in rates.processes) == len(workers)
    assert counts["read"] <= PROCESSES + 3 * len(workers) + 15
    assert counts["open"] <= 4
    assert counts["call"] < 50 * len(workers)


LOOK_TWICE = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.sampling.test_costs import LARGE_PAGES, LOOK_AGAIN, write
from monitord.sampling import Sampler
proc = Path(sys.argv[1])
sampler = Sampler(heartbeat_s=0.0, root=str(proc))
for number in range(4):
    for pid in range(1000, 1050):
        write(proc, pid, 7 + number, LARGE_PAGES + number)
    time.sleep(0.06)
    if number == 3:
        os.chdir("/proc")
    sampler.look(LOOK_AGAIN)
os.chdir("/")
"""


def test_a_heartbeat_asks_the_kernel_once_of_a_sleeper_and_four_times_of_a_worker(
    proc: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """All its system calls, as the kernel counts them: 450 sleep, 50 large ones used CPU."""
    told = tmp_path / "calls"
    words = [sys.executable, "-c", LOOK_TWICE, str(proc), str(Path(__file__).parents[2])]
    subprocess.run([require_tool("strace"), "-o", told, *words], check=True)
    look = told.read_text().partition('chdir("/proc")')[2].partition('chdir("/")')[0].splitlines()[1:]
    assert len(look) - PROCESSES <= 3 * 50 + 40


SLEEP_IN_THREADS = """
import threading
for _ in range(39):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


def crowded(pid: int, thread_count: int) -> ProcessRates:
    return ProcessRates(
        key=ProcessKey(pid, 1), name="x", parent_pid=1, state="S", uid=0,
        cpu_percent=50.0, rss_bytes=0, thread_count=thread_count,
    )  # fmt: skip


def test_in_a_crowd_a_thread_costs_one_read(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 threads nothing is opened or listed again, until one of them is another."""
    child = start(SLEEP_IN_THREADS)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names
    waits = TurnWaits()
    waits.measure([crowded(child.pid, 40)])
    time.sleep(0.06)
    with counted(monkeypatch) as counts:
        waited = waits.measure([crowded(child.pid, 40)])
    assert len(waited) == 1
    assert (counts["read"], counts["open"]) == (40, 0)
    waits.measure([])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names
