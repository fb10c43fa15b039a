"""Builds and runs the programs of the evidence benchmark, and knows which process is the one that spikes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evidence_cases import PYTHON, Case

PROGRAMS = Path(__file__).resolve().parent / "programs"
READY_S = 30.0
PREFIX = f"ev{os.getpid() % 100_000}-"  # what our programs' names begin with: another run has another
_LINKS = {"ev-node": "node", "ev-java": "java", "ev-perl": "perl", "ev-ruby": "ruby", "ev-unshare": "unshare"}


def own(word: str) -> str:
    """A word of a case with the names of this run."""
    return word.replace("ev-", PREFIX)


def _gcc(*flags: str) -> tuple[str, ...]:
    return ("gcc", *flags, "-o", "{output}", str(PROGRAMS / "burner.c"))


_GO, _RUST = str(PROGRAMS / "burner.go"), str(PROGRAMS / "burner.rs")
BUILDS: dict[str, tuple[str, ...]] = {
    "ev-c-fp": _gcc("-O2", "-fno-omit-frame-pointer"),
    "ev-c-nofp": _gcc("-O2", "-fomit-frame-pointer"),
    "ev-c-debug": _gcc("-O1", "-g"),
    "ev-c-static": _gcc("-O2", "-static"),
    "ev-c-stripped": _gcc("-O2", "-s"),
    "ev-second": _gcc("-O2", "-DPLANTED=planted_later"),
    "native.so": ("gcc", "-O2", "-shared", "-fPIC", "-o", "{output}", str(PROGRAMS / "native.c")),
    "ev-storm": ("gcc", "-O2", "-o", "{output}", str(PROGRAMS / "storm.c")),
    "ev-go": ("go", "build", "-o", "{output}", _GO),
    "ev-go-stripped": ("go", "build", "-ldflags=-s -w", "-o", "{output}", _GO),
    "ev-go-pie": ("go", "build", "-buildmode=pie", "-ldflags=-s -w", "-o", "{output}", _GO),
    "ev-rust": ("rustc", "-O", "-o", "{output}", _RUST),
    "ev-rust-stripped": ("rustc", "-O", "-C", "strip=symbols", "-o", "{output}", _RUST),
    "Burner.class": ("javac", "-d", "{folder}", str(PROGRAMS / "Burner.java")),
}


def missing(case: Case) -> str | None:
    """Why this case can't be run here; None: it can."""
    lacking = [tool for tool in case.needs if shutil.which(tool) is None]
    if lacking:
        return f"{' and '.join(lacking)} not found"
    return "needs root" if case.needs_root and os.geteuid() != 0 else None


def build(cases: Sequence[Case], place: Path) -> dict[str, str]:
    """Make what the cases start, in `place`; gives why a program could not be built, by its name."""
    words = {word for case in cases for word in (*case.words, case.words[0].partition("=")[0])}
    wanted = {Path(word.format(place=place, programs=PROGRAMS)).name for word in words}
    wanted |= {"Burner.class"} if "Burner" in wanted else set()
    (place / own("ev-python")).symlink_to(PYTHON)
    for link, tool in _LINKS.items():
        if link in wanted:
            (place / own(link)).symlink_to(os.path.realpath(str(shutil.which(tool))))
    failed = {}
    for name in wanted & BUILDS.keys():
        command = [word.format(output=place / own(name), folder=place) for word in BUILDS[name]]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place)
        if done.returncode:
            failed[name] = f"{command[0]}: {done.stderr.strip().splitlines()[:1]}"
    return failed


class Program:
    """One started program; `lines` are (seconds since the epoch, pid as it knows itself, rounds)."""

    def __init__(self, case: Case, place: Path) -> None:
        words = [own(word).format(place=place, programs=PROGRAMS) for word in case.words]
        executable, _, title = words[0].partition("=")
        words[0] = title or str(place / executable)
        self.lines: list[tuple[float, int, int]] = []
        self.pids: set[int] = set()
        self._is_ready = threading.Event()
        self._has_begun = threading.Event()
        self.process = subprocess.Popen(
            words,
            executable=str(place / executable),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=place,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            heard_s, words = time.time(), line.split()
            if words == [b"ready"]:
                self._is_ready.set()
            elif len(words) == 2 and all(word.isdigit() for word in words):
                self.lines.append((heard_s, int(words[0]), int(words[1])))
                self._has_begun.set()

    def wait_until_ready(self) -> None:
        if not self._is_ready.wait(READY_S):
            raise SystemExit(f"{self.process.args} did not say that it is ready")

    def begin(self) -> int:
        """Start the spike; gives the pid, as the machine knows it, of the process that burns."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        if not self._has_begun.wait(READY_S):
            raise SystemExit(f"{self.process.args} did not begin")
        self.pids = family(self.process.pid)
        itself = self.lines[0][1]
        return next((pid for pid in sorted(self.pids) if innermost_pid(pid) == itself), itself)

    def turn(self) -> None:
        """The next phase; the process may have ended meanwhile."""
        self.process.send_signal(signal.SIGUSR1)

    def speed(self, since_s: float, until_s: float) -> float | None:
        """Rounds per second of the first process that reported; None: too few reports in that time."""
        if not self.lines:
            return None
        pid = self.lines[0][1]
        told = [(at, rounds) for at, who, rounds in self.lines if who == pid and since_s <= at <= until_s]
        if len(told) < 3 or told[-1][0] - told[0][0] < 0.5 or told[-1][1] < told[0][1]:
            return None
        return (told[-1][1] - told[0][1]) / (told[-1][0] - told[0][0])

    def end(self) -> None:
        for pid in {self.process.pid, *family(self.process.pid), *self.pids}:
            if pid == self.process.pid or is_of_session(pid, self.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.process.wait()


@contextmanager
def started(case: Case, place: Path) -> Iterator[Program]:
    """The program, ready and calm, with the burners that belong beside it; all gone at the end."""
    beside = []
    program = Program(case, place)
    try:
        program.wait_until_ready()
        for _ in range(case.burners_beside):
            spin = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
            # In sessions of their own: the kernel shares the CPU out by session first.
            beside.append(
                subprocess.Popen(["beside", "-I", "-c", spin], executable=PYTHON, start_new_session=True)
            )
        yield program
    finally:
        for process in beside:
            process.kill()
        for process in beside:
            process.wait()
        program.end()


def family(pid: int) -> set[int]:
    """This process and all that descend from it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:
            continue
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found


def innermost_pid(pid: int) -> int | None:
    """How a process knows itself: the last number of NSpid."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    except OSError:
        return None
    return pid


def is_of_session(pid: int, session: int) -> bool:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[3]) == session
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit("run benchmarks/evidence.py")
