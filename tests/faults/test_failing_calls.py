"""System calls that fail while a real daemon looks: a pass is lost and said, and the next one is made."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flow.recorder import CPU_RULE, QUICK, Recorder
from tests.patience import PATIENCE_S

Make = Callable[..., Recorder]
ASKED_FOR_S = 30.0  # then strace is no longer asked to let go: that is not what is tested
# Each third call fails for a few passes: what lists, opens, reads and waits, and what starts or locks something.
POINTS = [
    ("openat", "EMFILE"),
    ("openat", "EACCES"),
    ("openat", "ENOENT"),
    ("read,pread64", "EIO"),
    ("getdents64", "ENOMEM"),
    ("newfstatat,statx", "EACCES"),
    ("poll", "ENOMEM"),
    ("clone,clone3,vfork", "EAGAIN"),
    ("fcntl", "EMFILE"),
    ("write,pwrite64", "ENOSPC"),
    ("rename,renameat,renameat2", "EIO"),
    ("fsync,fdatasync", "EIO"),
    ("mmap", "ENOMEM"),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """One that stays alive over all of them, or the first that ends it is named."""
    made = Recorder(tmp_path_factory.mktemp("failing"), QUICK + CPU_RULE)
    yield made.start()
    made.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(("calls", "error"), POINTS, ids=lambda value: value)
def test_a_call_that_fails_in_a_pass_costs_that_pass(
    daemon: Recorder, tmp_path: Path, calls: str, error: str
) -> None:
    """Alive afterwards, further passes are made and told, and nobody saw a traceback."""
    assert daemon.daemon is not None
    trace, told = tmp_path / "trace", len(daemon.log_text())
    words = ["strace", "-f", "-qq", "-o", str(trace), "-p", str(daemon.daemon.pid), "-e", f"trace={calls}"]
    tracer = subprocess.Popen([*words, "-e", f"inject={calls}:error={error}:when=2+3"])
    burner = daemon.python("burn.py", "50", "5")
    try:
        daemon.wait_for(lambda: injected(trace) >= 3 or burner.poll() is not None, "calls to fail")
    finally:
        end(tracer)
        burner.kill()
    daemon.wait_for_passes(3)
    assert daemon.daemon.poll() is None
    traces = [line for line in daemon.log_text()[told:].splitlines() if "Traceback" in line]
    assert not [line for line in traces if "event=capture.failed" not in line], "a capture may say where"


def end(tracer: subprocess.Popen[bytes]) -> None:
    """It waits for each thread that it lets go, and some never answer; the kernel lets go of them with it."""
    tracer.send_signal(signal.SIGINT)
    try:
        tracer.wait(ASKED_FOR_S)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait(PATIENCE_S)


def injected(trace: Path) -> int:
    return trace.read_text(errors="replace").count("(INJECTED)") if trace.exists() else 0


@pytest.mark.root
def test_where_no_process_can_be_started_the_crossing_is_still_recorded(
    recorder: Make, pids_limit: Callable[[int], Path]
) -> None:
    """A pids cgroup at its limit, as in a fork bomb: the incident is kept, with what could not be taken."""
    daemon = recorder().start()
    assert daemon.daemon is not None
    group = pids_limit(1)
    (group / "cgroup.procs").write_text(str(daemon.daemon.pid))
    burner = daemon.python("burn.py", "50")
    incident = daemon.incident(pid=burner.pid, profiled=False)
    assert incident["captures"]
    (group / "pids.max").write_text("max")
    daemon.wait_for_passes(3)
    assert daemon.stop() == 0


@pytest.fixture
def pids_limit() -> Iterator[Callable[[int], Path]]:
    """Make a pids cgroup (version 1 or 2) with a limit."""
    root = next(
        (
            path
            for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
            if (path / "cgroup.procs").exists() and controls_pids(path)
        ),
        None,
    )
    if root is None:
        pytest.skip("no pids cgroup: run as root where /sys/fs/cgroup can be written")
    group = root / "monitord-test"

    def make(limit: int) -> Path:
        group.mkdir(exist_ok=True)
        (group / "pids.max").write_text(str(limit))
        return group

    yield make
    if group.exists():
        for pid in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        group.rmdir()


def controls_pids(root: Path) -> bool:
    if root.name == "pids":
        return True
    enabled = root / "cgroup.subtree_control"
    return enabled.exists() and "pids" in enabled.read_text().split()
