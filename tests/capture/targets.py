"""Real processes to be captured, each started ready and ended by the test's fixture.

More than 400 lines: one program a few lines, side by side where a test looks for one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.capture import ProfileCaptureService, session
from monitord.capture.profilers import py_spy
from monitord.capture.session import Profiler, Session
from monitord.capture.target import Target
from monitord.capture.tool_runner import Runner
from monitord.capture.tools import Toolbox
from monitord.model import Capture, CapturePlan, CaptureStatus, ProcessKey
from tests.patience import PATIENCE_S
from tests.strangers import unshared

PYTHON_BURNER = """
import sys
def leaf_burner():
    total = 0
    for number in range(20000):
        total += number * number
    return total
def outer_loop():
    while True:
        leaf_burner()
print("ready", flush=True)
outer_loop()
"""

PYTHON_IDLER = """
import threading
def waits_for_ever():
    threading.Event().wait()
print("ready", flush=True)
waits_for_ever()
"""

PYTHON_CROWD = """
import threading
def leaf_burner():
    return sum(number * number for number in range(2000))
for _ in range(60):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
while True:
    leaf_burner()
"""

PYTHON_BUSY_BESIDE_IDLE = """
import sys, threading
def waits_for_ever():
    threading.Event().wait()
def leaf_burner():
    total = 0
    for number in range(20000):
        total += number * number
    return total
for _ in range(int(sys.argv[1])):
    threading.Thread(target=waits_for_ever, daemon=True).start()
print("ready", flush=True)
while True:
    leaf_burner()
"""

PYTHON_HALF_BUSY = """
import time
def leaf_burner():
    end = time.thread_time() + 0.04
    while time.thread_time() < end:
        pass
def rests():
    time.sleep(0.06)
print("ready", flush=True)
while True:
    leaf_burner()
    rests()
"""

PYTHON_THAT_IS_ENDING = """
import ctypes, signal, threading, time
def ends(*_):
    ctypes.CDLL(None).pthread_exit(None)
signal.signal(signal.SIGUSR1, ends)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(600)
"""

PYTHON_WITH_A_LONG_NAME = """
import sys
name = "f" * int(sys.argv[1])
source = '''
def NAME():
    total = 0
    for number in range(20000):
        total += number * number
def innocent_caller():
    while True:
        NAME()
print("ready", flush=True)
innocent_caller()
'''
exec(compile(source.replace("NAME", name), "made.py", "exec"))
"""

PYTHON_THAT_WRITES_OVER_ITS_CODE = """
import ctypes, struct, sys
def leaf_burner():
    total = 0
    for number in range(20000):
        total += number * number
def innocent_caller():
    while True:
        leaf_burner()
code = leaf_burner.__code__
raw = (ctypes.c_char * code.__sizeof__()).from_address(id(code))
for value in (code.co_name, code.co_qualname):
    at = bytes(raw).find(struct.pack("P", id(value)))
    while at >= 0:
        struct.pack_into("P", raw, at, {"null": 0, "itself": id(code), "nowhere": 0x7123456789}[sys.argv[1]])
        at = bytes(raw).find(struct.pack("P", id(value)))
print("ready", flush=True)
innocent_caller()
"""

PYTHON_DEEP = """
import sys, threading
sys.setrecursionlimit(200_000)
threading.stack_size(512 * 1024 * 1024)
def goes_deeper(levels):
    return goes_deeper(levels - 1) if levels else leaf_burner()
def leaf_burner():
    print("ready", flush=True)
    while True:
        total = 0
        for number in range(20000):
            total += number * number
thread = threading.Thread(target=goes_deeper, args=(int(sys.argv[1]),))
thread.start()
thread.join()
"""

PYTHON_DEEP_CROWD = """
import sys, threading
def goes_deeper(levels):
    if levels:
        return goes_deeper(levels - 1)
    started.release()
    threading.Event().wait()
def leaf_burner():
    total = 0
    for number in range(20000):
        total += number * number
    return total
started = threading.Semaphore(0)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=goes_deeper, args=(int(sys.argv[2]),), daemon=True).start()
    started.acquire()
print("ready", flush=True)
while True:
    leaf_burner()
"""

PYTHON_POOL = """
from concurrent.futures import ThreadPoolExecutor
import threading
def leaf_burner(_):
    total = 0
    for number in range(20000):
        total += number * number
    return total
busy = ThreadPoolExecutor(3)
idle = ThreadPoolExecutor(8)
barrier = threading.Barrier(9)
for _ in range(8):
    idle.submit(barrier.wait)
barrier.wait()
print("ready", flush=True)
while True:
    list(busy.map(leaf_burner, range(30)))
