"""The cold tier: days that went on to `analytics.cold_url`, in a folder that one data directory writes to.

Machines may have one name, and clones of a disk share all that lies on it. So a data directory draws the name
of its folder, and each run leaves a word of its own there in the place of the last run's (a conditional put).
Of clones the second one finds a word that is not its own, and draws a name, too. What went on before stays
where it is, and is read there.
"""

from __future__ import annotations

import contextlib
import platform
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec

from monitord.analytics.parquet import SUFFIX, is_sound
from monitord.analytics.tables import Table
from monitord.durable import durable_write, file_mode, is_shared, read_regular
from monitord.errors import MonitordError, StorageError
from monitord.model import sized
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactExistsError,
    MissingArtefactError,
)
from monitord.storage.artefacts.secret_sources import read_url
from monitord.storage.asking import ignore_damage
from monitord.storage.objects import Absent, Expected, ObjectInfo, Objects, open_objects
from monitord.storage.schema import WARM_NAME

STATE_NAME = "cold.json"
MOVED_NAME = "moved"
"""The days that went on, or away: the last of them and those before it are not begun again."""
WRITER_NAME = "writer"
DOWNLOAD_BYTES = 2_000_000_000
"""What one question may bring: temporary folders often lie in memory. A question to a fleet has the same."""
_FILE_LIMIT_BYTES = 1 << 30
_WORD_BYTES = 64
_RUNS_KEPT, _EARLIER_KEPT, _MOVED_KEPT = 64, 16, 1000
_TRIES = 3
_AHEAD = "+"  # before a day that went on before its time
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FIRST, _LAST = date(1970, 1, 1), date(2109, 12, 30)


def first_that_fits(sizes: Mapping[str, int]) -> date | None:
    """Return from which day on one question may bring all of these bytes; None: it may bring every day."""
    total = 0
    for day in sorted(sizes, reverse=True):
        total += sizes[day]
        if total > DOWNLOAD_BYTES:
            return date.fromisoformat(day) + timedelta(days=1)
    return None


def host_id() -> str:
    """Return this machine's name as a part of paths and a value of `host_id`."""
    name = re.sub(r"[^a-z0-9.-]+", "-", platform.node().lower()).strip(".-")[:63].strip(".-")
    return name or "localhost"


def is_day(text: str) -> bool:
    """Whether it names a day that rows can be of."""
    try:
        return _DAY.fullmatch(text) is not None and _FIRST <= date.fromisoformat(text) <= _LAST
    except ValueError:
        return False


def is_ahead(day: str, now: datetime) -> bool:
    """Whether a day is beyond tomorrow: then it is of a clock that was ahead."""
    return day > str((now.astimezone(UTC) + timedelta(days=1)).date())


def last_moved(data_dir: Path, now: datetime) -> str:
    """Return the last day that went on; "" where none did. Days of a clock that was ahead do not count."""
    moved = filter(is_day, _moved(data_dir))
    return max((day for day in moved if not is_ahead(day, now)), default="")


def went_ahead(data_dir: Path) -> frozenset[str]:
    """Return the days that went on before their time: each is begun when it comes, with what went on then."""
    return frozenset(word.removeprefix(_AHEAD) for word in _moved(data_dir) if word.startswith(_AHEAD))


def note_moved(data_dir: Path, day: str, now: datetime) -> None:
    """Note that a day went on, durably; of those noted before it says what went before its time, too.

    Raises OSError.
    """
    words = [
        f"{_AHEAD}{word}" if is_day(word) and is_ahead(word, now) else word
        for word in dict.fromkeys([*_moved(data_dir), day])
    ]
    _keep(data_dir, MOVED_NAME, "".join(f"{word}\n" for word in words[-_MOVED_KEPT:]).encode())


def _moved(data_dir: Path) -> list[str]:
    try:
        return read_regular(data_dir / WARM_NAME / MOVED_NAME).decode().split()
    except (OSError, ValueError):
        return []


