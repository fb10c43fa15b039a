"""What is missing for good evidence on this machine, each with the exact fix."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from monitord import __version__
from monitord.actions.configuration import leaves
from monitord.actions.workspace import Workspace
from monitord.config import LoadedConfig, Settings, load
from monitord.doctor import Check, Surroundings, run_checks
from monitord.errors import ConfigError, MonitordError
from monitord.recorder.artefact_stores import check_storage
from monitord.redaction import printable
from monitord.service import ServicePaths, plan_install


def diagnose(workspace: Workspace) -> list[Check]:
    """Run every check; a configuration that can't be used is one, and the others then go by the defaults."""
    loaded, broken = _configured(workspace)
    checks = run_checks(_surroundings(workspace, loaded.settings))
    return [*broken, *checks, *_storage_urls(loaded), *_open_passwords(loaded)]


def require_healthy(checks: Sequence[Check], *, strict: bool) -> None:
    """Raise MonitordError naming the checks that failed; with `strict` warnings count as failures."""
    bad = [check for check in checks if check.outcome == "failure" or (strict and check.outcome == "warning")]
    if bad:
        names = ", ".join(dict.fromkeys(check.name for check in bad))
        raise MonitordError(f"{len(bad)} of {len(checks)} checks need attention: {names}")


def plain(check: Check) -> dict[str, str | None]:
    """Return a finding as plain data with the keys of docs/output.md."""
    return {
        "name": check.name,
        "outcome": check.outcome,
        "detail": printable(check.detail),
        "fix": check.fix,
    }


def _configured(workspace: Workspace) -> tuple[LoadedConfig, list[Check]]:
    try:
        return workspace.config(), []
    except ConfigError as error:
        failure = Check("configuration", "failure", str(error), "monitord config validate")
        return load(Path(os.devnull), {}), [failure]


def _storage_urls(loaded: LoadedConfig) -> Iterator[Check]:
    """Whether evidence can be kept at what is configured; nothing is connected to."""
    if not (loaded.settings.storage.url or loaded.settings.storage.archive_url):
        return
    try:
        check_storage(loaded)
    except MonitordError as error:
        yield Check("storage url", "failure", str(error), "monitord config validate")
    else:
        yield Check("storage url", "ok", "no fault found; `monitord storage status` tries it")


def _open_passwords(loaded: LoadedConfig) -> Iterator[Check]:
    """Passwords in URLs of a file that every user may read; a receiver's URL has a check of its own."""
    for key, held in leaves(loaded.settings.as_dict()):
        if key.startswith("notify.") or not isinstance(held, str) or not _has_password(held):
            continue
        path = Path(loaded.origin(key).rpartition(":")[0])
        try:
            is_open = bool(path.stat().st_mode & stat.S_IROTH)
        except OSError:
            continue  # the environment has it
        if is_open:
            words = f"everybody on this machine can read its password in {path}"
            fix = f'write the URL into a file with mode 0600, then {key} = "file:/PATH"'
            yield Check(key, "warning", words, fix)


def _has_password(text: str) -> bool:
    try:
        return "://" in text and urlsplit(text).password is not None
    except ValueError:
        return False


def _surroundings(workspace: Workspace, settings: Settings) -> Surroundings:
    return Surroundings(
        data_dir=workspace.data_dir,
        version=__version__,
        max_total_bytes=settings.retention.max_total_bytes,
        min_free_disk_bytes=settings.retention.min_free_disk_bytes,
        backup_folder=Path(settings.backup.folder) if settings.backup.folder else None,
        backup_every_h=settings.backup.every_h,
        is_remote=bool(settings.storage.url),
        units=_units(),
        receivers=settings.notify.enabled_receivers,
        ship_url=settings.ship.url,
        warm_bytes=int(settings.analytics.warm_mb * 1e6),
        has_black_box=settings.black_box.enabled,
        ring_rate_hz=settings.black_box.rate_hz,
        ring_bytes=settings.black_box.bytes_per_cpu,
    )


def _units() -> Mapping[Path, str]:
    """Every service file this version would write, by its path."""
    here = ServicePaths.here()
    plans = [plan_install(system, here) for system in (False, True)]
    return {file.path: file.content for plan in plans for file in plan.files}
