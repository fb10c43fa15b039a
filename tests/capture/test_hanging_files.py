"""A target whose files keep their reader waiting, or change under it: a capture ends, with true names or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.capture import perf_maps
from monitord.capture.profilers.eu_stack import EuStackLook
from monitord.capture.profilers.perf import Perf
from monitord.capture.target import Target
from monitord.capture.tools import Toolbox
from monitord.capture.views import strange_file
from monitord.model import CaptureStatus
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, take
from tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's"),
]
# Becomes the program it is told; a child of it then puts something over the program's file, for it alone.
COVERS = """
import ctypes, os, sys, time
program, how = sys.argv[1:]
if os.fork():
    os.execv(program, [program])
while os.readlink(f"/proc/{os.getppid()}/exe") != program: time.sleep(0.01)
libc = ctypes.CDLL(None, use_errno=True)
if how.startswith("fuse"):  # a server that never answers
    point = "/tmp" if how.endswith("/tmp") else os.path.dirname(program)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    failed = libc.mount(b"hangs", point.encode(), b"fuse", 0, options)
else:
    os.mkfifo(f"{program}.fifo")
    failed = libc.mount(f"{program}.fifo".encode(), program.encode(), None, 4096, None)
print(os.strerror(ctypes.get_errno()) if failed else "covered", flush=True)
time.sleep(600)
"""
OPENED = """
import json, sys
from monitord.symbols.opening import opened_code
from monitord.capture.target import Target
from monitord.model import ProcessKey
with Target(ProcessKey(int(sys.argv[1]), int(sys.argv[2]))) as target, opened_code(target) as files:
    print(json.dumps(sorted(files)))
"""


@pytest.fixture(params=["fuse", "fuse over /tmp", "FIFO"])
def covered(request: pytest.FixtureRequest, targets: Targets, require_tool: Callable[[str], str]) -> int:
    """A burner under whose path, as it sees it, opening or asking hangs."""
    program = targets.program(require_tool("gcc"), t.NATIVE_BURNER)
    process = targets.start("unshare", "-m", sys.executable, "-c", COVERS, str(program), request.param)
    assert process.stdout is not None
    said = process.stdout.readline().decode().strip()
    assert said == "covered", f"{request.param}: {said}"
    return process.pid


def test_what_hangs_under_a_mapped_path_holds_up_no_capture(
    covered: int, targets: Targets, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """The look and the profile end, with the names of the file that is mapped."""
    require_tool("perf")
    require_tool("eu-stack")
    assert strange_file(covered) is not None
    for profiler in (EuStackLook(), Perf()):
        capture = take(profiler, targets.last, folder, Toolbox())
        assert capture.status is CaptureStatus.OK, capture.reason
        text = capture.payload if capture.path is None else capture.path.read_bytes()
        assert b"hot_leaf" in (text or b"")


def test_who_may_not_ask_the_kernel_for_mapped_files_waits_for_none_either(
    covered: int, targets: Targets, require_tool: Callable[[str], str]
) -> None:
    """Without CAP_SYS_ADMIN and its like files are opened by their path: what hangs there is left out."""
    key = key_of(targets.last)
    less = "-sys_admin,-checkpoint_restore"
    ours = (require_tool("setpriv"), f"--bounding-set={less}", f"--inh-caps={less}", sys.executable)
    done = subprocess.run(
        [*ours, "-c", OPENED, str(key.pid), str(key.start_ticks)],
        capture_output=True, text=True, timeout=PATIENCE_S, env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    opened = json.loads(done.stdout)
    assert opened == [] or t.executable(covered) in opened, "by the kernel's link to its program"


@pytest.fixture
def rewritten() -> Iterator[Callable[[Path], None]]:
    """Write a file anew again and again: short, long, larger than is taken over, empty. It goes at the end."""
    is_over, writers = threading.Event(), dict[Path, threading.Thread]()

    def write(path: Path) -> None:
        while not is_over.is_set():
            for size in (1, 100, 30_000):
                path.write_text(f"7f00 10 {'n' * 5000}\n7f20 10 short\n" * size)
            os.truncate(path, 1 << 30)
            os.truncate(path, 0)

    def begin(path: Path) -> None:
        path.write_text("7f00 10 first\n")
        writers[path] = threading.Thread(target=write, args=(path,))
        writers[path].start()

    yield begin
    is_over.set()
    for path, writer in writers.items():
        writer.join()
        path.unlink()


def test_a_perf_map_that_is_written_anew_while_it_is_read_is_taken_over_within_its_bounds(
    targets: Targets, folder: Path, rewritten: Callable[[Path], None]
) -> None:
    """As a JIT does: whatever the moment, no line of the copy is long, and it is no larger than it may be."""
    process, sizes = targets.python(t.PYTHON_IDLER), set()
    rewritten(Path(f"/tmp/perf-{process.pid}.map"))
    copy = folder / perf_maps.COPY
    with Target(key_of(process)) as target:
        while len(sizes) < 5:
            perf_maps.take_over(target, folder)
            data = copy.read_bytes() if copy.exists() else b""
            copy.unlink(missing_ok=True)
            sizes.add(len(data))
            assert len(data) <= perf_maps.MAX_BYTES
            assert max(map(len, data.split(b"\n"))) <= perf_maps.LINE_CAP_BYTES
