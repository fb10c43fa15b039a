"""Are the holders, files and remote ends that causes name the true ones, and what does a look cost?

    python benchmarks/causes_waits.py --rounds 3

Real programs hang, share sockets, write and leak in known ways; each is observed and explained as an incident
is. "unknown" names nobody, "wrong" names somebody else. Exit status 1 when a deadlock, a lock on a file or a
shared socket is not told right every time, or when a look-alike is told as anything.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from recording import ROOT, Row, command_of, load, parser, show

sys.path.insert(0, str(ROOT))

from monitord import procfs
from monitord.causes import METRICS
from monitord.causes.__main__ import member_module
from monitord.causes.facts import Facts
from monitord.causes.threads import read_all
from monitord.model import Alert, Cause, Threshold, TriggerMetric
from tests.causes import hanging, talking

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 60.0
FEW = 2_000  # descriptors and threads of the ones whose look is measured


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of one program, and what would be right: words that must all stand in the sentence."""

    kind: str
    cause: Cause
    right: tuple[str, ...]

    @property
    def verdict(self) -> str:
        if not self.right:
            return "right" if self.cause.confidence == "unknown" else "wrong"
        if all(word in self.cause.sentence for word in self.right):
            return "right"
        return "unknown" if self.cause.confidence in ("unknown", "possible") else "wrong"


