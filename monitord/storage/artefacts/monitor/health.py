"""Whether artefacts can be kept right now: each check ends within its time, with a detail and a fix.

The probe writes a few bytes under a reserved prefix, reads them back and deletes them. One that a killed
process left is removed by the next probe; the store takes none for evidence.
"""

from __future__ import annotations

import enum
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from monitord.errors import MonitordError, StorageError
from monitord.model import sized
from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactError,
    DiskFullError,
    TransientError,
    WrongKeyError,
)
from monitord.storage.artefacts.keys import PROBE_PREFIX

if TYPE_CHECKING:
    from monitord.storage.artefacts.keyring import Keyring
    from monitord.storage.artefacts.metadata import StorageMetadata

_PROBE_BYTES = 256
_LEFT_BEHIND = timedelta(hours=1)  # no probe takes that long: its process is gone
_REMOVED_AT_ONCE = 20
_FIXES: tuple[tuple[type[MonitordError], str], ...] = (
    (DiskFullError, "free space on the disk, or `monitord retention run`"),
    (AccessDeniedError, "give monitord's user the right to read and write there, or its credentials"),
    (WrongKeyError, "put the key back, or name it among the old ones"),
    (TransientError, "see whether the storage is up and can be reached from here"),
)


class Room(Protocol):
    """What artefacts take, and what the disk under them has left; the store's `Usage` is one."""

    @property
    def artefact_bytes(self) -> int: ...
    @property
    def free_disk_bytes(self) -> int: ...


class AlertLevel(enum.StrEnum):
    """How bad it is: `critical` is what keeps evidence from being kept."""

    WARNING = "warning"
    CRITICAL = "critical"


