"""What the recorder keeps resident over a thousand incidents, in its own process, without waiting for them.

    python benchmarks/memory_ticks.py --incidents 1000

The daemon's own parts (detector, pipeline, worker, keeper, writer, store, retention) in a fresh process with
the daemon's modules; only looking and capturing are stood in for: each tick shows a hundred processes, one of
which has just begun to burn and is another one every third tick, and a capture gives a dump and a profile of
the size that py-spy's have. Every fifty incidents the resident bytes are read, beside how much each part
that remembers something holds; where the bytes step by more than a MiB, what grew is named.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import pairwise

from recording import HERE, ROOT, Row, command_of, installed, parser, show

from monitord.cli.run import ALLOCATOR, LEAN

BUDGET_MIB = 50.0
STEP_MIB = 1.0
_EVERY = 50


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--incidents", type=int, default=1000)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, *LEAN, HERE / "ticking.py", folder, str(arguments.incidents), str(_EVERY)]
        environment = {**ALLOCATOR, **installed(), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    show(rows([json.loads(line) for line in done.stdout.splitlines()]), arguments.rows)


def rows(curve: list[dict[str, float]]) -> list[Row]:
    first, last = curve[0], curve[-1]
    highest = max(point["mib"] for point in curve)
    for before, after in pairwise(curve):
        if after["mib"] - before["mib"] > STEP_MIB:
            grown = {
                name: f"{before[name]:g} → {after[name]:g}" for name in after if after[name] > before[name]
            }
            print(
                f"a step of {after['mib'] - before['mib']:.1f} MiB"
                f" at {after['incidents']:g} incidents: {grown}"
            )
    return [
        Row(
            f"recorder's memory over {last['incidents']:g} incidents, at the start / at the end",
            f"{first['mib']:.1f} / {last['mib']:.1f} MiB RSS (highest {highest:.1f})",
            f"{last['waiting']:g} incidents waited at the end",
            f"≤ {BUDGET_MIB:g} MiB",
            highest <= BUDGET_MIB,
            command_of(__file__),
        )
    ]


if __name__ == "__main__":
    main()
