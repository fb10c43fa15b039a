"""Can evidence be kept right now, here and remotely, and how it went so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitord.actions import recorder
from monitord.actions.workspace import Workspace
from monitord.errors import StorageError
from monitord.redaction import printable
from monitord.storage.schema import ARTEFACTS_NAME

if TYPE_CHECKING:
    from monitord.storage.artefacts import StorageManager
    from monitord.storage.artefacts.monitor import HealthCheck

_HERE = "here"
_REMOTE_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class StorageHealth:
    """Each look with where it was taken; what the recorder counted since it began (None: nobody records)."""

    is_running: bool
    checks: list[tuple[str, HealthCheck]]
    reported: Mapping[str, Any] | None
    uploader: Mapping[str, Any] | None
    usage: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys of docs/output.md."""
        return {
            "running": self.is_running,
            "places": list(dict.fromkeys(where for where, _check in self.checks)),
            "checks": [
                {
                    "where": where,
                    "name": check.name,
                    "ok": check.is_ok,
                    "detail": printable(check.detail),
                    "fix": check.fix,
                }
                for where, check in self.checks
            ],
            "counters": self.reported.get("counters") if self.reported else None,
            "alerts": self.reported.get("alerts") if self.reported else None,
            "uploader": self.uploader,
            "usage": self.usage,
        }

    def require_ok(self) -> None:
        """Raise StorageError naming the looks that failed; return when none did."""
        failing = [f"{check.name} ({where})" for where, check in self.checks if not check.is_ok]
        if failing:
            raise StorageError(f"{len(failing)} of {len(self.checks)} checks fail: {', '.join(failing)}")


def check_storage(workspace: Workspace) -> StorageHealth:
    """Write, read and delete a probe wherever evidence goes; say what went in and out, and what waits."""
    from monitord.storage.folder import check_data_dir

    check_data_dir(workspace.data_dir)
    status = recorder.status(workspace)
    usage = recorder.usage(workspace, status)
    reported = status.get("storage") if status["is_running"] else None
    return StorageHealth(
        is_running=status["is_running"],
        checks=list(_checks(workspace, usage)),
        reported=reported if isinstance(reported, Mapping) else None,
        uploader=status.get("uploader") if workspace.settings.storage.url else None,
        usage=usage,
    )


@dataclass(frozen=True, slots=True)
class _Room:
    artefact_bytes: int
    free_disk_bytes: int


def _checks(workspace: Workspace, used: Mapping[str, int]) -> Iterator[tuple[str, HealthCheck]]:
    """The looks at this disk, then at the remote provider if there is one; each with where it looked."""
    from monitord.recorder.artefact_stores import keyring_look, keyring_of, remote_provider
    from monitord.storage.artefact_store import open_folder
    from monitord.storage.artefacts import StorageManager
    from monitord.storage.artefacts.monitor import HealthChecker, HealthLimits
    from monitord.storage.artefacts.opening import compose
    from monitord.storage.artefacts.urls import shown_url
    from monitord.storage.artefacts.wrappers.retried import Patience
    from monitord.storage.usage import floor_of

    settings, data_dir = workspace.settings, workspace.data_dir
    storage = settings.storage
    room = _Room(used["artefact_bytes"], used["free_disk_bytes"])
    here = HealthChecker(
        lambda: open_folder(data_dir / ARTEFACTS_NAME, create=False).artefacts,
        HealthLimits(free_disk_floor_bytes=floor_of(data_dir, settings.retention.min_free_disk_bytes)),
        room=lambda: room,
        keyring=keyring_look(storage),
    )
    yield from ((_HERE, check) for check in here.check_storage().checks)
    for url in filter(None, (storage.url, storage.archive_url)):

        def opened(url: str = url) -> StorageManager:
            provider = remote_provider(url, Patience(deadline_s=_REMOTE_DEADLINE_S))
            return StorageManager(compose(provider, keyring=keyring_of(storage)))

        remote = HealthChecker(opened, HealthLimits(deadline_s=_REMOTE_DEADLINE_S))
        yield from ((shown_url(url), check) for check in remote.check_storage().checks)
