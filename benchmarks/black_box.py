"""What the black box costs: itself, quiet and busy, the processes that are sampled, and memory.

    python benchmarks/black_box.py --seconds 20

It runs in a process of its own, whose CPU is what counts; the stacks of Python that it reads are in it.
Beside it, in turns: `perf record -a -F 19 -g --overwrite`, and `py-spy dump` of one process at the same
rate. A target's speed is the rounds that it makes a second of its CPU, with the rings open and without, in
pairs. Needs root, or CAP_PERFMON.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from quiet import machine_busy_s, scheduled_s
from recording import HERE, ROOT, Row, command_of, judged, load, memory_of, parser, show, start_burner

from monitord.pipeline.failures import Failures
from monitord.stacks.box import SPAN_NS, BlackBox, now_ns
from monitord.stacks.opening import BoxSettings
from monitord.stacks.rings import DEFAULT_RATE_HZ, Rings

QUIET_BUDGET_PERCENT, BUSY_BUDGET_PERCENT = 0.05, 0.5
SPEED_BUDGET = 0.99
PAIRS = 9
ROUND_S = 1.5
COMMAND = command_of(__file__)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--reader", action="store_true", help="(the child that reads the rings)")
    arguments = options.parse_args()
    if arguments.reader:
        record(arguments.seconds)
        return
    try:
        Rings.open().close()
    except OSError as error:
        sys.exit(f"cannot open the rings: {error}; try as root")
    seconds = arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "burner_fp")
        flags = ("-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls")
        subprocess.run(["gcc", *flags, "-o", program, HERE / "burner_fp.c"], check=True)
        rows = [quiet(seconds), *busy(seconds, program, Path(folder)), speed(program)]
    print(f"load {load()}")
    show(rows, arguments.rows)


# ------------------------------------------------------------------------------------------- the reader


def record(seconds: float) -> None:
    """The black box as the recorder has it, in a process of its own; at the end an incident's question."""
    before = memory_of(os.getpid())["Rss"]
    failures = Failures()
    box = BlackBox(BoxSettings(), lambda _name, _executable: True, failures.run)
    box.start()
    time.sleep(1.0)  # the rings are opened once
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    time.sleep(seconds)
    over_s, used_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    asked_s = time.process_time()
    document = box.take_machine(now_ns() - SPAN_NS, now_ns())
    found = {
        "percent": 100 * used_s / over_s,
        "python": box.status()["read"],
        "asked_ms": 1000 * (time.process_time() - asked_s),
        "samples": 0 if document is None else document.sample_count,
        "grown_bytes": memory_of(os.getpid())["Rss"] - before,
        "lost": box.status()["lost"],
        "failures": dict(failures.counts),
    }
    box.close(5)
    print(json.dumps(found))


def said(found: dict[str, float]) -> str:
    grown = found["grown_bytes"] / 2**20
    read = f"{found['samples']} samples, {found['python']} stacks of Python"
    return f"{found['percent']:.3f} % of one core, {read}; +{grown:.1f} MiB RSS"


