"""`python -m monitord.analytics.tiering`: copies the store to the warm tier, and moves on what is too much.

A child of the recorder. It may be killed at any moment, and run once too often: a file takes its name when
it is whole, and nothing leaves the warm tier before the bucket has it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from monitord import config, rights
from monitord.analytics.cold import ColdTier, host_id, is_ahead, is_day, last_moved, note_moved, went_ahead
from monitord.analytics.merging import Merge
from monitord.analytics.parquet import SUFFIX, is_sound, require_pyarrow
from monitord.analytics.tables import TABLES, Table
from monitord.analytics.tiers import (
    day_path,
    is_current,
    is_plain_folder,
    marks_of,
    read_forgotten,
    settle_forgotten,
    warm_days,
    write_day,
)
from monitord.analytics.versions import deployments, known_versions
from monitord.children import answer, end_with_parent
from monitord.durable import file_mode, folder_mode, is_shared
from monitord.errors import MonitordError, NotFoundError, StorageError
from monitord.model import counted, sized
from monitord.recorder.locks import hold
from monitord.storage.folder import check_data_dir
from monitord.storage.past import PastReader
from monitord.storage.schema import WARM_NAME
from monitord.storage.usage import floor_of

LOCK_NAME = "lock"
DAMAGED = ".damaged"
_ROUND_S, _ROUNDS = 3600, 24  # each whole file is read to its end once a day, some every hour


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What the warm tier may take, in bytes and in days that have files; and where days go on to."""

    warm_bytes: int
    warm_days: int
    cold_url: str = ""
    min_free_disk_bytes: int = 0


