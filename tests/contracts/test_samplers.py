"""One suite for every sampling backend: they agree with each other and with `ps` on real processes.

More than 400 lines: one list of promises.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitord.errors import UsageError
from monitord.model import Demand, ProcessKey, ProcessRates, Rates
from monitord.sampling import Sampler, key_of, observe
from monitord.sampling.entries import sees_everybody
from monitord.sampling.sampler import BACKENDS
from tests.patience import PATIENCE_S

NAMES = [name for name in BACKENDS if name != "linux" or sys.platform == "linux"]

# Named through prctl in the child: each is at most 15 bytes, as the kernel keeps them.
HOSTILE_NAMES = [
    b"a\nb) S 1 1",
    b"\x1b[31mred\x1b]0;",
    b"\xff\xfe\x80",
    b'=cmd|"/c"!A0',
    b"\xe2\x80\xaetxt.exe",
    b"a) R 1 (b",
    b"../../etc/x",
    b"';DROP--",
    b") (",
    b" ",
]

SET_NAME = """
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
print("ready")
time.sleep(300)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=NAMES)
def sampler(request: pytest.FixtureRequest) -> Iterator[Sampler]:
    """Each backend; with every look complete, so that nothing depends on how busy the machine is."""
    one = Sampler(heartbeat_s=0.0, backend=request.param)
    yield one
    one.close()


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def watching(*pids: int) -> Demand:
    keys = [key_of(pid) for pid in pids]
    return Demand(watched=frozenset(key for key in keys if key is not None))


def find(rates: Rates, pid: int) -> ProcessRates | None:
    return next((one for one in rates.processes if one.key.pid == pid), None)


def own(rates: Rates, pid: int) -> ProcessRates:
    found = find(rates, pid)
    assert found is not None
    return found


def test_the_first_look_sees_everybody_and_concludes_nothing(sampler: Sampler) -> None:
    rates = sampler.look(Demand())
    assert rates.gap == "first sample"
    assert rates.is_complete
    assert rates.process_count == len(rates.processes) > 0
    assert all(one.cpu_percent is None and one.disk_bytes_per_s is None for one in rates.processes)
    assert own(rates, os.getpid()).key == key_of(os.getpid())


def test_a_burner_shows_its_cpu_and_the_machine_contains_it(sampler: Sampler, start: Start) -> None:
    burner = start("print('ready')\nwhile True: pass")
    sampler.look(Demand())
    wait_for_cpu(burner.pid, 1.0)
    rates = sampler.look(Demand())
    truth = cpu_s(burner.pid)
    seen = own(rates, burner.pid)
    assert seen.cpu_percent is not None
    # What it used in the interval lies between one second and all it ever used; a tick either way.
    assert 100 * 0.95 / rates.interval_s <= seen.cpu_percent <= 100 * (truth + 0.02) / rates.interval_s * 1.1
    assert seen.state == "R"
    machine = rates.system.machine_percent * rates.system.cpu_count
    assert machine >= 0.8 * seen.cpu_percent - 5
    assert (rates.system.unattributed_cpu_percent is not None) == sees_everybody()


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_cpu(pid: int, seconds: float) -> None:
    """Until a process has used that much CPU from now on; the deadline is for a starving machine."""
    goal, deadline = cpu_s(pid) + seconds, time.monotonic() + PATIENCE_S
    while cpu_s(pid) < goal:
        assert time.monotonic() < deadline, "the burner got no CPU"
        time.sleep(0.02)


def test_an_idle_process_is_reported_twice_and_then_left_out(sampler: Sampler, start: Start) -> None:
    sampler.look(Demand())
    child = start("import signal; print('ready'); signal.pause()")
    settle(child.pid)
    assert own(sampler.look(Demand()), child.pid).cpu_percent is None
    time.sleep(0.1)
    second = own(sampler.look(Demand()), child.pid)
    assert second.cpu_percent == pytest.approx(0.0, abs=15.0)
    time.sleep(0.1)
    assert find(sampler.look(Demand()), child.pid) is None


