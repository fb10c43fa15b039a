"""Whatever one file of /proc is (missing, empty, garbage, refused), the look goes on with all the others."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.config import load_rules
from monitord.detection import Detector
from monitord.model import Demand, ProcessKey
from monitord.sampling import Sampler
from tests.detection.test_default_rules import FILE as DEFAULT_RULES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

PRESSURE = (
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=50\n"
)
MACHINE = {
    "stat": "cpu  500 0 300 90000 20 0 5 0 0 0\ncpu0 250 0 150 45000 10 0 5 0 0 0\ncpu1 250 0 150 45000 10 0 0 0 0 0\n",
    "loadavg": "0.50 0.40 0.30 1/120 4242\n",
    "meminfo": "MemTotal: 8000000 kB\nMemFree: 4000000 kB\nMemAvailable: 6000000 kB\nSwapTotal: 1000 kB\n"
    "SwapFree: 900 kB\nAnonPages: 900000 kB\nMapped: 100000 kB\nShmem: 5000 kB\n",
    "vmstat": "nr_free_pages 1\nnr_dirtied 5\npgpgin 6\npgpgout 7\noom_kill 2\n",
    "self/mounts": "/dev/sda1 / ext4 rw 0 0\n",
    "diskstats": "   8       0 nosuch 5 1 16 7 3 2 8 9 0 1 2 0 0 0 0 0 0\n",
    "self/net/dev": "Inter-| Receive | Transmit\n face |bytes |bytes\n  eth0: 100 1 0 0 0 0 0 0 50 2 0 0 0 0 0 0\n",
    "pressure/cpu": PRESSURE,
    "pressure/memory": PRESSURE,
    "pressure/io": PRESSURE,
}
PROCESS = {
    "stat": "{pid} (worker) S 1 1 1 0 -1 4194560 100 0 0 0 {ticks} 5 0 0 20 0 1 0 777 9000000 25000 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
    "statm": "9000 25000 500 1 0 400 0\n",
    "schedstat": "1500{ticks} 30 12\n",
    "io": "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n",
}
SICK, WELL = 4711, 4712

Damage = Callable[[Path], None]


def replaced(make: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def listen(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.close()


DAMAGES: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b"") and None,
    "garbage": lambda path: path.write_bytes(b"\xff\x00) (nonsense: x\n" * 40) and None,
    "words for numbers": lambda path: path.write_text(" ".join(["x"] * 60) + "\n") and None,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:3]) and None,
    "zeroes": lambda path: path.write_bytes(bytes(b ^ b ^ 48 if 48 <= b <= 57 else b for b in path.read_bytes())) and None,
    "a folder (EISDIR)": replaced(Path.mkdir),
    "read error (EIO)": replaced(lambda path: path.symlink_to("/proc/self/mem")),
    "not connected (ENXIO)": replaced(listen),
    "a loop (ELOOP)": replaced(lambda path: path.symlink_to(path.name)),
}  # fmt: skip


def write_process(root: Path, pid: int, ticks: int) -> None:
    folder = root / str(pid)
    folder.mkdir(exist_ok=True)
    for name, text in PROCESS.items():
        (folder / name).write_text(text.format(pid=pid, ticks=ticks))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc of a machine with two processes."""
    root = tmp_path / "p"
    for name, text in MACHINE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for pid in (SICK, WELL):
        write_process(root, pid, 10)
    return root


@pytest.fixture
def sampler(proc: Path) -> Iterator[Sampler]:
    one = Sampler(heartbeat_s=0.0, root=str(proc))
    yield one
    one.close()


