"""What one capture costs its target and us, beside the bare profiler doing the same.

    python benchmarks/capture_cost.py --rounds 3 --seconds 5

The target counts its own work in shared memory; its speed in each method is compared with its speed in
undisturbed stretches just before and after. The profiler's cost is the CPU of every process it took
(children included), in percent of one core over the capture. Methods take turns.
"""

from __future__ import annotations

import mmap
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recording import Row, command_of, load, parser, show

RATE_HZ = 100
CONTROL_S = 3.0
_COUNTER = struct.Struct("<Q")


def main() -> None:
    arguments = _arguments()
    if arguments.target:
        count_work(arguments.target)
        return
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as folder:
        counter = Path(folder, "counter")
        counter.write_bytes(bytes(_COUNTER.size))
        target = subprocess.Popen([sys.executable, Path(__file__).resolve(), "--target", counter])
        try:
            time.sleep(1.0)
            figures = measure(target.pid, counter, Path(folder), arguments.rounds, arguments.seconds)
        finally:
            target.kill()
            target.wait()
    print(f"load {load()}")
    show(rows(figures, arguments.seconds), arguments.rows)


def measure(
    pid: int, counter: Path, folder: Path, rounds: int, seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """For each method and round: the target's speed relative to the control, and CPU percent of a core."""
    methods: dict[str, Callable[[], None]] = {
        "monitord": lambda: _by_monitord(pid, folder, seconds),
        "py-spy": lambda: _by_py_spy(pid, folder, seconds),
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for number in range(rounds):
        for name in sorted(methods, reverse=bool(number % 2)):
            before, _ = _speed(counter, lambda: time.sleep(CONTROL_S))
            own_s = _own_cpu_s()
            during, took_s = _speed(counter, methods[name])
            used_s = _own_cpu_s() - own_s
            after, _ = _speed(counter, lambda: time.sleep(CONTROL_S))
            figures[name].append((during / statistics.mean((before, after)), 100 * used_s / took_s))
            print(
                f"{name}: speed {figures[name][-1][0]:.3f}, own CPU {figures[name][-1][1]:.1f} %", flush=True
            )
    return figures


def _speed(counter: Path, during: Callable[[], None]) -> tuple[float, float]:
    """The target's work per second while `during` runs, and how long that was."""
    first, began_s = _COUNTER.unpack(counter.read_bytes())[0], time.monotonic()
    during()
    took_s = time.monotonic() - began_s
    return (_COUNTER.unpack(counter.read_bytes())[0] - first) / took_s, took_s


def _own_cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _by_monitord(pid: int, folder: Path, seconds: float) -> None:
    """All of a capture: the context, the profile, its parsing in a child."""
    from monitord.capture import Consent, ProfileCaptureService
    from monitord.model import CapturePlan
    from monitord.sampling import key_of

    target, spool = key_of(pid), folder / "spool"
    assert target is not None
    spool.mkdir(mode=0o700)
    service = ProfileCaptureService(Consent("auto", (), ()))
    captures = service.capture(target, CapturePlan(duration_s=seconds, rate_hz=RATE_HZ), spool)
    shutil.rmtree(spool)
    if not any(capture.role == "profile" and capture.status.has_evidence for capture in captures):
        raise SystemExit(f"no profile: {[(one.profiler, one.status, one.reason) for one in captures]}")


def _by_py_spy(pid: int, folder: Path, seconds: float) -> None:
    words = [
        Path(sys.executable).parent / "py-spy", "record", "--pid", str(pid), "--rate", str(RATE_HZ),
        "--duration", f"{seconds:.0f}", "--format", "raw", "--output", folder / "bare.txt",
    ]  # fmt: skip
    subprocess.run(words, capture_output=True, check=True)


def rows(figures: dict[str, list[tuple[float, float]]], seconds: float) -> list[Row]:
    def middle(name: str, index: int) -> float:
        return statistics.median(pair[index] for pair in figures[name])

    def spread(name: str) -> str:
        speeds = [speed for speed, _ in figures[name]]
        return f"{middle(name, 0):.2f} ({min(speeds):.2f}–{max(speeds):.2f})"

    command = command_of(__file__)
    return [
        Row(
            f"speed of the target under one capture of {seconds:g} s at {RATE_HZ} Hz (1 = undisturbed)",
            spread("monitord"), f"bare `py-spy record` {spread('py-spy')}", "–", None, command,
        ),
        Row(
            "our CPU for that capture, context and parsing included",
            f"{middle('monitord', 1):.1f} % of one core", f"bare `py-spy record` {middle('py-spy', 1):.1f} %",
            "–", None, command,
        ),
    ]  # fmt: skip


def count_work(path: Path) -> None:
    """The target: a stack of ten frames that counts in shared memory what it has done."""
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), _COUNTER.size)

        def descend(depth: int) -> int:
            return descend(depth - 1) if depth else sum(range(2000))

        done = 0
        while True:
            descend(10)
            done += 1
            _COUNTER.pack_into(shared, 0, done)


def _arguments():
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--target", type=Path, help="(the target itself: where it counts)")
    return options.parse_args()


if __name__ == "__main__":
    main()
