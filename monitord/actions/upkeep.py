"""Upkeep of the store: checked, tidied, shrunk, rebuilt, brought up to date, encrypted with a new key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.confirming import require_confirmation
from monitord.actions.workspace import Workspace
from monitord.errors import ConfigError, StorageError
from monitord.model import counted

if TYPE_CHECKING:
    from monitord.analytics.adopting import ColdFolder
    from monitord.analytics.cold import ColdTier
    from monitord.jobs import RetentionReport
    from monitord.storage.leftovers import Leftovers

_QUARANTINE = timedelta(days=3)  # as the hourly job has it
_LEFT = "`monitord storage verify --repair` puts right what can be"


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong in the store, and what was put right; `hint` says what to do, or what was not done."""

    data_dir: Path
    problems: Sequence[str]
    repaired: Sequence[str] = ()
    hint: str = _LEFT

    def require_none(self) -> None:
        """Raise StorageError when problems are left; return when there are none."""
        if self.problems:
            count = counted(len(self.problems), "problem")
            raise StorageError(f"{count} in {self.data_dir}; {self.hint}")


def check_database(workspace: Workspace) -> Damage:
    """Look for damage: pages, rows without bytes (remote ones, too), bytes without rows.

    A database that is damaged as a whole is set aside and built anew.
    """
    set_aside = _set_aside(workspace.data_dir)
    with workspace.store(whole=True) as store:
        if workspace.settings.storage.url:
            store.adopt()  # the recorder can't: it never looks there
        problems = store.integrity_check()
        if problems:
            store.migrate_if_needed()
        problems = problems or store.verify()
    fresh = sorted(_set_aside(workspace.data_dir) - set_aside)
    problems += [
        f"the database was damaged: set aside as {path}, rebuilt from the artefacts" for path in fresh
    ]
    return Damage(workspace.data_dir, problems, hint="nothing was deleted" if fresh else _LEFT)


def cold_folders(workspace: Workspace) -> list[ColdFolder]:
    """Return the folders with days that lie at `analytics.cold_url`."""
    from monitord.analytics import adopting

    with _cold_tier(workspace) as cold:
        return adopting.cold_folders(cold)


def adopt_days(workspace: Workspace, folder: str) -> ColdFolder:
    """Have questions and tiers read a lost data directory's folder at `analytics.cold_url`, too."""
    from monitord.analytics import adopting

    with _cold_tier(workspace) as cold, workspace.past() as reader:
        return adopting.adopt(cold, reader, folder)


@contextmanager
def _cold_tier(workspace: Workspace) -> Iterator[ColdTier]:
    from monitord.analytics.cold import ColdTier

    url = workspace.settings.analytics.cold_url
    if not url:
        raise ConfigError(
            "cannot adopt days: no bucket is configured; try `monitord config set analytics.cold_url URL`"
        )
    cold = ColdTier.opened(url, workspace.data_dir)
    try:
        yield cold
    finally:
        cold.close()


def _set_aside(data_dir: Path) -> set[Path]:
    """Damaged databases that were kept for a person to look at."""
    return set(data_dir.glob("monitord.db.damaged-*"))


def verify(workspace: Workspace, *, repair: bool = False) -> Damage:
    """Read and check every artefact, and whether rows and files agree; `repair` puts right what can be."""
    done: list[str] = []
    with workspace.store(whole=True) as store:
        problems = store.integrity_check()
        if problems and repair:
            done += [f"{problem}: the database is set aside and built anew" for problem in problems[:1]]
            store.migrate_if_needed()
            problems = []
        problems = problems or store.verify()
        if repair and problems:
            out_of_step = store.leftovers(datetime.min.replace(tzinfo=UTC))
            done += store.repair()
            done += [f"row without file: marked missing: {key}" for key in out_of_step.missing]
            done += [f"file without row: taken in: {key}" for key in out_of_step.orphans]
            store.adopt()
            problems = store.integrity_check() or store.verify()
    return Damage(workspace.data_dir, problems, done, "nothing was deleted" if repair else _LEFT)


def collect_garbage(workspace: Workspace, *, dry_run: bool = False) -> Leftovers:
    """Tidy up what killed captures left, old quarantine, unfinished deletions, rows out of step."""
    before = datetime.now(UTC) - _QUARANTINE
    with workspace.store(whole=True) as store:
        found = store.leftovers(before)
        if not dry_run and not found.is_nothing:
            store.drop_quarantine_before(before)
            store.drop_abandoned()
            store.adopt()
    return found