class ProbedStorage(Protocol):
    """What the probe needs of a `StorageManager`."""

    def store_data(self, key: str, data: bytes, *, replace: bool) -> object: ...
    def retrieve_data(self, key: str) -> bytes: ...
    def get_metadata(self, key: str) -> StorageMetadata: ...
    def exists(self, key: str) -> bool: ...
    def list(self, prefix: str) -> Iterator[str]: ...
    def delete(self, key: str) -> int: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """The limits beyond which it is trouble. `deadline_s` bounds the probe, whatever the provider does."""

    deadline_s: float = 10.0
    slow_s: float = 2.0
    free_disk_floor_bytes: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at; with a `fix` where it is not well."""

    name: str
    is_ok: bool
    detail: str
    fix: str | None = None
    level: AlertLevel = AlertLevel.WARNING


@dataclass(frozen=True, slots=True)
class Health:
    """All checks of one moment. `used_bytes` is None where it could not be told."""

    checked_at: datetime
    checks: tuple[HealthCheck, ...] = ()
    used_bytes: int | None = None

    @property
    def is_ok(self) -> bool:
        return all(check.is_ok for check in self.checks)

    @property
    def failing(self) -> tuple[HealthCheck, ...]:
        return tuple(check for check in self.checks if not check.is_ok)


@dataclass(slots=True)
class _Probe:
    """One probe on its way; what it found is complete when `is_done`."""

    began_s: float
    step: str = "open"
    steps_s: dict[str, float] = field(default_factory=dict)
    error: MonitordError | None = None
    done: threading.Event = field(default_factory=threading.Event)


class HealthChecker:
    """Looks when it is asked. `opened` opens the storage anew, so that a folder swapped since is noticed."""

    def __init__(
        self,
        opened: Callable[[], ProbedStorage],
        limits: HealthLimits | None = None,
        *,
        room: Callable[[], Room] | None = None,
        keyring: Callable[[], Keyring] | None = None,
    ) -> None:
        self.limits = limits or HealthLimits()
        self.others: tuple[Callable[[], HealthCheck], ...] = ()
        self._opened, self._room, self._keyring = opened, room, keyring
        self._probe: _Probe | None = None

    def check_storage(self) -> Health:
        """Every check there is; nothing raises, and nothing takes longer than the limits allow."""
        checks = list(self._probed())
        used_bytes = None
        if self._room is not None:
            check, used_bytes = self._room_left(self._room)
            checks.append(check)
        if self._keyring is not None:
            checks.append(_key_at_hand(self._keyring))
        checks += [look() for look in self.others]
        return Health(datetime.now(UTC), tuple(checks), used_bytes)

    def _probed(self) -> Iterator[HealthCheck]:
        """The probe in a thread of its own: a dead network disk can block its caller without end.

        While one is held, no other is sent after it.
        """
        if self._probe is None or self._probe.done.is_set():
            self._probe = _Probe(time.monotonic())
            threading.Thread(target=self._run, args=(self._probe,), name="storage-probe", daemon=True).start()
        probe = self._probe
        if not probe.done.wait(max(0.0, probe.began_s + self.limits.deadline_s - time.monotonic())):
            waited_s = time.monotonic() - probe.began_s
            detail = f"no answer to `{probe.step}` for {waited_s:.0f} s"
            fix = "see whether the storage is up and can be reached from here"
            yield HealthCheck("write and read", False, detail, fix, AlertLevel.CRITICAL)
            return
        if probe.error is not None:
            detail = f"{probe.step}: {probe.error}"
            yield HealthCheck("write and read", False, detail, _fix_of(probe.error), AlertLevel.CRITICAL)
            return
        yield HealthCheck("write and read", True, "a probe was written, read back and deleted")
        yield self._speed(probe.steps_s)

    def _speed(self, steps_s: dict[str, float]) -> HealthCheck:
        step, longest_s = max(steps_s.items(), key=lambda item: item[1])
        told = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in steps_s.items())
        if longest_s <= self.limits.slow_s:
            return HealthCheck("latency", True, told)
        fix = f"see what keeps the storage busy: `{step}` should take less than {self.limits.slow_s:g} s"
        return HealthCheck("latency", False, told, fix)

    def _run(self, probe: _Probe) -> None:
        try:
            manager = self._opened()
            try:
                _write_read_delete(manager, probe)
                probe.step = "tidy"
                _remove_left_behind(manager)
            finally:
                manager.close()
        except MonitordError as error:
            probe.error = error
        except Exception as error:  # noqa: BLE001  a plug-in's bug is a failing check, not a silent thread
            probe.error = StorageError(f"{type(error).__name__}: {error}")
        finally:
            probe.done.set()

    def _room_left(self, room: Callable[[], Room]) -> tuple[HealthCheck, int | None]:
        try:
            found = room()
        except StorageError as error:
            return HealthCheck("free space", False, str(error), _fix_of(error)), None
        free, floor = found.free_disk_bytes, self.limits.free_disk_floor_bytes
        detail = f"{sized(free, 'disk_bytes')} free, the floor is {sized(floor, 'disk_bytes')}"
        fix = None if free >= floor else "free space on the disk, or lower retention.min_free_disk_mb"
        return HealthCheck("free space", free >= floor, detail, fix), found.artefact_bytes


def _write_read_delete(manager: ProbedStorage, probe: _Probe) -> None:
    """One artefact's whole life; whatever happens on the way, it is deleted."""
    key, data = f"{PROBE_PREFIX}{secrets.token_hex(8)}", secrets.token_bytes(_PROBE_BYTES)
    try:
        with _timed(probe, "write"):
            manager.store_data(key, data, replace=False)
        with _timed(probe, "read"):
            if manager.retrieve_data(key) != data:
                raise StorageError("it gave back other bytes than it was given")
    except BaseException:
        with suppress(MonitordError):  # what went wrong before says more
            manager.delete(key)
        raise
    with _timed(probe, "delete"):
        manager.delete(key)
        if manager.exists(key):
            raise StorageError("what was deleted is still there")


@contextmanager
def _timed(probe: _Probe, step: str) -> Iterator[None]:
    probe.step, began_s = step, time.monotonic()
    yield
    probe.steps_s[step] = time.monotonic() - began_s


def _remove_left_behind(manager: ProbedStorage) -> None:
    """Probes of processes that were killed; those of others that run now stay."""
    before = datetime.now(UTC) - _LEFT_BEHIND
    for key in list(islice(manager.list(PROBE_PREFIX), _REMOVED_AT_ONCE)):
        try:
            is_left = manager.get_metadata(key).created_at < before
        except ArtefactError:
            is_left = True
        if is_left:
            manager.delete(key)


def _key_at_hand(keyring: Callable[[], Keyring]) -> HealthCheck:
    try:
        found = keyring()
    except MonitordError as error:
        fix = "put the key back where the configuration says; without it a restart reads and encrypts nothing"
        return HealthCheck("key", False, str(error), fix, AlertLevel.CRITICAL)
    return HealthCheck("key", True, f"{', '.join(found.key_ids)} present")


def _fix_of(error: MonitordError) -> str:
    return next((fix for kind, fix in _FIXES if isinstance(error, kind)), "see `monitord logs`")
