"""Days of a lost data directory: its folder in the bucket is read by the one that came after it.

Its days count until the day before ours begin: so no day has two files, and none of them is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from monitord.analytics.cold import ColdTier, Place
from monitord.analytics.tables import TABLES
from monitord.analytics.tiering import LOCK_NAME
from monitord.analytics.tiers import marks_of, warm_days
from monitord.durable import folder_mode, is_shared
from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.recorder.locks import hold
from monitord.storage.folder import check_data_dir
from monitord.storage.past import PastReader
from monitord.storage.schema import WARM_NAME


@dataclass(frozen=True, slots=True)
class ColdFolder:
    """A folder of days in the bucket; `is_read`: this data directory reads it already."""

    folder: str
    days: int
    first_day: str
    last_day: str
    is_read: bool


def cold_folders(cold: ColdTier) -> list[ColdFolder]:
    """Return the folders with days that lie in the bucket, by name."""
    assert cold.objects is not None  # noqa: S101  a URL was given
    read = {place.folder for place in cold.places()}
    found = [(name, cold.days_in(name, TABLES)) for name in cold.objects.folders()]
    return [ColdFolder(name, len(days), days[0], days[-1], name in read) for name, days in found if days]


def adopt(cold: ColdTier, reader: PastReader, folder: str) -> ColdFolder:
    """Have this data directory read a folder of the bucket from now on; gives what it reads of it.

    Raises NotFoundError for one without days, UsageError for its own and for days that are all its own.
    """
    data_dir = reader.data_dir
    check_data_dir(data_dir, owners_alone="monitord storage adopt")
    found = next((one for one in cold_folders(cold) if one.folder == folder), None)
    if found is None:
        raise NotFoundError(
            f"cannot find days in {folder!r} at analytics.cold_url; `monitord storage adopt` lists folders"
        )
    if found.is_read:
        raise UsageError(f"invalid folder {folder}: this data directory reads it already")
    until = _day_before(_own_days(cold, reader))
    days = [day for day in cold.days_in(folder, TABLES) if day <= until]
    if not days:
        raise UsageError(
            f"invalid folder {folder}: its days begin {found.first_day}, expected some until {until},"
            " before those of this data directory"
        )
    warm = data_dir / WARM_NAME
    try:
        warm.mkdir(folder_mode(shared=is_shared(data_dir.stat())), exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {warm}: {error.strerror}") from error
    with hold(warm / LOCK_NAME, "cannot adopt days: the recorder is moving some; try again"):
        cold.adopt(Place(folder, until))
    return ColdFolder(folder, len(days), days[0], days[-1], is_read=True)


def _own_days(cold: ColdTier, reader: PastReader) -> list[str]:
    found: set[str] = set()
    for table in TABLES:
        found |= {*marks_of(reader, table), *warm_days(reader.data_dir, table), *cold.days(table)}
    return sorted(found)


def _day_before(days: Sequence[str]) -> str:
    first = date.fromisoformat(days[0]) if days else date.max
    return str(first - timedelta(days=1))
