"""The Linux reader under pressure: few descriptors, reused numbers, processes that go in mid-pass, short cuts."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.model import Demand, ProcessKey
from monitord.procfs import count_descriptors, key_of
from monitord.sampling import Sampler, linux
from monitord.sampling.entries import Entry
from monitord.sampling.linux import LinuxProcesses
from monitord.sampling.process_reader import ProcessReading, ReadRequest, ReadResult
from tests.patience import PATIENCE_S
from tests.strangers import unshared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SLEEP = "import signal; print('ready'); signal.pause()"
OPENER = """
import os, sys
print("ready")
sys.stdin.readline()
files = [os.open("/dev/null", 0) for _ in range(50)]
print("opened")
sys.stdin.readline()
"""
BURN = "print('ready')\nwhile True: pass"


@pytest.fixture(params=[None, 0, 3], ids=["all descriptors", "none", "three"])
def reader(request: pytest.FixtureRequest) -> Iterator[LinuxProcesses]:
    one = LinuxProcesses(descriptor_limit=request.param)
    yield one
    one.close()


def of(look: ReadResult, pid: int) -> ProcessReading | None:
    return next((seen for seen in look.readings if seen.sample.key.pid == pid), None)


def test_the_reader_works_with_any_number_of_descriptors(
    reader: LinuxProcesses, start: Callable[..., subprocess.Popen[str]], until: Callable[..., object]
) -> None:
    """With many, with none and with three: the same processes, the burner busy, the sleeper left out."""
    burner, sleeper = start(BURN), start(SLEEP)
    ask = ReadRequest(wants_io=True)
    reader.read_all(ask)
    reader.read_all(ask)

    def burner_alone() -> bool:
        look = reader.read_all(ask)
        seen = of(look, burner.pid)
        return seen is not None and seen.cpu_used_s > 0 and of(look, sleeper.pid) is None

    until(burner_alone)
    assert reader.process_count >= 3


def test_a_small_limit_of_descriptors_hides_no_process() -> None:
    """A process that may open 40 files sees more than 40 processes, and itself."""
    code = (
        "import json, os, resource, subprocess, sys\n"
        "children = [subprocess.Popen(['sleep', '300']) for _ in range(60)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "from monitord.model import Demand\n"
        "from monitord.sampling import Sampler\n"
        "sampler = Sampler(heartbeat_s=0.0)\n"
        "looks = [sampler.look(Demand(disk_bytes_per_s=1.0)) for _ in range(3)]\n"
        "pids = {one.key.pid for one in looks[0].processes}\n"
        "print(json.dumps([len(pids), os.getpid() in pids, all(c.pid in pids for c in children), looks[2].process_count]))\n"
        "[c.kill() for c in children]; [c.wait() for c in children]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    count, sees_itself, sees_children, later_count = json.loads(done.stdout)
    assert count > 60
    assert sees_itself
    assert sees_children
    assert later_count > 60


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        LinuxProcesses().close()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_goes_between_listing_and_reading_is_normal(
    reader: LinuxProcesses, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """No fork since the listing, so the reader meets a name whose process has gone: exited, no error."""
    child = start(SLEEP)
    key = key_of(child.pid)
    reader.read_all(ReadRequest())
    child.kill()
    child.wait()
    look = reader.read_all(
        ReadRequest(wants_io=True, wants_fd_count=True, watched=frozenset((key,) if key else ()))
    )
    assert key in look.exited
    assert of(look, child.pid) is None
    assert key not in reader.read_all(ReadRequest()).exited


def test_a_killed_child_that_nobody_reaped_is_a_zombie_and_not_an_error(
    reader: LinuxProcesses, start: Callable[..., subprocess.Popen[str]], until: Callable[..., object]
) -> None:
    child = start(SLEEP)
    key = key_of(child.pid)
    assert key is not None
    reader.read_all(ReadRequest())
    child.kill()

    def zombie() -> bool:
        look = reader.read_all(ReadRequest(watched=frozenset((key,)), wants_fd_count=True))
        seen = of(look, child.pid)
        return seen is not None and seen.sample.state == "Z"

    until(zombie)


REUSE = """
import os, signal, subprocess, sys
from monitord.sampling.linux import LinuxProcesses
from monitord.sampling.process_reader import ReadRequest