def _keep(data_dir: Path, name: str, content: bytes) -> None:
    mode = file_mode(shared=is_shared(data_dir.stat()))
    durable_write(data_dir / WARM_NAME / name, content, mode=mode)


class Place(msgspec.Struct, frozen=True):
    """A folder of the bucket; its days until this one are ours."""

    folder: str
    until: str


class _State(msgspec.Struct):
    """What is kept in `warm/cold.json`; `runs` are the words of our last runs."""

    folder: str
    runs: list[str] = []
    earlier: list[Place] = []


@dataclass(slots=True)
class ColdTier:
    """What went on to the bucket; `objects` None: there is none. Who `writes` holds the tier's lock."""

    objects: Objects | None
    data_dir: Path
    writes: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _state: _State | None = None
    _is_claimed: bool = False
    _days: dict[str, dict[str, ObjectInfo]] = field(default_factory=dict)

    @classmethod
    def opened(
        cls, url: str, data_dir: Path, *, writes: bool = False, now: datetime | None = None
    ) -> ColdTier:
        """Open `analytics.cold_url`; "" stands for none. Raises MonitordError."""
        objects = open_objects(read_url(url, "the cold tier"), create=writes) if url else None
        state = _read_state(data_dir) if url else None
        return cls(objects, data_dir, writes, now or datetime.now(UTC), state)

    def days(self, table: Table) -> Mapping[str, ObjectInfo]:
        """Return where each day lies that went on from here."""
        if self.objects is None:
            return {}
        if self.writes and not self._is_claimed:
            self._claim()
        if table.name not in self._days:
            found: dict[str, ObjectInfo] = {}
            early = went_ahead(self.data_dir)
            for place in self.places():
                for day, info in self._listed(f"{place.folder}/{table.folder}"):
                    if day <= place.until or is_ahead(day, self.now) or day in early:
                        found.setdefault(day, info)
            self._days[table.name] = found
        return self._days[table.name]

    def list_anew(self, table: Table) -> None:
        """Forget what was listed of a table: another process has tiered meanwhile."""
        self._days.pop(table.name, None)
        if self.objects is not None:
            self._state = _read_state(self.data_dir)

    def _listed(self, folder: str) -> Iterator[tuple[str, ObjectInfo]]:
        assert self.objects is not None  # noqa: S101  it is open by then
        for info in self.objects.list(folder):
            day = info.path.removeprefix(f"{folder}/").removesuffix(SUFFIX)
            if is_day(day) and info.path == f"{folder}/{day}{SUFFIX}":
                yield day, info

    def days_in(self, folder: str, tables: Iterable[Table]) -> list[str]:
        """Return the days that a folder of the bucket has of any of these tables, in order."""
        found = {day for table in tables for day, _info in self._listed(f"{folder}/{table.folder}")}
        return sorted(found)

    def adopt(self, place: Place) -> None:
        """Read this place, too, from now on; who calls it holds the tier's lock."""
        self._state = _read_state(self.data_dir) or self._drawn()
        if len(self._state.earlier) >= _EARLIER_KEPT:
            raise StorageError(f"cannot adopt {place.folder}: {_EARLIER_KEPT} folders are read already")
        self._state.earlier = [*self._state.earlier, place]
        self._save()

    def places(self) -> Sequence[Place]:
        """Return ours, then earlier ones. What lies there beyond the last day that went on is a clone's."""
        until = last_moved(self.data_dir, self.now) or str(_LAST)
        if self._state is None:  # an earlier version's
            return [Place(host_id(), until)]
        return [Place(self._state.folder, until), *self._state.earlier]

    def check_size(self, table: Table, days: Sequence[str], scratch: Path) -> None:
        """Refuse to bring so many days for a question that has brought others into `scratch` already."""
        known = self.days(table)
        size = sum(known[day].size_bytes for day in days if day in known)
        size += sum(path.stat().st_size for path in scratch.glob("cold-*"))
        if size > DOWNLOAD_BYTES:
            most = sized(DOWNLOAD_BYTES, "disk_bytes")
            raise StorageError(
                f"cannot bring {sized(size, 'disk_bytes')} from analytics.cold_url for one question,"
                f" expected at most {most}; try a later --since"
            )

    def fetch(
        self, table: Table, day: str, folder: Path, on_damage: Callable[[str], object] = ignore_damage
    ) -> Path | None:
        """Bring a day's file into a folder; None where there is none that can be read."""
        info = self.days(table).get(day)
        if self.objects is None or info is None:
            return None
        path = folder / f"cold-{table.folder}-{day}{SUFFIX}"
        try:
            _info, data = self.objects.read(info.path, min(info.size_bytes, _FILE_LIMIT_BYTES))
            durable_write(path, data)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error
        if is_sound(path, table):
            return path
        path.unlink()
        on_damage(f"cannot read {info.path} in the bucket: it is damaged, or of somebody else")
        return None

    def keep(self, table: Table, day: str, path: Path) -> None:
        """Have the bucket hold exactly this file; raises MonitordError."""
        known = self.days(table).get(day)
        if self.objects is None or self._state is None:
            return
        data = path.read_bytes()
        where = known.path if known else f"{self._state.folder}/{table.folder}/{day}{SUFFIX}"
        if not self.objects.holds(where, data):
            self.objects.put(where, data)
            if not self.objects.holds(where, data):
                raise StorageError(f"cannot keep {where} in the bucket: it holds other bytes than were sent")
        self._days[table.name][day] = ObjectInfo(where, len(data), self.now, "")

    def close(self) -> None:
        """Let go of connections."""
        if self.objects is not None:
            with contextlib.suppress(MonitordError):
                self.objects.close()

    # ------------------------------------------------------------------------------------ whose folder it is

    def _claim(self) -> None:
        """Leave this run's word in our folder, or in a new one where somebody else's lies in ours."""
        for _ in range(_TRIES):
            state = self._state or self._drawn()
            if self._leaves_word(state):
                self._is_claimed = True
                return
            self._state = self._drawn()
        raise StorageError("cannot find a folder of our own at analytics.cold_url: others write to each")

    def _leaves_word(self, state: _State) -> bool:
        assert self.objects is not None  # noqa: S101  it is open by then
        path, expected = f"{state.folder}/{WRITER_NAME}", cast(Expected, Absent())
        with contextlib.suppress(MissingArtefactError):
            expected, word = self.objects.read(path, _WORD_BYTES)
            if word.decode("ascii", "replace") not in state.runs:
                return False
        state.runs = [*state.runs[1 - _RUNS_KEPT :], secrets.token_hex(8)]
        self._state = state
        self._save()  # what we find there later is ours, wherever we are killed
        try:
            self.objects.put(path, state.runs[-1].encode(), expected)
        except (ArtefactChangedError, ArtefactExistsError):
            return False
        return True

    def _drawn(self) -> _State:
        """A folder of a new name; what went on so far is read where it lies."""
        before, moved = self._state, last_moved(self.data_dir, self.now)
        place = Place(before.folder if before else host_id(), moved)
        earlier = [place] if moved else []
        earlier += before.earlier if before else []
        return _State(f"{host_id()}-{secrets.token_hex(4)}", [], earlier[:_EARLIER_KEPT])

    def _save(self) -> None:
        try:
            _keep(self.data_dir, STATE_NAME, msgspec.json.encode(self._state))
        except OSError as error:
            raise StorageError(f"cannot note where days go on to: {error.strerror}") from error


def _read_state(data_dir: Path) -> _State | None:
    path = data_dir / WARM_NAME / STATE_NAME
    try:
        return msgspec.json.decode(read_regular(path), type=_State)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StorageError(
            f"cannot read {path}: it is damaged; move it away, and days go on to a new folder"
        ) from error