@contextmanager
def started(*command: str) -> Iterator[tuple[int, list[int]]]:
    """A program that says "ready", its pid and the numbers it said; all of its group is gone afterwards."""
    words = [sys.executable, "-c", *command] if "\n" in command[0] else [*command]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        assert said[:1] == ["ready"], said
        yield process.pid, [int(word) for word in said[1:]]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def cause_of(pid: int, metric: TriggerMetric) -> Cause:
    """Observed in a child, as by the recorder, and explained."""
    key = procfs.key_of(pid)
    assert key is not None
    words = [sys.executable, "-m", "monitord.causes", metric.value, str(pid), str(key.start_ticks)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    threshold = Threshold(1.0, "count")
    alert = Alert("bench", metric, 300.0, threshold, 1.0, NOW, NOW, key, "bench", "", 1.0)
    cause: Cause = member_module(METRICS[metric]).explain(Facts(alert, after=json.loads(done.stdout)))
    return cause


def hangs_in(pid: int, *calls: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not any(one.call in calls for one in read_all(pid)[1]) and time.monotonic() < end_s:
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------ what is told


def deadlocks(folder: Path) -> Iterator[Told]:
    for kind in sorted(set(hanging.KINDS) - {"inheriting"}):
        for count in (2, 5):
            with started(built(hanging.deadlock(kind, count), folder)) as (pid, _):
                names = tuple(f"thread ring-{number} (" for number in range(min(count, 3)))
                yield Told("deadlocks", cause_of(pid, TriggerMetric.HANG), ("deadlock of", *names))


def file_locks(folder: Path) -> Iterator[Told]:
    path = folder / "locked"
    path.write_bytes(bytes(1000))
    for how in ("flock", "fcntl", "OFD"):
        with (
            started(hanging.HOLDS_A_LOCK, how, str(path)) as (_, (holder,)),
            started(hanging.WAITS_FOR_A_LOCK, how, str(path)) as (pid, _),
        ):
            hangs_in(pid, "flock", "fcntl")
            right = (f"lock on {path}, held by", f"(pid {holder})")
            yield Told("locks on files", cause_of(pid, TriggerMetric.HANG), right)


def look_alikes(folder: Path) -> Iterator[Told]:
    for source in (hanging.JOIN, hanging.CONDITION, hanging.SEMAPHORE):
        with started(built(source, folder)) as (pid, _):
            hangs_in(pid, "futex")
            yield Told("look-alikes", cause_of(pid, TriggerMetric.HANG), ())
    for words in (("1", "1", "1", "0"), ("2", "1", "0", "0"), ("2", "1", "1", "4096")):
        with started(built(hanging.RAW_FUTEX, folder), *words) as (pid, _):
            yield Told("look-alikes", cause_of(pid, TriggerMetric.HANG), ())
    for code in (hanging.IDLE_SERVER, hanging.BUSY_LOCKS):
        with started(code) as (pid, _):
            yield Told("look-alikes", cause_of(pid, TriggerMetric.HANG), ())


def other_ends(_folder: Path) -> Iterator[Told]:
    for code in (hanging.READS_A_PIPE, hanging.WAITS_FOR_A_CHILD, hanging.WAITS_FOR_AN_ANSWER):
        with started(code) as (pid, (child, *_)):
            hangs_in(pid, "read", "wait4", "waitid", "recvfrom")
            yield Told("pipes, children, sockets", cause_of(pid, TriggerMetric.HANG), (f"(pid {child})",))


def shared_sockets(_folder: Path) -> Iterator[Told]:
    for code in talking.SHARED.values():
        with started(talking.HEAD + talking.FAR + code) as (_, (holder, worker, port)):
            for pid in (holder, worker):
                right = (f"to 127.0.0.1:{port}", moved_by(worker))
                yield Told("shared sockets", cause_of(pid, TriggerMetric.NETWORK), right)


def moved_by(pid: int) -> str:
    """Not a word less: the sentence also names who only holds the socket."""
    return f"moved by {procfs.text(procfs.path(pid, 'comm'), 64).strip()} (pid {pid})"


def shared_look_alikes(_folder: Path) -> Iterator[Told]:
    """Another holder does what looks like the work. Who may not be told at all is never somebody else."""
    for code in talking.LOOK_ALIKES.values():
        with started(talking.HEAD + code) as (_, (holder, worker)):
            for pid in (holder, worker):
                cause = cause_of(pid, TriggerMetric.NETWORK)
                yield Told("shared sockets, look-alikes", cause, (moved_by(worker),))
    for does in ("sleep()", "spin()"):
        with started(talking.HIDDEN.format(does=does)) as (_, (hidden, victim, _port)):
            cause = cause_of(victim, TriggerMetric.NETWORK)
            yield Told("shared sockets, look-alikes", cause, (moved_by(hidden),))


def both_send(_folder: Path) -> Iterator[Told]:
    with started(talking.BOTH_SEND) as (_, (parent, child, port)):
        for pid in (parent, child):
            right = (f"127.0.0.1:{port}; which of", f"(pid {parent})", f"(pid {child})", "is unknown")
            yield Told("shared sockets, two that send", cause_of(pid, TriggerMetric.NETWORK), right)


CASES: tuple[Callable[[Path], Iterator[Told]], ...] = (
    deadlocks, file_locks, look_alikes, other_ends, shared_sockets, shared_look_alikes, both_send,
)  # fmt: skip
ALWAYS_RIGHT = (
    "deadlocks",
    "locks on files",
    "look-alikes",
    "shared sockets",
    "shared sockets, two that send",
)


def built(source: str, folder: Path) -> str:
    program = folder / f"p{sha256(source.encode()).hexdigest()[:12]}"
    if not program.exists():
        program.with_suffix(".c").write_text(source, encoding="ascii")
        words = ["gcc", "-w", "-O1", "-pthread", "-o", str(program), f"{program}.c"]
        subprocess.run(words, check=True)
    return str(program)


# --------------------------------------------------------------------------------------- what it costs


def cpu_of(*command: str) -> float:
    """Milliseconds of CPU of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def costs(folder: Path) -> list[Row]:
    """A look at 2,000 threads and at 2,000 descriptors, whole process, beside tools that look at the same."""
    threads = hanging.CONDITION.replace("at < 45", f"at < {FEW}")
    opens = f"kept = [open('/dev/null') for _ in range({FEW})]"
    files = f"import time\n{opens}\nprint('ready', flush=True)\ntime.sleep(600)\n"
    rows = []
    for what, command, metric, peer in (
        (f"{FEW:,} threads", (built(threads, folder),), TriggerMetric.HANG, ("eu-stack", "-n", "0", "-p")),
        (f"{FEW:,} descriptors", (files,), TriggerMetric.FD_GROWTH, ("lsof", "-n", "-P", "-p")),
    ):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * FEW)), hard))
        with started(*command) as (pid, _):
            key = procfs.key_of(pid)
            assert key is not None
            own = (sys.executable, "-m", "monitord.causes", metric.value, str(pid), str(key.start_ticks))
            own_ms, peer_ms = (min(cpu_of(*words) for _ in range(3)) for words in (own, (*peer, str(pid))))
        text = f"a look at {what} for the cause of `{metric.value}`: CPU of the whole child"
        told = f"{peer[0]} {peer_ms:.0f} ms"
        rows.append(Row(text, f"{own_ms:.0f} ms", told, "≤ 1 s", own_ms <= 1000, command_of(__file__)))
    return rows


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    told: list[Told] = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(arguments.rounds):
            told += [one for case in CASES for one in case(Path(name))]
        rows = costs(Path(name))
    print(f"load {load()}")
    by_kind: dict[str, Counter[str]] = {}
    for one in told:
        by_kind.setdefault(one.kind, Counter())[one.verdict] += 1
    for one in told:
        if one.verdict != "right":
            print(f"{one.kind}: {one.verdict}: {one.cause.sentence}; right: {one.right}")
    for kind, verdicts in by_kind.items():
        right, whole = verdicts["right"], verdicts.total()
        measured = f"{right} of {whole} right, {verdicts['unknown']} unknown, {verdicts['wrong']} wrong"
        kept = right == whole if kind in ALWAYS_RIGHT else not verdicts["wrong"]
        budget = "all right" if kind in ALWAYS_RIGHT else "none wrong"
        rows.append(Row(f"causes: {kind}", measured, "–", budget, kept, command_of(__file__)))
    show(rows, arguments.rows)
    if not all(row.kept for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