def settle(pid: int) -> None:
    """Until it sleeps and its bytes in /proc stand still."""
    deadline, last = time.monotonic() + PATIENCE_S, b""
    while time.monotonic() < deadline:
        time.sleep(0.1)
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
        if line == last and line.rpartition(b")")[2].split()[0] == b"S":
            return
        last = line
    pytest.fail("the process never came to rest")


@pytest.mark.parametrize("level", [None, 1e9])
def test_a_watched_process_is_reported_every_time_with_all_there_is(
    sampler: Sampler, start: Start, level: float | None
) -> None:
    child = start("import signal; print('ready'); signal.pause()")
    settle(child.pid)
    demand = replace(watching(child.pid), disk_bytes_per_s=level)
    for _ in range(4):
        seen = own(sampler.look(demand), child.pid)
        time.sleep(0.1)
    assert seen.cpu_percent == 0.0
    assert seen.disk_bytes_per_s == 0.0
    assert seen.fd_count == descriptors_of(child.pid)


def test_a_watched_process_is_read_even_when_the_pass_is_left_out(start: Start) -> None:
    for name in NAMES:
        one = Sampler(heartbeat_s=1e9, backend=name)
        child = start("import signal; print('ready'); signal.pause()")
        demand = watching(child.pid)
        one.look(demand)
        time.sleep(0.1)
        rates = one.look(demand)
        assert not rates.is_complete
        assert [seen.key.pid for seen in rates.processes] == [child.pid]
        child.kill()
        child.wait()
        assert one.look(demand).exited == demand.watched
        one.close()


def test_who_has_gone_is_named_and_not_seen_again(sampler: Sampler, start: Start) -> None:
    child = start("import time; print('ready'); time.sleep(300)")
    key = key_of(child.pid)
    sampler.look(Demand())
    child.kill()
    child.wait()
    rates = sampler.look(Demand())
    assert key in rates.exited
    assert find(rates, child.pid) is None
    assert sampler.details(key) is None
    assert key_of(child.pid) is None


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_hostile_name_is_kept_whole_and_forges_nothing(sampler: Sampler, start: Start, name: bytes) -> None:
    child = start(SET_NAME, name.hex())
    seen = own(sampler.look(Demand()), child.pid)
    assert os.fsencode(seen.name) == name
    assert seen.state in "RSD"
    assert seen.parent_pid == os.getpid()
    assert seen.thread_count == 1
    details = sampler.details(seen.key)
    assert details is not None
    assert os.fsencode(details.name) == name


def test_a_long_name_is_the_kernels_fifteen_bytes(sampler: Sampler, tmp_path: Path) -> None:
    program = tmp_path / "a-program-with-a-long-name"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    child = subprocess.Popen([program, "300"])
    try:
        assert own(sampler.look(Demand()), child.pid).name == "a-program-with-"
    finally:
        child.kill()
        child.wait()


def test_a_process_of_a_hundred_threads_is_one_process(sampler: Sampler, start: Start) -> None:
    child = start(
        "import threading, time\n"
        "for _ in range(99): threading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n"
        "print('ready'); time.sleep(300)"
    )
    rates = sampler.look(Demand())
    assert own(rates, child.pid).thread_count == 100
    assert [one.key.pid for one in rates.processes].count(child.pid) == 1


def test_a_launcher_is_not_blamed_for_its_child(sampler: Sampler, start: Start) -> None:
    launcher = start(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'print(\"ready\", flush=True)\\nwhile True: pass'])\n"
        "child.wait()"
    )
    child_pid = next(
        one.key.pid for one in sampler.look(Demand()).processes if one.parent_pid == launcher.pid
    )
    try:
        wait_for_cpu(child_pid, 0.5)
        rates = sampler.look(watching(launcher.pid))
        assert own(rates, launcher.pid).cpu_percent == pytest.approx(0.0, abs=10.0)
        assert (own(rates, child_pid).cpu_percent or 0) > 5
    finally:
        os.kill(child_pid, signal.SIGKILL)


