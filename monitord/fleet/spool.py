"""Files of days that wait here for the bucket, and the base on which the running day's next file is made.

`ship/<table>/<day>.parquet` below the data directory, within a limit: the oldest make room.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from monitord.analytics.tables import TABLES, Table
from monitord.fleet.ship_state import FOLDER
from monitord.ownership import make_folder

_SUFFIX = ".parquet"
_TABLES = {table.name: table for table in TABLES}


class Spool:
    """The files of one data directory, in folders of its owner alone."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER

    def path(self, table: Table, day: date) -> Path:
        """Where the file of a table and day lies, or will."""
        return self.folder / table.name / f"{day}{_SUFFIX}"

    def prepare(self, table: Table) -> None:
        """Make the table's folder. Raises OSError."""
        make_folder(self.folder / table.name)

    def files(self) -> Iterator[tuple[Table, date, Path]]:
        """All that lie there, newest day first, in the order of the tables within."""
        found = []
        for rank, table in enumerate(TABLES):
            with contextlib.suppress(FileNotFoundError):
                for path in (self.folder / table.name).iterdir():
                    with contextlib.suppress(ValueError):
                        if path.suffix == _SUFFIX and path.is_file():
                            found.append((-date.fromisoformat(path.stem).toordinal(), rank, path))
        for ordinal, rank, path in sorted(found):
            yield TABLES[rank], date.fromordinal(-ordinal), path

    def size_bytes(self) -> int:
        """What all of them take."""
        return sum(path.stat().st_size for _table, _day, path in self.files())

    def over(self, limit_bytes: int, tomorrow: date) -> list[tuple[Table, date, Path]]:
        """Return the files without which the limit holds: of a wrong clock's days to come, of the oldest."""
        total, gone = 0, []
        for table, day, path in sorted(self.files(), key=lambda file: file[1] > tomorrow):
            total += path.stat().st_size
            if total > limit_bytes:
                gone.append((table, day, path))
        return gone

    def tidy(self) -> None:
        """Remove what a writer that was killed left half-written."""
        for path in self.folder.rglob(".*.part"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all: they were made under another name of this host."""
        for _table, _day, path in self.files():
            path.unlink(missing_ok=True)