def reader(seconds: float) -> dict[str, float]:
    words = [sys.executable, __file__, "--reader", "--seconds", str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


# ------------------------------------------------------------------------------------------- quiet and busy


def quiet(seconds: float) -> Row:
    busy_s, began_s = machine_busy_s(), time.monotonic()
    found = reader(seconds)
    others = 100 * (machine_busy_s() - busy_s) / (time.monotonic() - began_s)
    return Row(
        "the black box, nothing else going on",
        said(found),
        f"everything on the machine {others:.0f} % of one core; {perf_record(seconds)}",
        f"≤ {QUIET_BUDGET_PERCENT} % on a quiet machine",
        found["percent"] <= QUIET_BUDGET_PERCENT
        if others < 10 or found["percent"] <= QUIET_BUDGET_PERCENT
        else None,
        COMMAND,
    )


def busy(seconds: float, program: Path, folder: Path) -> Iterator[Row]:
    """Every core busy: one program of Python, the others of C; and short ones that come and go."""
    cores = os.cpu_count() or 1
    with ExitStack() as stack:
        python = start_burner(4 * seconds + 60)
        stack.callback(end, python)
        for _ in range(cores - 1):
            stack.enter_context(running([program, str(4 * seconds + 60)]))
        shell = f"while :; do {program} 0.05; done"
        stack.enter_context(running(["sh", "-c", f"ulimit -t {int(4 * seconds) + 60}; {shell}"]))
        found = reader(seconds)
        perf = perf_record(seconds)
        spied = py_spy_dumps(python.pid, seconds / 2)
    yield Row(
        f"the black box, {cores} cores busy, a program that comes and goes",
        said(found),
        f"{perf}; {spied}",
        f"≤ {BUSY_BUDGET_PERCENT} %",
        judged(found["percent"] <= BUSY_BUDGET_PERCENT),
        COMMAND,
    )
    yield Row(
        f"all that it has of the machine, as a document: {found['samples']} samples",
        f"{found['asked_ms']:.0f} ms of CPU, once an incident; {found['lost']} records lost",
        "–",
        "–",
        None,
        COMMAND,
    )


def perf_record(seconds: float) -> str:
    """What perf itself uses of a core, recording the same in its own rings."""
    perf = shutil.which("perf")
    if perf is None:
        return "perf missing"
    with tempfile.TemporaryDirectory() as folder:
        words = [perf, "record", "-a", "-F", str(DEFAULT_RATE_HZ), "-e", "cpu-clock", "-g", "--overwrite"]
        words += ["--switch-output=signal", "-m", "64", "-o", f"{folder}/perf.data"]
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(2)
            before_s = scheduled_s(process.pid)
            time.sleep(seconds)
            used_s = scheduled_s(process.pid) - before_s
            resident = memory_of(process.pid)["Rss"] / 2**20
        finally:
            process.terminate()
            process.wait()
    percent = 100 * used_s / seconds
    return f"`perf record -a -F {DEFAULT_RATE_HZ} -g --overwrite` {percent:.3f} %, {resident:.0f} MiB"


def py_spy_dumps(pid: int, seconds: float) -> str:
    """One process only, at the rate of the rings."""
    tool = Path(sys.executable).with_name("py-spy")
    if not tool.exists():
        return "py-spy missing"
    times = os.times()
    count, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        subprocess.run(
            [tool, "dump", "--nonblocking", "-p", str(pid)], stdout=subprocess.DEVNULL, check=False
        )
        count += 1
    after = os.times()
    each_s = (
        after.children_user + after.children_system - times.children_user - times.children_system
    ) / count
    percent = 100 * each_s * DEFAULT_RATE_HZ
    rate = f"{DEFAULT_RATE_HZ} times a second"
    return f"`py-spy dump` of one process {rate} {percent:.0f} % ({1000 * each_s:.0f} ms each)"


# ------------------------------------------------------------------------------------------- the target


def speed(program: Path) -> Row:
    """Rounds that a burner makes a second of its CPU: with the rings and without, one after the other."""
    ratios = []
    for turn in range(PAIRS):
        both = {}
        for has_rings in (True, False) if turn % 2 else (False, True):
            both[has_rings] = rounds(program, has_rings=has_rings)
        ratios.append(both[True] / both[False])
    middle = statistics.median(ratios)
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    return Row(
        "a busy target's speed with the rings open",
        f"{middle:.4f} of its speed without (median of {PAIRS} pairs, {spread})",
        f"{DEFAULT_RATE_HZ} samples a second, each of 14 frames",
        f"≥ {SPEED_BUDGET}",
        judged(middle >= SPEED_BUDGET),
        COMMAND,
    )


def rounds(program: Path, *, has_rings: bool) -> float:
    rings = Rings.open() if has_rings else None
    try:
        done = subprocess.run([program, str(ROUND_S)], capture_output=True, text=True, check=True)
    finally:
        if rings is not None:
            rings.close()
    return float(done.stdout)


@contextmanager
def running(words: Sequence[str | Path]) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


if __name__ == "__main__":
    main()
