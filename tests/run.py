"""Runs the suite as `make test` does: the tests that measure processes, and beside them, with low priority, all others.

Each lane is a pytest of its own; words of the call go to all of them: `tests/run.py tests/flow -x`. What fails there is
run once more with the machine to itself. The last lines name what failed, and what failed only beside the other lanes.
With `--lint`, `make lint` is one more lane: before them it had one core, and the other one idled.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parent
LANES: dict[
    str, frozenset[str]
] = {  # folders of tests/, and files of them; a test whose folder is not named here is in the last lane
    # They measure processes and wait for spikes, so they are disturbed as little as may be.
    "spikes": frozenset({"flow"}),
    "measuring": frozenset(
        {"capture", "causes", "daemon", "packaging", "sampling", "scripts", "stacks", "supervision"}
    ),
    # They wait for daemons and for servers most of the time.
    "faults": frozenset({"faults"}),
    "serving": frozenset({"fleet", "mcp_server", "metrics"}),
    "booting": frozenset(
        {"service", "web"}
    ),  # a machine and browsers; in one lane with those it was the last
    "storing": frozenset({"analytics", "storage"}),
    "keeping": frozenset({"contracts", "jobs", "recorder"}),
    "asking": frozenset({"cli"}),
    # Two fifths of that folder's CPU: alone it would be at work when all other lanes have ended.
    "breaking": frozenset(
        {
            "cli/test_completing.py",
            "cli/test_damaged_database.py",
            "cli/test_damaged_rows.py",
            "cli/test_fleet.py",
            "cli/test_hostile.py",
            "cli/test_hostile_everywhere.py",
        }
    ),
    "other": frozenset(),
}
LAST = "other"
LINT = "lint"
UNDISTURBED = frozenset({"spikes", "measuring"})
# These store thousands of times, and each time wait for the disk to say that it has it. What must be on the disk
# is counted in system calls (test_durable.py), so where the folders lie changes nothing but that wait.
IN_MEMORY = frozenset({"storing", "keeping", "asking", "breaking", "other"})
MEMORY = Path("/dev/shm")
MEMORY_WANTED_BYTES = 4 << 30
OF_CI = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"})
LOW_PRIORITY = ("nice", "-n", "19")
WIDTH = max(map(len, LANES))
NOTHING_TO_RUN = 5  # pytest's exit status where no test was left for a lane
FAILED = 1  # and where tests failed: not where it was interrupted, or broke
ONLY_WHAT_FAILED = ("--last-failed", "--last-failed-no-failures=none")
SILENT_AT_MOST_S = 900.0  # half as long again as one test may take: nothing but a hang says so little
HELD_AT_MOST_S = 10.0  # by what a lane left running, after its end
AGAIN_AT_MOST = 25  # with more failures than these it is not the other lanes that disturbed


def lane_of(path: Path) -> str:
    """Of a file with tests."""
    relative = path.relative_to(TESTS)
    for name in (relative.as_posix(), relative.parts[0]):  # what is said of the file counts more
        for lane, names in LANES.items():
            if name in names:
                return lane
    return LAST


def lanes_of(folder: Path) -> set[str]:
    """Where tests of a folder may be."""
    name = folder.relative_to(TESTS).parts[0]
    return {
        lane_of(folder),
        *(lane for lane, names in LANES.items() for one in names if one.startswith(f"{name}/")),
    }


@dataclass(frozen=True, slots=True)
class Folders:
    """Where lanes keep what pytest remembers of them, and the files of tests that only store."""

    caches: Path
    memory: Path | None = None


def main(words: list[str]) -> int:
    with ExitStack() as stack:
        places = [None, MEMORY] if has_room(MEMORY) else [None]
        made = [
            stack.enter_context(TemporaryDirectory(prefix="monitord-tests-", dir=place)) for place in places
        ]
        return run(words, Folders(*map(Path, made)))


def has_room(folder: Path) -> bool:
    """Whether there is enough of it, and programs that tests write there can be run."""
    return (
        os.access(folder, os.W_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free >= MEMORY_WANTED_BYTES
    )


def run(words: list[str], folders: Folders) -> int:
    names = [LINT, *LANES] if f"--{LINT}" in words else [*LANES]
    words = [word for word in words if word != f"--{LINT}"]
    lanes: dict[str, subprocess.Popen[bytes]] = {}
    heard: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        """As Ctrl-C does, whatever it was: pytest then ends what its tests started."""
        heard.append(128 + number)
        for lane in lanes:
            end(lane)

    def end(lane: str) -> None:
        """Of these two, make passes on to what it started only the second."""
        lanes[lane].send_signal(signal.SIGTERM if lane == LINT else signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    for lane in names:
        lanes[lane] = start(lane, folders, words)
        if heard:  # while it started: it is not among those that were told
            end(lane)
    ended = {lane: process.wait() for lane, process in relayed(lanes).items()}
    failed = {lane: failures_of(lane, folders.caches) for lane, status in ended.items() if status == FAILED}
    if not heard and 0 < sum(map(len, failed.values())) <= AGAIN_AT_MOST:
        again = [word for word in words if not word.startswith("--junit")]
        for lane in failed:
            if heard:
                break
            lanes[lane] = start(lane, folders, [*again, *ONLY_WHAT_FAILED])
            ended[lane] = relayed({lane: lanes[lane]})[lane].wait()
    report(failed, {lane: failures_of(lane, folders.caches) for lane in failed if ended[lane] != 0})
    report_broken(ended)
    # Where no test was left, that the lint found nothing is no success.
    return status_of([*heard, *(status for lane, status in ended.items() if status or lane != LINT)])


def relayed(lanes: dict[str, subprocess.Popen[bytes]]) -> dict[str, subprocess.Popen[bytes]]:
    """The same lanes, when they have ended and said everything."""
    readers = [threading.Thread(target=relay, args=one) for one in lanes.items()]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return lanes


def failures_of(lane: str, caches: Path) -> frozenset[str]:
    """The tests that failed in the lane's last run, as its pytest wrote them down."""
    try:
        return frozenset(json.loads((caches / lane / "v/cache/lastfailed").read_text()))
    except FileNotFoundError:
        return frozenset()


