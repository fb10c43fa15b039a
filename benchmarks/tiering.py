"""What copying to the warm tier costs: CPU and bytes of a busy machine's hours, and of a run without news.

    python benchmarks/tiering.py

Some hours of a busy machine (every pass looks at processes and all values change: the worst case) are
recorded as the recorder does, then tiered once, and once more. Beside it: pyarrow alone, which writes the
rows of the largest table from memory.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from made_past import MadePast
from recording import Row, command_of, parser, show

from monitord.analytics.parquet import write_table
from monitord.analytics.rows import rows_of
from monitord.analytics.tables import PROCESS_MINUTES, TABLES
from monitord.analytics.tiering import Tiering, TierLimits
from monitord.storage import open_store
from monitord.storage.past import PastReader

HOURS_PLAYED = 6.0
_PASSES_AT_ONCE = 30


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--hours", type=float, default=HOURS_PLAYED)
    arguments = options.parse_args()
    show([*measured(arguments.hours)], arguments.rows)


def measured(hours: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "data")
        store = open_store(data_dir)
        passes = MadePast(is_busy=True).passes(hours * 3600)
        while batch := list(islice(passes, _PASSES_AT_ONCE)):
            store.add_history(batch)
        store.close()
        limits = TierLimits(10**12, 10_000)
        Tiering(data_dir, limits).run()  # loads pyarrow
        for path in (data_dir / "warm").glob("*/*.parquet"):
            path.unlink()
        first_s = cpu_of(lambda: Tiering(data_dir, limits).run())
        again_s = cpu_of(lambda: Tiering(data_dir, limits).run())
        size = sum(path.stat().st_size for path in (data_dir / "warm").glob("*/*.parquet"))
        with PastReader(data_dir) as reader:
            rows = list(rows_of(reader, PROCESS_MINUTES, None, None, "h"))
            count = sum(sum(1 for _row in rows_of(reader, table, None, None, "h")) for table in TABLES)
        alone_s = cpu_of(lambda: write_table(PROCESS_MINUTES, rows, Path(folder, "alone.parquet")))
    yield Row(
        f"a busy machine's {hours:g} hours to the warm tier",
        f"{first_s:.2f} s of CPU, {count:,} rows, {size / 1e6:.2f} MB"
        f" ({24 / hours * size / 1e6:.1f} MB a day);"
        f" {again_s:.2f} s where nothing is new",
        f"pyarrow alone, {len(rows):,} rows of one table, written and read back: {alone_s:.2f} s",
        "–",
        None,
        command_of(__file__),
    )


def cpu_of(work: Callable[[], object]) -> float:
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


if __name__ == "__main__":
    main()