def sleeper():
    return os.posix_spawn("/bin/sleep", ["sleep", "100"], {})

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

for limit in (None, 0):
    first = sleeper()
    reader = LinuxProcesses(descriptor_limit=limit)
    seen = reader.read_all(ReadRequest())
    reader.read_all(ReadRequest())
    old = next(one.sample.key for one in seen.readings if one.sample.key.pid == first)
    end(first)
    again = 0
    while again != first:
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write(str(first - 1))
        again = sleeper()
        if again != first:
            end(again)
    look = reader.read_all(ReadRequest())
    new = [one for one in look.readings if one.sample.key.pid == first]
    assert len(new) == 1, look
    if limit is None or new[0].sample.key != old:  # without descriptors, number and start tick are all there is
        assert new[0].earlier_cpu_s is None, "a new process has no earlier reading"
        assert old in look.exited, "the old one is gone even if it began in the same tick"
    end(again)
    reader.close()
print("reused and noticed")
"""


def test_a_reused_number_is_a_new_process(require_tool: Callable[[str], str]) -> None:
    """In a pid namespace of its own, the same number is given out again on purpose."""
    done = subprocess.run(
        [*unshared("--pid", "--fork", "--mount-proc"), sys.executable, "-c", REUSE],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.stdout == "reused and noticed\n", done.stderr


def test_short_cuts_hide_nobody_who_ran(
    start: Callable[..., subprocess.Popen[str]], until: Callable[..., object]
) -> None:
    """A process that works for 50 ms when told to, then sleeps again: the reader with short cuts and one
    that takes none count the same CPU for it."""
    worker = start(
        "import sys, time\nprint('ready')\n"
        "for line in sys.stdin:\n"
        "  end = time.process_time() + 0.05\n"
        "  while time.process_time() < end: pass\n"
        "  print('done')\n"
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    quick, thorough = LinuxProcesses(), LinuxProcesses()
    sums = {quick: 0.0, thorough: 0.0}
    for number in range(6):
        if number > 2:
            worker.stdin.write("\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "done\n"
            until(lambda: Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
        for reader in (quick, thorough):
            if reader is thorough:
                reader._thorough_at_s = float("-inf")
            seen = of(reader.read_all(ReadRequest()), worker.pid)
            sums[reader] += 0.0 if seen is None or number < 3 else seen.cpu_used_s
    assert sums[quick] == pytest.approx(sums[thorough], abs=0.011)
    assert sums[quick] >= 0.12
    quick.close()
    thorough.close()


def test_storage_use_is_remembered_over_passes_that_did_not_ask_for_it(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Written while only CPU was of interest, asleep when I/O is: it must still be seen."""
    worker = start(
        "import os, sys\nprint('ready')\n"
        "for line in sys.stdin:\n"
        "  with open(sys.argv[1], 'wb') as f:\n"
        "    f.write(b'x' * (1 << 20)); f.flush(); os.fsync(f.fileno())\n"
        "  print('done')\n",
        str(tmp_path / "written"),
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    reader = LinuxProcesses()
    for wants_io in (True, True, False):
        reader.read_all(ReadRequest(wants_io=wants_io))
    worker.stdin.write("\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"
    reader.read_all(ReadRequest())
    reader.read_all(ReadRequest())
    seen = of(reader.read_all(ReadRequest(wants_io=True)), worker.pid)
    assert seen is not None
    assert seen.earlier_io_bytes is not None
    assert (seen.sample.write_bytes or 0) + (seen.sample.read_bytes or 0) >= seen.earlier_io_bytes + (1 << 20)
    assert seen.io_over_s > 0
    reader.close()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (b"a\nb) S 1 1", b"42 (a\nb) S 1 1) R 7"),
        (b") R 1 (", b"42 () R 1 () R 7"),
        (b"\xff\xfe", b"42 (\xff\xfe) R 7"),
    ],
)
def test_a_stat_line_is_cut_at_the_last_bracket(name: bytes, line: bytes) -> None:
    fields = b" 42 42 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 3 0 98765 4096 10 18446744073709551615 1 1"
    entry = Entry("42", -1, line + fields)
    assert os.fsencode(entry.name) == name
    assert (entry.state, entry.parent_pid, entry.thread_count) == ("R", 7, 3)
    assert entry.cpu_s == pytest.approx(300 / os.sysconf("SC_CLK_TCK"))
    assert entry.key == ProcessKey(42, 98765)
    assert entry.rss_bytes == 10 * os.sysconf("SC_PAGE_SIZE")