"""

PYTHON_IDLE_POOL = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
def leaf_burner():
    total = 0
    for number in range(20000):
        total += number * number
    return total
pool = ThreadPoolExecutor(int(sys.argv[1]))
list(pool.map(lambda _: time.sleep(0.2), range(int(sys.argv[1]))))
print("ready", flush=True)
while True:
    leaf_burner()
"""

PYTHON_HARDLY_BUSY = """
import sys, threading, time
def waits_for_ever():
    threading.Event().wait()
def leaf_burner():
    end = time.thread_time() + 0.008
    while time.thread_time() < end:
        pass
for _ in range(int(sys.argv[1])):
    threading.Thread(target=waits_for_ever, daemon=True).start()
print("ready", flush=True)
due = time.monotonic()
while True:
    leaf_burner()
    due += 0.1
    time.sleep(max(0.0, due - time.monotonic()))
"""

NATIVE_THREAD = """
#include <pthread.h>
volatile unsigned long sink;
__attribute__((noinline, noclone)) void native_leaf(void) { for (unsigned long i = 0; i < 1000000; i++) sink += i * i; }
static void *burn(void *unused) { for (;;) { native_leaf(); sink++; } return unused; }
void start(void) { pthread_t thread; pthread_create(&thread, 0, burn, 0); }
__attribute__((noinline, noclone)) void native_burn(void) { for (;;) { native_leaf(); sink++; } }
"""

PYTHON_THAT_RUNS_NATIVE_CODE = """
import concurrent.futures, ctypes, sys, threading, time
burn = ctypes.CDLL(sys.argv[1]).native_burn
if sys.argv[2] == "thread":
    threading.Thread(target=burn, daemon=True).start()
else:
    concurrent.futures.ThreadPoolExecutor(1).submit(burn)
print("ready", flush=True)
time.sleep(600)
"""

PYTHON_WITH_NATIVE_THREAD = """
import ctypes, sys, time
ctypes.CDLL(sys.argv[1]).start()
def innocent():
    while True:
        time.sleep(0.01)
print("ready", flush=True)
innocent()
"""

PYTHON_WITH_HELPERS = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
for _ in range(3):
    library.start()
def calls():
    library.native_leaf()
print("ready", flush=True)
while True:
    calls()
"""

PYTHON_LAUNCHER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, sys.argv[1]])
print("ready", flush=True)
child.wait()
"""

EXECUTES_ANOTHER = """
import os, signal
def become(*_):
    os.execv("/bin/sleep", ["sleep", "600"])
signal.signal(signal.SIGUSR1, become)
print("ready", flush=True)
def leaf_burner():
    return sum(number * number for number in range(2000))
while True:
    leaf_burner()
"""

DROPS_ITS_USER = EXECUTES_ANOTHER.replace('os.execv("/bin/sleep", ["sleep", "600"])', "os.setuid(65534)")

LEAVES_A_ZOMBIE = """
import os, time
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(pid, flush=True)
time.sleep(600)
"""

NATIVE_BURNER = """
volatile unsigned long sink;
__attribute__((noinline, noclone)) void hot_leaf(void) { for (unsigned long i = 0; i < 1000000; i++) sink += i * i; }
__attribute__((noinline, noclone)) void middle(void) { for (;;) { hot_leaf(); sink++; } }
int main(void) { middle(); return (int)sink; }
"""

NATIVE_IDLER = """
#include <unistd.h>
__attribute__((noinline, noclone)) int waits_natively(void) { return pause() + 1; }
int main(void) { for (;;) waits_natively(); }
"""

NATIVE_AMONG_READERS = """
#include <pthread.h>
#include <unistd.h>
volatile unsigned long sink;
int ends[2];
__attribute__((noinline, noclone)) void hot_leaf(void) { for (unsigned long i = 0; i < 1000000; i++) sink += i * i; }
static void *reads(void *unused) { char one; while (read(ends[0], &one, 1) > 0) sink++; return unused; }
int main(void) {
    pthread_t thread;
    if (pipe(ends)) return 1;
    for (int i = 0; i < 6; i++) pthread_create(&thread, 0, reads, 0);
    for (;;) { hot_leaf(); sink++; }
}
"""

SHORT = CapturePlan(duration_s=1.0)
GRACE_S = 60.0  # what a tool takes beside its time to look: on a slow machine that may be long