def test_the_heaviest_process_is_found_also_when_it_sleeps(sampler: Sampler, start: Start) -> None:
    before = sampler.look(Demand())
    largest = max(one.rss_bytes for one in before.processes)
    child = start(
        "import signal, sys\nblock = b'x' * int(sys.argv[1])\nprint('ready'); signal.pause()",
        str(2 * largest + (64 << 20)),
    )
    for _ in range(4):
        sampler.look(Demand())
        time.sleep(0.06)
    heaviest = sampler.heaviest()
    assert heaviest is not None
    assert heaviest.key == key_of(child.pid)


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder on a disk; `tmp_path` may lie in memory (tests/run.py)."""
    with TemporaryDirectory(prefix="monitord-tests-", dir="/var/tmp") as folder:
        yield Path(folder)


def test_storage_writes_are_seen(sampler: Sampler, on_disk: Path, start: Start) -> None:
    demand = Demand(disk_bytes_per_s=1e6)
    child = start(
        "import os, sys, time\nprint('ready')\nsys.stdin = None\n"
        "while True:\n"
        "  with open(sys.argv[1], 'wb') as f:\n"
        "    f.write(b'x' * (8 << 20)); f.flush(); os.fsync(f.fileno())\n"
        "  time.sleep(0.05)",
        f"{on_disk}/written",
    )
    sampler.look(demand)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        time.sleep(0.5)
        seen = find(sampler.look(demand), child.pid)
        if seen is not None and (seen.disk_bytes_per_s or 0) >= 1e6:
            return
        assert time.monotonic() < deadline, f"no write seen: {seen}"


def test_descriptors_are_counted_when_asked_for(sampler: Sampler, start: Start) -> None:
    child = start(
        "import os, time\nfiles = [os.open('/dev/null', 0) for _ in range(50)]\nprint('ready'); time.sleep(300)"
    )
    seen = own(sampler.look(Demand(needs_fd_count=True)), child.pid)
    assert seen.fd_count is not None
    assert seen.fd_count == descriptors_of(child.pid) >= 50


def test_processes_that_come_and_go_by_the_hundred_break_nothing(sampler: Sampler) -> None:
    """Fork as fast as possible while looking: no error, and the table holds only the living."""
    churn = subprocess.Popen(
        ["/bin/sh", "-c", "while :; do /bin/true & /bin/true & /bin/true & wait; done"],
        process_group=0,  # no session of its own, which the kernel would give as much CPU as all other tests together
    )
    try:
        counts = [
            sampler.look(Demand(cpu_percent=1.0, disk_bytes_per_s=1.0)).process_count for _ in range(30)
        ]
    finally:
        os.killpg(churn.pid, signal.SIGKILL)
        churn.wait()
    assert max(counts) < min(counts) + 100
    rates = sampler.look(Demand())
    assert abs(rates.process_count - len(list(Path("/proc").glob("[1-9]*")))) <= 5


def test_both_backends_and_ps_agree(start: Start) -> None:
    """Name, parent, state, threads, user and memory of a process at rest; identity of every process."""
    child = start(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n"
        "block = bytearray(b'x' * (20 << 20))\nprint('ready'); time.sleep(300)"
    )
    settle(child.pid)
    seen = {}
    for name in NAMES:
        one = Sampler(backend=name)
        seen[name] = {process.key: process for process in one.look(watching(child.pid)).processes}
        one.close()
    key = key_of(child.pid)
    assert key is not None
    views = [seen[name][key] for name in NAMES]
    assert all(view == views[0] for view in views)
    ps = subprocess.run(
        ["ps", "-o", "ppid=,stat=,nlwp=,uid=,rss=,comm=", "-p", str(child.pid)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert ps[:5] == [
        str(views[0].parent_pid),
        ps[1],
        str(views[0].thread_count),
        str(views[0].uid),
        str(views[0].rss_bytes // 1024),
    ]
    assert ps[1][0] == views[0].state
    assert ps[5] == views[0].name
    long_lived = [set(view) for view in seen.values()]
    assert len(set.intersection(*long_lived)) >= 0.8 * len(long_lived[0])


def test_details_name_user_program_arguments_and_start(sampler: Sampler, start: Start) -> None:
    child = start("import time; print('ready'); time.sleep(300)", "--password=hunter2", "plain\nargument")
    key = key_of(child.pid)
    assert key is not None
    details = sampler.details(key)
    assert details is not None
    assert details.key == key
    assert details.uid == os.geteuid()
    assert details.executable == str(Path(f"/proc/{child.pid}/exe").readlink())
    assert details.command_line[-1] == "plain\nargument"
    assert not any("hunter2" in argument for argument in details.command_line)
    assert details.thread_count == 1
    assert details.fd_count == descriptors_of(child.pid)
    assert abs(details.started_at.timestamp() - time.time()) < 60
    assert sampler.details(ProcessKey(child.pid, key.start_ticks - 1)) is None


def test_observe_takes_two_looks_at_one_process(start: Start) -> None:
    burner = start("print('ready')\nwhile True: pass")
    seen = observe(burner.pid, 0.5)
    assert seen is not None
    assert seen.key == key_of(burner.pid)
    assert seen.cpu_percent is not None
    assert 1.0 < seen.cpu_percent < 150.0
    burner.kill()
    burner.wait()
    assert observe(burner.pid, 0.1) is None


def test_an_unknown_backend_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match="auto, psutil"):
        Sampler(backend="guess")


def test_closing_gives_every_descriptor_back() -> None:
    before = descriptors_of(os.getpid())
    one = Sampler()
    one.look(Demand(disk_bytes_per_s=1.0))
    one.look(Demand(disk_bytes_per_s=1.0))
    one.close()
    assert descriptors_of(os.getpid()) == before


REAPS = """
import os, time
print("ready")
while True:
    child = os.fork()
    if child == 0:
        end = time.process_time() + 0.05
        while time.process_time() < end: pass
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux charges parents in a way that can be read")
def test_a_parent_shows_what_its_ended_children_used(sampler: Sampler, start: Start) -> None:
    parent = start(REAPS)
    sampler.look(Demand())
    deadline, most = time.monotonic() + PATIENCE_S, 0.0
    while most <= 5.0 and time.monotonic() < deadline:
        time.sleep(1.0)
        most = own(sampler.look(watching(parent.pid)), parent.pid).children_cpu_percent or 0.0
    assert most > 5.0


@pytest.mark.skipif(sys.platform != "linux", reason="an image is known on Linux alone")
def test_an_exec_changes_the_image_and_nothing_else_does(sampler: Sampler, start: Start) -> None:
    child = start("import os, sys; print('ready'); input(); os.execv(sys.executable, sys.orig_argv)")
    sampler.look(Demand())
    demand = watching(child.pid)
    first, second = (own(sampler.look(demand), child.pid).image for _ in range(2))
    assert first is not None
    assert first == second
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    deadline = time.monotonic() + PATIENCE_S
    while own(sampler.look(demand), child.pid).image == first:
        assert time.monotonic() < deadline, "the image never changed"
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is told apart on Linux alone")
def test_shared_memory_and_files_are_not_private(sampler: Sampler, start: Start) -> None:
    child = start(
        "import mmap; m = mmap.mmap(-1, 64 << 20)\n"
        "for i in range(0, len(m), 4096): m[i] = 1\n"
        "b = bytearray(48 << 20); print('ready'); input()"
    )
    seen = own(sampler.look(watching(child.pid)), child.pid)
    assert seen.private_bytes is not None
    assert 48 << 20 <= seen.private_bytes <= seen.rss_bytes - (64 << 20)