def test_the_owner_is_the_user_it_runs_as_now(start: Callable[..., subprocess.Popen[str]]) -> None:
    reader = LinuxProcesses()
    seen = of(reader.read_all(ReadRequest()), os.getpid())
    assert seen is not None
    assert seen.sample.uid == os.geteuid()
    reader.close()


@pytest.mark.root
def test_a_process_that_drops_its_rights_is_shown_as_who_it_became(
    start: Callable[..., subprocess.Popen[str]], until: Callable[..., object]
) -> None:
    child = start("import os, sys\nprint('ready'); sys.stdin.readline(); os.setuid(65534)\nwhile True: pass")
    reader = LinuxProcesses()
    first = of(reader.read_all(ReadRequest()), child.pid)
    assert first is not None
    assert first.sample.uid == 0
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()

    def became_nobody() -> bool:
        seen = of(reader.read_all(ReadRequest()), child.pid)
        return seen is not None and seen.sample.uid == 65534

    until(became_nobody)
    reader.close()


def test_descriptors_of_a_gone_process_are_unknown() -> None:
    assert count_descriptors(2**22 + 1) is None
    assert key_of(2**22 + 1) is None


def test_descriptors_are_counted_at_each_heartbeat_however_busy_the_machine_is(
    start: Callable[..., subprocess.Popen[str]], until: Callable[..., object]
) -> None:
    """Passes that are complete for another reason must not put the count of descriptors off for ever."""
    child = start(OPENER)
    sampler = Sampler(heartbeat_s=1.0)
    demand = Demand(cpu_percent=0.0, needs_fd_count=True)
    sampler.look(demand)
    open_more(child)

    def is_seen() -> bool:
        rates = sampler.look(demand)
        assert rates.is_complete
        return any(one.key.pid == child.pid and (one.fd_count or 0) >= 50 for one in rates.processes)

    until(is_seen, pause_s=0.2)
    sampler.close()


def test_descriptors_of_who_has_not_run_are_not_counted_again(
    start: Callable[..., subprocess.Popen[str]], until: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sleeper opens nothing: counting everybody at each heartbeat would be a call a process for nothing."""
    sleeper, opener = start(SLEEP), start(OPENER)
    reader, ask = LinuxProcesses(), ReadRequest(wants_fd_count=True)
    reader.read_all(ask)
    until(
        lambda: not {sleeper.pid, opener.pid} & {one.sample.key.pid for one in reader.read_all(ask).readings}
    )
    before = count_descriptors(opener.pid)
    open_more(opener)
    counted: list[int] = []
    monkeypatch.setattr(
        linux, "count_descriptors", lambda pid: (counted.append(pid), count_descriptors(pid))[1]
    )
    seen = of(reader.read_all(ask), opener.pid)
    reader.close()
    assert seen is not None
    assert before is not None
    assert seen.sample.fd_count == before + 50
    assert opener.pid in counted
    assert sleeper.pid not in counted


def open_more(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "opened\n"


POOL = """
import sys, threading, time
print("ready")
sys.stdin.readline()
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
print("two threads")
sys.stdin.readline()
until = time.thread_time() + 0.3
while time.thread_time() < until: pass
end.set()
thread.join()
print("one thread")
sys.stdin.readline()
"""


def test_the_turns_of_the_only_thread_are_those_of_now(start: Callable[..., subprocess.Popen[str]]) -> None:
    """Not of the time before others came and went: what it waited meanwhile would count as waited at once."""
    pool, reader = start(POOL), LinuxProcesses()
    assert pool.stdin is not None
    assert pool.stdout is not None
    reader.read_all(ReadRequest())
    reader.read_all(ReadRequest())
    for said in ("two threads\n", "one thread\n"):
        pool.stdin.write("go on\n")
        pool.stdin.flush()
        assert pool.stdout.readline() == said
        reader.read_all(ReadRequest())
    line = reader.turns_of(pool.pid)
    assert line is not None
    assert int(line.split()[0]) > 0.25e9, "what it ran until then, in ns"
    reader.close()