class Targets:
    """Starts processes and sees to it that none outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._started: list[subprocess.Popen[bytes]] = []

    def script(self, source: str, name: str = "target.py") -> Path:
        path = self.folder / name
        path.write_text(source)
        return path

    def python(self, source: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python process that has said "ready"."""
        script = self.script(source, f"target{len(self._started)}.py")
        process = self.start(sys.executable, str(script), *arguments)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def python_in_pid_namespace(self, source: str, *arguments: str) -> int:
        """The same in a pid namespace of its own; its pid as we see it."""
        script = self.script(source, f"target{len(self._started)}.py")
        command = (*unshared("--pid", "--fork", "--mount-proc"), sys.executable, str(script), *arguments)
        process = self.start(*command)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return int(children[0])

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True, cwd="/")
        self._started.append(process)
        return process

    def native(self, compiler: str, source: str) -> subprocess.Popen[bytes]:
        """A compiled C program, with frame pointers, that runs."""
        program = self.program(compiler, source)
        process = self.start(str(program))
        wait_for(lambda: executable(process.pid) == str(program), "the program to run")
        return process

    def program(self, compiler: str, source: str) -> Path:
        """A compiled C program, with frame pointers."""
        code, program = self.script(source, "target.c"), self.folder / "target"
        subprocess.run(
            [
                compiler,
                "-O1",
                "-g",
                "-fno-omit-frame-pointer",
                "-fno-optimize-sibling-calls",
                "-o",
                program,
                code,
            ],
            check=True,
        )
        return program

    @property
    def last(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        return self._started[-1]

    def library(self, compiler: str, source: str) -> Path:
        """A compiled C library, with frame pointers."""
        code, library = self.script(source, "library.c"), self.folder / "library.so"
        flags = ("-O1", "-g", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-pthread")
        subprocess.run([compiler, *flags, "-o", library, code], check=True)
        return library

    def end(self) -> None:
        for process in self._started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def give_way(pid: int) -> None:
    """Leave a target that burns while others read a fifth of a core, where those want it.

    By its session, of which it is the leader: where the kernel shares the CPU out by session, nice counts within one.
    """
    os.setpriority(os.PRIO_PROCESS, pid, max(10, os.getpriority(os.PRIO_PROCESS, pid)))
    with contextlib.suppress(OSError):  # a kernel that does not
        Path(f"/proc/{pid}/autogroup").write_text("10")


def names_in(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def executable(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on: our own reading, apart from the code under test."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def key_of(process: subprocess.Popen[bytes] | int) -> ProcessKey:
    pid = process if isinstance(process, int) else process.pid
    return ProcessKey(pid, int(stat_fields(pid)[19]))


def state_of(pid: int) -> str:
    return stat_fields(pid)[0]


def wait_for(holds: Callable[[], object], what: str) -> None:
    """Poll until it holds; fail with a name when it never does."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.002)
    raise AssertionError(f"waited in vain for {what}")


def working_in(folder: Path) -> list[int]:
    """Every living process whose working folder is `folder`: what a profiler left behind."""
    found = []
    for entry in names_in("/proc"):
        try:
            if entry.isdigit() and str(Path(f"/proc/{entry}/cwd").readlink()).startswith(str(folder)):
                found.append(int(entry))
        except OSError:
            continue
    return found


def command_lines() -> list[tuple[int, str]]:
    """(pid, command line with blanks) of everything that runs."""
    found = []
    for entry in names_in("/proc"):
        try:
            if entry.isdigit():
                text = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(entry), text.decode(errors="replace")))
        except OSError:
            continue
    return found


def wait_until_sampled(pid: int) -> None:
    """Until a py-spy that records it has been at work for some clock ticks."""

    def holds() -> bool:
        for tool, text in command_lines():
            if f"record --pid {pid} " in text and "py-spy" in text:
                try:
                    return sum(map(int, stat_fields(tool)[11:13])) >= 3
                except OSError:
                    continue
        return False

    wait_for(holds, "py-spy to sample the target")


def wait_until_counted(pid: int) -> None:
    """Until perf holds event descriptors for it."""

    def holds() -> bool:
        for perf, text in command_lines():
            if "perf record" in text and f"-p {pid} " in text:
                try:
                    links = [str(link.readlink()) for link in Path(f"/proc/{perf}/fd").iterdir()]
                except OSError:
                    continue
                if any("perf_event" in link for link in links):
                    return True
        return False

    wait_for(holds, "perf to hold the target")


def look_at(
    service: ProfileCaptureService, process: subprocess.Popen[bytes] | int, folder: Path, tool: str = "py-spy"
) -> Capture:
    """A first look by this tool, however slow the machine: in the second that an alert gives it may not even start."""
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(session, "_LOOK_S", PATIENCE_S)
        patient.setattr(py_spy, "_CROWD_LOOK_S", PATIENCE_S)
        look = service.first_look(key_of(process), folder)
    assert (look.profiler, look.status is CaptureStatus.TIMEOUT) == (tool, False), look.reason
    return look


def take(
    profiler: Profiler,
    process: subprocess.Popen[bytes],
    spool: Path,
    tools: Toolbox,
    plan: CapturePlan = SHORT,
    grace_s: float = GRACE_S,
) -> Capture:
    """One step of the ladder on its own, without the context before it."""
    runner = Runner()
    runner.begin()
    try:
        with Target(key_of(process)) as target:
            return profiler.take(Session(target, spool, plan, runner, tools, grace_s=grace_s))
    finally:
        runner.end()
