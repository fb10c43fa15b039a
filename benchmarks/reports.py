"""What taking an incident along costs, whole process: report, bundle and summary of one with a large profile.

    python benchmarks/reports.py --stacks 5000

Beside an interpreter that does nothing, and the same incident as JSON. Among 2,000 other incidents.
"""

from __future__ import annotations

import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from asking import an_incident, fill, timed
from recording import Row, command_of, judged, load, parser, show

BUDGET_MS = 2000.0
OTHERS = 2000
DEEP = 30


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--stacks", type=int, default=5000)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as folder:
        data_dir = Path(folder, "data")
        fill(data_dir, OTHERS)
        name = add_one(data_dir, arguments.stacks)
        monitord = [sys.executable, "-m", "monitord"]
        export = [*monitord, "export", name, "--data-dir", str(data_dir)]
        took = timed(
            {
                "report": [*export, "--format", "report", "-o", str(Path(folder, "it.html"))],
                "markdown": [*export, "-o", str(Path(folder, "it.md"))],
                "bundle": [*export, "--bundle", "-o", str(Path(folder, "it.tar.zst"))],
                "summary": [*monitord, "summary", name, "--data-dir", str(data_dir)],
                "json": [*export, "-o", str(Path(folder, "it.json"))],
                "pass": [sys.executable, "-c", "pass"],
            }
        )
        size_kb = Path(folder, "it.html").stat().st_size / 1e3
    beside = f"`export -o it.json` {took['json']:.0f} ms, `python -c pass` {took['pass']:.0f} ms"
    print(f"load {load()}")
    many = f"{arguments.stacks:,} stacks of {DEEP} frames"
    rows = [
        (f"`export --format report`, a profile of {many} (the page: {size_kb:.0f} kB)", "report", True),
        ("`export --format markdown`, the same", "markdown", True),
        ("`export --bundle`, the same", "bundle", False),
        ("`summary`, the same", "summary", False),
    ]
    show(
        [
            Row(
                what,
                f"{took[which]:.0f} ms",
                beside,
                f"≤ {BUDGET_MS:g} ms" if is_judged else "–",
                judged(took[which] <= BUDGET_MS) if is_judged else None,
                command_of(__file__),
            )
            for what, which, is_judged in rows
        ],
        arguments.rows,
    )


def add_one(data_dir: Path, stacks: int) -> str:
    """One incident more, with so many different stacks; returns its name."""
    from monitord.storage import open_store

    chance = random.Random(7)
    lines = []
    for number in range(stacks):
        frames = [f"step_{chance.randrange(40)} (/srv/app/part_{at}.py:{at + 1})" for at in range(DEEP - 1)]
        lines.append(f"{';'.join([*frames, f'work_{number % 300} (/srv/app/work.py:{number % 300 + 1})'])} 3")
    incident = an_incident(0)
    (profile,) = incident.captures
    payload = "\n".join(lines).encode()
    store = open_store(data_dir)
    try:
        store.save_incident(replace(incident, captures=(replace(profile, payload=payload),)))
    finally:
        store.close()
    return incident.correlation_id


if __name__ == "__main__":
    main()