@dataclass(slots=True)
class Tiering:
    """One run over a data directory; `counts` and `damaged` say what came of it."""

    data_dir: Path
    limits: TierLimits
    written: int = 0
    moved: int = 0
    damaged: list[str] = field(default_factory=list)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def folder(self) -> Path:
        return self.data_dir / WARM_NAME

    def run(self) -> str:
        """Do all that is due; what came of it, in words. Raises MonitordError, with nothing half done."""
        require_pyarrow()
        check_data_dir(self.data_dir, owners_alone="monitord run")
        self._make_folders()
        with hold(self.folder / LOCK_NAME, "cannot tier: another one is at it"):
            self._clear_drafts()
            cold = ColdTier.opened(self.limits.cold_url, self.data_dir, writes=True, now=self.clock())
            try:
                self._make_room(cold)  # first: a bucket that is away must not let the tier grow
                self._bring_up(cold)
                self._make_room(cold)
            finally:
                cold.close()
        return self._summary()

    def _summary(self) -> str:
        went = "moved to the bucket" if self.limits.cold_url else "removed"
        words = f"{counted(self.written, 'file')} written, {counted(self.moved, 'day')} {went}"
        held = self._held()
        words += f"; the warm tier holds {sized(sum(size for _day, _path, size in held), 'disk_bytes')}"
        ahead = {day for day, _path, _size in held if self._is_ahead(day)}
        words += f"; {counted(len(ahead), 'day')} of a clock that was ahead" if ahead else ""
        return f"{words}; damaged and set aside: {', '.join(self.damaged)}" if self.damaged else words

    # ------------------------------------------------------------------------------------ writing

    def _bring_up(self, cold: ColdTier) -> None:
        with PastReader(self.data_dir) as reader:
            forgotten = read_forgotten(self.data_dir) - reader.incident_ids()
            versions = known_versions(deployments(reader.storage))
            merge = Merge(reader, host_id(), forgotten, versions)
            rounds = int(self.clock().timestamp() // _ROUND_S)
            for table in TABLES:
                marks, held = marks_of(reader, table), warm_days(self.data_dir, table)
                moved = last_moved(self.data_dir, self.clock())
                begun = {day for day in marks if day > moved and not self._is_ahead(day)}
                for day in sorted({*held, *begun}):
                    is_due = (date.fromisoformat(day).toordinal() + rounds) % _ROUNDS == 0
                    if not forgotten and self._is_current(table, day, marks.get(day), is_due=is_due):
                        continue
                    self._write(merge, table, day, marks.get(day), cold)
                if forgotten:
                    self._rewrite_cold(merge, table, cold)
        settle_forgotten(self.data_dir, forgotten)

    def _is_current(self, table: Table, day: str, mark: str | None, *, is_due: bool) -> bool:
        """Whether a file is its day's answer; one that is due is read to its end."""
        path = day_path(self.data_dir, table, day)
        return is_current(table, path, mark) and not (is_due and not is_sound(path, table))

    def _write(self, merge: Merge, table: Table, day: str, mark: str | None, cold: ColdTier) -> None:
        self._check_disk()
        path = day_path(self.data_dir, table, day)
        base = path if os.path.lexists(path) else None
        if base is not None and not is_sound(base, table):
            self.damaged.append(f"{table.folder}/{path.name}")
            with _explained(path):
                path.rename(path.with_name(f"{path.name}{DAMAGED}"))
            base = None
        if base is None and day in went_ahead(self.data_dir):
            base = cold.fetch(table, day, self.folder, self.damaged.append)
        if base is not None or mark is not None:
            write_day(merge, table, day, path, base, mark, self._file_mode)
            self.written += 1
        if base is not None and base != path:
            base.unlink()

    def _rewrite_cold(self, merge: Merge, table: Table, cold: ColdTier) -> None:
        """Take what a person deleted out of the bucket's files."""
        for day in [*cold.days(table)]:
            base = cold.fetch(table, day, self.folder, self.damaged.append)
            if base is None:
                continue
            path = self.folder / f"{table.folder}-{day}{SUFFIX}.part"
            try:
                write_day(merge, table, day, path, base, None, self._file_mode)
                cold.keep(table, day, path)
            finally:
                base.unlink(missing_ok=True)
                path.unlink(missing_ok=True)

    def _check_disk(self) -> None:
        floor = floor_of(self.data_dir, self.limits.min_free_disk_bytes)
        disk = os.statvfs(self.data_dir)
        free = disk.f_bavail * disk.f_frsize
        if free < floor:
            raise StorageError(
                f"cannot tier: the disk has {sized(free, 'disk_bytes')} free, and"
                f" {sized(floor, 'disk_bytes')} must stay free (retention.min_free_disk_mb)"
            )

    # ------------------------------------------------------------------------------------ moving on

    def _make_room(self, cold: ColdTier) -> None:
        """Let the oldest days go until the rest fits; days are counted: no clock can make them old.

        Those of a clock that was ahead go first: no true day makes room for them.
        """
        held = self._held()
        days = sorted({day for day, _path, _size in held}, key=lambda day: (not self._is_ahead(day), day))
        total = sum(size for _day, _path, size in held)
        for number, day in enumerate(days[:-1]):  # the newest is written on
            is_too_many = len(days) - number > self.limits.warm_days
            if not is_too_many and total <= self.limits.warm_bytes:
                return
            for table in TABLES:
                self._move(table, day, cold)
            if day > last_moved(self.data_dir, self.clock()):
                with _explained(self.folder):
                    note_moved(self.data_dir, day, self.clock())
            for of_day, path, size in held:
                if of_day == day:
                    with _explained(path):
                        path.unlink(missing_ok=True)
                    total -= size
            self.moved += 1

    def _move(self, table: Table, day: str, cold: ColdTier) -> None:
        """Have the bucket hold the day; a damaged file goes nowhere."""
        path = day_path(self.data_dir, table, day)
        if cold.objects is None or not os.path.lexists(path):
            return
        if is_sound(path, table):
            cold.keep(table, day, path)
        else:
            self.damaged.append(f"{table.folder}/{path.name}")

    def _held(self) -> list[tuple[str, Path, int]]:
        """Each file of ours with its day and size, those set aside as damaged among them."""
        found = []
        for table in TABLES:
            with contextlib.suppress(FileNotFoundError), os.scandir(self.folder / table.folder) as entries:
                for entry in entries:
                    day = entry.name.removesuffix(DAMAGED).removesuffix(SUFFIX)
                    is_ours = entry.name in (f"{day}{SUFFIX}", f"{day}{SUFFIX}{DAMAGED}") and is_day(day)
                    if is_ours and entry.is_file(follow_symlinks=False):
                        size = entry.stat(follow_symlinks=False).st_size
                        found.append((day, Path(entry.path), size))
        return found

    def _is_ahead(self, day: str) -> bool:
        return is_ahead(day, self.clock())

    # ------------------------------------------------------------------------------------ folders

    @property
    def _file_mode(self) -> int:
        return file_mode(shared=is_shared(self.data_dir.stat()))

    def _make_folders(self) -> None:
        mode = folder_mode(shared=is_shared(self.data_dir.stat()))
        for folder in (self.folder, *(self.folder / table.folder for table in TABLES)):
            with _explained(folder), contextlib.suppress(FileExistsError):
                folder.mkdir(mode)
            if not is_plain_folder(folder):
                raise StorageError(f"cannot use {folder}: it is a link or not a directory; move it away")

    def _clear_drafts(self) -> None:
        """What a killed run left; whole files never end so."""
        for folder in (self.folder, *(self.folder / table.folder for table in TABLES)):
            for path in (*folder.glob("*.part"), *folder.glob(".*.part"), *self.folder.glob("cold-*")):
                with contextlib.suppress(OSError):
                    path.unlink()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"cannot change {path}: {error.strerror}") from error


def limits_of(settings: config.Settings) -> TierLimits:
    """Return what the configuration says."""
    wanted = settings.analytics
    return TierLimits(
        int(wanted.warm_mb * 1e6),
        int(wanted.warm_days),
        wanted.cold_url,
        settings.retention.min_free_disk_bytes,
    )


def main() -> int:
    """Run once, and say how it went as an errand does."""
    parser = argparse.ArgumentParser(prog="monitord tiering")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    arguments = parser.parse_args()
    end_with_parent()
    rights.keep_only(())  # it may talk to a network
    try:
        limits = limits_of(config.load(arguments.config).settings)
        outcome, detail = "ok", Tiering(arguments.data_dir, limits).run()
    except NotFoundError as error:
        outcome, detail = "ok", f"nothing to do: {error}"
    except MonitordError as error:
        outcome, detail = "failed", str(error)
    answer(outcome, detail)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a client's thread that hangs in a network must not hold up the end