def everything() -> Demand:
    return Detector(load_rules(DEFAULT_RULES)).demand()


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", MACHINE)
def test_a_broken_file_of_the_machine_costs_what_it_tells_and_nothing_else(
    proc: Path, name: str, kind: str, when: str
) -> None:
    """Both processes are seen, all rules are judged, and the other files are as they were."""
    whole = Sampler(heartbeat_s=0.0, root=str(proc)).take_system()
    if when == "before the start":
        DAMAGES[kind](proc / name)
    sampler, detector = Sampler(heartbeat_s=0.0, root=str(proc)), Detector(load_rules(DEFAULT_RULES))
    sampler.look(detector.demand())
    if when == "while it runs":
        DAMAGES[kind](proc / name)
    for ticks in (20, 30):
        for pid in (SICK, WELL):
            write_process(proc, pid, ticks)
        rates = sampler.look(detector.demand())
        detector.judge(rates)
        assert {one.key.pid for one in rates.processes} == {SICK, WELL}
    now = sampler.take_system()
    sampler.close()
    if name != "meminfo":
        assert now.memory_total_bytes == whole.memory_total_bytes
    if name != "stat":
        assert (now.cpu_count, now.cpu_busy_s) == (whole.cpu_count, whole.cpu_busy_s)
    if name != "loadavg":
        assert now.load_1 == whole.load_1
    if not name.startswith("pressure"):
        assert now.pressure == whole.pressure
    if name != "self/net/dev":
        assert now.interfaces == whole.interfaces


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", PROCESS)
def test_a_broken_file_of_one_process_leaves_the_others_alone(
    proc: Path, sampler: Sampler, name: str, kind: str
) -> None:
    """The other one is seen with its rate in every look."""
    sampler.look(everything())
    DAMAGES[kind](proc / str(SICK) / name)
    for ticks in (20, 30):
        write_process(proc, WELL, ticks)
        rates = sampler.look(everything())
        well = [one for one in rates.processes if one.key == ProcessKey(WELL, 777)]
        assert len(well) == 1
        assert well[0].cpu_percent is None or well[0].cpu_percent > 0


def test_what_is_missing_is_told_and_told_no_more_when_it_is_back(proc: Path, sampler: Sampler) -> None:
    """By the name of the file, with the reason."""
    sampler.look(everything())
    assert sampler.missing == {}
    (proc / "meminfo").write_text("nothing\n")
    sampler.look(everything())
    assert set(sampler.missing) == {"meminfo"}
    (proc / "meminfo").write_text(MACHINE["meminfo"])
    assert sampler.look(everything()).system.memory_total_bytes == 8_000_000 * 1024
    assert sampler.missing == {}


def test_a_file_that_was_replaced_is_opened_anew(proc: Path, sampler: Sampler) -> None:
    """A descriptor that fails (here: of a folder that became a file) is not kept for ever."""
    (proc / "loadavg").unlink()
    sampler.look(everything())
    assert "loadavg" in sampler.missing
    (proc / "loadavg").write_text(MACHINE["loadavg"])
    assert sampler.look(everything()).system.load_1 == 0.5


def test_a_proc_of_processes_alone_is_enough(proc: Path) -> None:
    """With subset=pid nothing of the machine is there."""
    for name in MACHINE:
        (proc / name).unlink()
    shutil.rmtree(proc / "self")
    shutil.rmtree(proc / "pressure")
    sampler = Sampler(root=str(proc))
    rates = sampler.look(everything())
    assert {one.key.pid for one in rates.processes} == {SICK, WELL}
    assert {"stat", "loadavg", "meminfo", "vmstat", "pressure"} <= set(sampler.missing)
    sampler.close()


def test_a_list_of_processes_that_can_not_be_read_keeps_those_that_are_known(
    proc: Path, sampler: Sampler
) -> None:
    """Nobody is taken for gone because the folder could not be listed."""
    sampler.look(everything())
    aside = proc.rename(proc.with_name("aside"))
    write_process(aside, WELL, 20)
    rates = sampler.look(everything())
    aside.rename(proc)
    assert not rates.exited
    assert WELL in {one.key.pid for one in rates.processes}
    assert "the list of processes" in sampler.missing
