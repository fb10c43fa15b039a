"""How long the daemon takes to end in the middle of a capture, and that it loses nothing by it.

    python benchmarks/stopping.py --rounds 5

SIGTERM three seconds after a capture of 60 s began (its context comes first). What the
profiler has by then must be stored.
"""

from __future__ import annotations

import statistics
import time

from recording import Row, burner, command_of, load, parser, recording, show

BUDGET_S = 5.0
CONFIG = """\
[sampling]
interval_s = 0.5
[capture]
duration_s = 60
[retention]
min_free_disk_mb = 0
[[rules]]
name = "bench-cpu"
metric = "cpu"
above = 5
window_s = 1
clear_below = 2
match.names = ["bench-spike"]
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    rounds = [stop_in_mid_capture() for _ in range(arguments.rounds)]
    idle_s = [stop_idle() for _ in range(arguments.rounds)]
    took_s, kept = [took for took, _ in rounds], sum(has_evidence for _, has_evidence in rounds)
    print(f"load {load()}")
    row = Row(
        "SIGTERM in mid-capture to the end of the process",
        f"median {statistics.median(took_s):.2f} s, longest {max(took_s):.2f} s; "
        f"evidence stored in {kept} of {len(rounds)}",
        f"stopped when idle {statistics.median(idle_s):.2f} s",
        f"≤ {BUDGET_S:g} s, nothing lost",
        max(took_s) <= BUDGET_S and kept == len(rounds),
        command_of(__file__),
    )
    show([row], arguments.rows)


def stop_in_mid_capture() -> tuple[float, bool]:
    """Seconds until the daemon was gone, and whether the profile under way was stored."""
    from monitord.storage.queries import RecentFilter, StoreReader

    with recording(CONFIG) as daemon, burner(300) as process:
        daemon.wait_for(lambda: daemon.status().get("capture"), "the capture to begin")
        time.sleep(3.0)
        took_s = daemon.stop()
        with StoreReader(daemon.data_dir) as reader:
            incidents = [
                reader.incident(row.correlation_id) for row in reader.recent(RecentFilter(pid=process.pid))
            ]
    captures = [capture for incident in incidents for capture in incident.captures]
    return took_s, any(capture.role == "profile" and capture.status.has_evidence for capture in captures)


def stop_idle() -> float:
    with recording(CONFIG) as daemon:
        return daemon.stop()


if __name__ == "__main__":
    main()