def run_retention(workspace: Workspace, *, dry_run: bool = False) -> RetentionReport:
    """Delete what is too old or over the budget now, the mild before the bad; pinned incidents stay."""
    from monitord.jobs import RetentionManager
    from monitord.recorder.from_settings import retention_limits
    from monitord.storage.artefacts import DiskFullError
    from monitord.storage.usage import room_for_rows

    limits = retention_limits(workspace.settings)
    reserve_bytes = room_for_rows(limits.max_total_bytes)
    try:
        with workspace.store() as store:
            retention = RetentionManager(store, limits, reserve_bytes=reserve_bytes)
            if not dry_run:
                store.sweep()
            return retention.purge_expired(datetime.now(UTC), dry_run=dry_run)
    except DiskFullError as error:
        raise StorageError(
            f"cannot tidy {workspace.data_dir}: no room; free some space on that disk, then try again"
        ) from error


def upgrade_database(workspace: Workspace) -> None:
    """Bring the database to this version's schema; a copy is made before anything changes."""
    with workspace.store() as store:
        store.migrate_if_needed()


def vacuum_database(workspace: Workspace) -> str:
    """Rebuild the database compactly, and return what that gained, in words."""
    from monitord.jobs import vacuum_when_idle

    floor = workspace.settings.retention.min_free_disk_bytes
    with workspace.store() as store:
        outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=floor)
    if outcome.outcome != "ok":
        raise StorageError(f"cannot vacuum: {outcome.detail}")
    return outcome.detail


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many incidents came back, how many rows of which table the old database gave, and where it is kept.

    `old` is None where there was none; `is_kept` is False where it would have been over the budget.
    """

    incidents: int
    salvaged: Mapping[str, int]
    old: Path | None
    is_kept: bool


def rebuild_database(workspace: Workspace, *, confirmed: bool) -> Rebuilt:
    """Build the database anew from the artefacts; the old one is kept beside it.

    What stands in no artefact (history, plans, other events) is taken from the old one as far as it can be
    read. Raises BusyError while a recorder runs.
    """
    from monitord.recorder.locks import DAEMON_LOCK, hold
    from monitord.storage.folder import check_data_dir
    from monitord.storage.opening import put_aside
    from monitord.storage.schema import DATABASE_NAME

    folder = workspace.data_dir
    check_data_dir(folder)
    require_confirmation(confirmed, "build the database anew", "storage", "rebuild")
    with hold(folder / DAEMON_LOCK, "cannot rebuild: the recorder runs; try `monitord service stop` first"):
        database = folder / DATABASE_NAME
        old = put_aside(database) if database.exists() else None
        with workspace.store(whole=True) as store:
            if store.degraded_reason is not None:
                raise StorageError(store.degraded_reason)
            with workspace.reader() as reader:
                count = reader.counts().incidents
            return Rebuilt(count, dict(store.salvaged), old, old is not None and old.exists())


def rotate_key(workspace: Workspace) -> tuple[str, int, int]:
    """Wrap the keys of all encrypted artefacts with the active key, here, remote and archived.

    Returns the active key's id, how many were wrapped anew, and how many artefacts there are. Raises
    ConfigError when nothing is encrypted.
    """
    from monitord.recorder.artefact_stores import encrypted_places, keyring_of
    from monitord.storage.artefacts import is_probe
    from monitord.storage.artefacts.rotation import rotate
    from monitord.storage.folder import check_data_dir
    from monitord.storage.schema import ARTEFACTS_NAME

    settings = workspace.settings
    keyring = keyring_of(settings.storage)
    if keyring is None:
        raise ConfigError("cannot rotate keys: storage.encryption_key is not set, so nothing is encrypted")
    check_data_dir(workspace.data_dir)
    rotated, total = 0, 0
    with encrypted_places(settings, workspace.data_dir / ARTEFACTS_NAME) as places:
        for each in places:
            keys = [key for key in each.provider.list() if not is_probe(key)]
            artefacts = counted(len(keys), "artefact")
            workspace.tell(f"{artefacts} in {each.provider.name}; this can be interrupted")
            rotated += rotate(each.provider, keyring, keys, encrypted_as=each.encrypted_as)
            total += len(keys)
    return keyring.active.key_id, rotated, total
