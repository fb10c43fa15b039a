"""How long from the first crossing to the first stack, over real spikes.

    python benchmarks/first_look.py --spikes 15

A daemon with the default interval of 2 s; each spike is a new Python process. The look that finds it above
the threshold is the crossing (`crossed_at` of the incident); the stack is there when the dump has ended (its
start from the store, its duration from the daemon's log). Up to one tick passes before that look: the time
from the start of the spiking process is given too. Beside: a plain `py-spy dump` of an equal process.
What the supervisor adds is given in CPU time, too, which a busy machine does not change much: around a tool
that does nothing, beside an interpreter that does nothing.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recording import Recording, Row, burner, command_of, judged, load, parser, recording, show

BUDGET_MS = 100.0
CONFIG = """\
[log]
style = "json"
level = "debug"
[capture]
max_per_hour = 1000
[retention]
min_free_disk_mb = 0
[[rules]]
name = "bench-cpu"
metric = "cpu"
above = 5
window_s = 2
clear_below = 2
captures_per_hour = 1000
profiler = "none"
match.names = ["bench-spike"]
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--spikes", type=int, default=15)
    arguments = options.parse_args()
    with recording(CONFIG) as daemon:
        looks = [spike(daemon, number) for number in range(arguments.spikes)]
    plain_ms = [plain_dump_ms() for _ in range(arguments.spikes)]
    show([_row(looks, plain_ms), _supervisor_row(arguments.spikes)], arguments.rows)


def spike(daemon: Recording, number: int) -> tuple[float, float]:
    """Milliseconds from the crossing to the stack, and seconds from the start of the process to it."""
    time.sleep(0.37 * (number % 6))  # spread over the tick
    begun = datetime.now(UTC)
    with burner(60) as process:
        daemon.wait_for(lambda: _dump(daemon, process.pid), "the first look")
        found = _dump(daemon, process.pid)
    assert found is not None
    crossed_at, seen_at = found
    print(f"spike {number + 1}: {(seen_at - crossed_at).total_seconds() * 1e3:.0f} ms", flush=True)
    return (seen_at - crossed_at).total_seconds() * 1e3, (seen_at - begun).total_seconds()


def _dump(daemon: Recording, pid: int) -> tuple[datetime, datetime] | None:
    """When the rule was crossed and when the dump had ended, once the incident is stored."""
    from monitord.storage.queries import RecentFilter, StoreReader

    with StoreReader(daemon.data_dir) as reader:
        for record in reader.recent(RecentFilter(pid=pid)):
            view = reader.incident(record.correlation_id)
            for dump in view.captures:
                if dump.role == "dump" and dump.status.has_evidence:
                    return view.crossed_at, dump.captured_at + timedelta(
                        seconds=_logged_duration_s(daemon, pid)
                    )
    return None


def _logged_duration_s(daemon: Recording, pid: int) -> float:
    """How long the dump took, from the daemon's log: the store keeps whole seconds."""
    for line in daemon.log.read_text().splitlines():
        logged = json.loads(line)
        if (logged["event"], logged.get("role"), logged.get("pid")) == ("capture.finished", "dump", pid):
            return float(logged["duration_s"])
    raise SystemExit(f"the daemon's log has no dump of {pid}")


def plain_dump_ms() -> float:
    program = Path(sys.executable).parent / "py-spy"
    with burner(30) as process:
        time.sleep(0.5)
        began_s = time.perf_counter()
        subprocess.run(
            [program, "dump", "--nonblocking", "--pid", str(process.pid)], capture_output=True, check=True
        )
        return (time.perf_counter() - began_s) * 1e3


def _row(looks: list[tuple[float, float]], plain_ms: list[float]) -> Row:
    from_crossing = [crossing for crossing, _ in looks]
    from_start = [start for _, start in looks]
    over = sum(value > BUDGET_MS for value in from_crossing)
    print(f"load {load()}")
    return Row(
        f"first stack after the crossing, {len(looks)} spikes",
        f"median {statistics.median(from_crossing):.0f} ms, longest {max(from_crossing):.0f} ms ({over} over "
        f"{BUDGET_MS:g}); from the start of the process median {statistics.median(from_start):.1f} s, "
        f"longest {max(from_start):.1f} s",
        f"`py-spy dump` {statistics.median(plain_ms):.0f} ms (longest {max(plain_ms):.0f})",
        "≤ one tick + 100 ms",
        judged(max(from_crossing) <= BUDGET_MS),
        command_of(__file__),
    )


def _supervisor_row(runs: int) -> Row:
    from monitord.capture.tool_runner import Runner, ToolRun

    runner = Runner()
    with tempfile.TemporaryDirectory() as folder:
        tool_run = ToolRun(("/bin/true",), Path(folder), limit_s=5.0, is_hurried=True)
        ours_ms = [_children_ms(lambda: runner.run(tool_run)) for _ in range(runs)]
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    bare_ms = [_children_ms(lambda: subprocess.run(bare, check=True)) for _ in range(runs)]
    return Row(
        f"CPU of the supervisor around a tool that does nothing, {runs} runs",
        f"median {statistics.median(ours_ms):.0f} ms",
        f"`python -I -S -c pass` {statistics.median(bare_ms):.0f} ms",
        "–",
        None,
        command_of(__file__),
    )


def _children_ms(run: Callable[[], object]) -> float:
    """CPU milliseconds of all that `run` started and waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
