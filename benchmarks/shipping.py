"""What a host ships on a day, in bytes and requests, beside the size of its rows without any compression.

    python benchmarks/shipping.py --hours 24

A made day of a busy machine with 40 processes a pass (16 s apart, as history keeps it) and 20 incidents,
shipped once an hour to a folder; the bytes that replace a running day's file each hour count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from recording import ROOT, Row, command_of, load, parser, show

sys.path.insert(0, str(ROOT))
_STEP_PASSES = 8
_INCIDENTS = 20


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--hours", type=int, default=24)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as folder:
        told = shipped(Path(folder), arguments.hours)
    print(f"load {load()}")
    what = f"{arguments.hours} h of a busy machine, {told['rows']:,} rows, {_INCIDENTS} incidents"
    rows = [
        Row(
            f"a host in the bucket, {what}",
            f"{told['kept'] / 1e3:,.0f} kB in {told['files']} files, without evidence",
            f"the rows uncompressed {told['raw'] / 1e3:,.0f} kB",
            "–",
            None,
            command_of(__file__),
        ),
        Row(
            "what goes over the network for it, a round an hour",
            f"{told['put'] / 1e6:,.1f} MB, {told['puts']} puts of files, {told['rounds']} of the host's own",
            f"each row once {told['kept'] / 1e3:,.0f} kB",
            "–",
            None,
            command_of(__file__),
        ),
        Row(
            "CPU of the day's last round, after its imports",
            f"{told['cpu_s'] * 1000:,.0f} ms",
            "–",
            "–",
            None,
            command_of(__file__),
        ),
    ]
    show(rows, arguments.rows)


def shipped(folder: Path, hours: int) -> dict[str, Any]:
    """Ship a made day hour by hour; what it took."""
    from made_past import BEGAN, MadePast

    from monitord.analytics.tables import TABLES
    from tests.fleet.hosts import Bucket, Host, an_incident

    bucket = Bucket(f"file://{folder}/bucket")
    host = Host(folder / "host", bucket.url)
    past = MadePast(is_busy=True)
    put = puts = cpu_s = 0.0
    for hour in range(hours):
        since = BEGAN + timedelta(hours=hour)
        passes = [one for n, one in enumerate(past.passes(3600.0, since)) if n % _STEP_PASSES == 0]
        with host.opened() as store:
            for start in range(0, len(passes), 4):
                store.add_history(passes[start : start + 4])
            for number in range(_INCIDENTS * hour // hours, _INCIDENTS * (hour + 1) // hours):
                store.save_incident(an_incident(since + timedelta(minutes=5 + number)))
        before_s = time.process_time()
        done = host.ship(since + timedelta(hours=1) - timedelta(seconds=1))
        cpu_s = time.process_time() - before_s
        put, puts = put + done.put_bytes, puts + done.files
    paths = bucket.paths()
    sizes = {path: len(bucket.read(path)) for path in paths}
    rows = [row for table in TABLES for row in bucket.rows(table)]
    return {
        "kept": sum(size for path, size in sizes.items() if path.endswith(".parquet")),
        "files": sum(path.endswith(".parquet") for path in paths),
        "rows": len(rows),
        "raw": sum(raw_bytes(list(row.values())) for row in rows),
        "put": put,
        "puts": int(puts),
        "rounds": hours,
        "cpu_s": cpu_s,
    }


def raw_bytes(cells: Sequence[object]) -> int:
    """Eight bytes a number or time, a text's own."""
    return sum(len(cell.encode()) if isinstance(cell, str) else 8 for cell in cells if cell is not None)


if __name__ == "__main__":
    main()