def report(failed: dict[str, frozenset[str]], still: dict[str, frozenset[str]]) -> None:
    """The last lines: whoever sees only the end of a log sees what failed."""
    for lane, tests in failed.items():
        for test in sorted(tests):
            fate = "failed" if test in still.get(lane, ()) else "failed beside the other lanes, passed alone"
            say(lane, f"{fate}: {test}")


def report_broken(ended: dict[str, int]) -> None:
    """Lanes that did not come to their end: what they would have tested is not known."""
    for lane, status in ended.items():
        if lane == LINT and status > 0:
            say(lane, "failed: its lines above say why")
        elif status not in (0, FAILED, NOTHING_TO_RUN):
            say(lane, f"broke off with exit status {status}")


def status_of(ended: Iterable[int]) -> int:
    """That of the lane which fared worst."""
    return max((abs(status) for status in ended if status != NOTHING_TO_RUN), default=NOTHING_TO_RUN)


def start(lane: str, folders: Folders, words: list[str]) -> subprocess.Popen[bytes]:
    """One pytest, or the lint, in a process group of its own: a Ctrl-C reaches it once, from here."""
    own = [
        str(Path(word).with_suffix(f".{lane}.xml")) if word.startswith("--junit") else word for word in words
    ]
    places = ["-o", f"cache_dir={folders.caches / lane}"]
    if folders.memory is not None and lane in IN_MEMORY:
        places += ["-o", "tmp_path_retention_policy=failed", f"--basetemp={folders.memory / lane}"]
    priority = () if lane in UNDISTURBED else LOW_PRIORITY
    tests = [sys.executable, "-u", "-m", "pytest", f"--lane={lane}", *places, *own]
    return subprocess.Popen(
        [*priority, *(["make", "lint"] if lane == LINT else tests)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        cwd=TESTS.parent,
        env=as_everybody_has_it(),
    )


def as_everybody_has_it() -> dict[str, str]:
    """The environment without what machines of CI set: unbuffered output hid an exit status that users saw.

    And what a process compiled is there for the next: thousands are started.
    """
    return {name: value for name, value in os.environ.items() if name not in OF_CI}


def relay(lane: str, process: subprocess.Popen[bytes]) -> None:
    """What a lane says, line by line, with its name before it, until its end: nobody waits for a hang.

    A lane that is silent for too long is aborted, and tells then where each of its threads is. What a lane
    left running is ended when it holds the lane's output.
    """
    assert process.stdout is not None
    output, begun, heard_s = process.stdout.fileno(), b"", time.monotonic()
    while True:
        if select.select([output], [], [], 0.5)[0]:
            piece = os.read(output, 1 << 16)
            *lines, begun = (begun + piece).split(b"\n")
            for line in [*lines, begun] if not piece and begun else lines:
                say(lane, line.decode(errors="replace").rstrip())
            if not piece:
                return
            heard_s = time.monotonic()
        silent_s = time.monotonic() - heard_s
        if process.poll() is not None and silent_s > HELD_AT_MOST_S:
            end_rest(lane, process.pid)
            return
        if silent_s > SILENT_AT_MOST_S:
            say(lane, f"said nothing for {silent_s:.0f} s, is aborted")
            process.send_signal(signal.SIGABRT)
            heard_s = time.monotonic()


def end_rest(lane: str, group: int) -> None:
    """Of a lane that has ended itself."""
    say(lane, "what it left running holds its output, is killed")
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it made a group of its own: it goes on, and nobody waits for it


def say(lane: str, line: str) -> None:
    print(f"{lane:{WIDTH}} | {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
