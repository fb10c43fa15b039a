"""`storage status`: can evidence be kept right now, here and remotely, and how it went so far."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.status import artefact_counts, store_line, uploader_line, usage_of
from monitord.cli.terminal import Style, emit, fact, wrap
from monitord.cli.terminal import width as screen_width
from monitord.errors import StorageError
from monitord.export.encoding import json_text
from monitord.recorder.status import read_status
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.config import Settings
    from monitord.storage.artefacts import StorageManager
    from monitord.storage.artefacts.monitor import HealthCheck

_HERE = "here"
_REMOTE_DEADLINE_S = 30.0


def status(context: CliContext, output: OutputFlag = None, json: JsonFlag = False) -> None:
    """Write, read and delete a probe wherever evidence goes; say what went in and out, and what waits.

    Each failing check comes with its fix. Exit 1 when one fails.
    """
    from monitord.recorder.uploader_status import read_uploader_status
    from monitord.storage.folder import check_data_dir

    as_json = wants_json(output, json)
    folder = context.data_dir()
    check_data_dir(folder)
    told = {"is_running": False, **(read_status(folder) or {})}
    usage = usage_of(context, folder, told)
    settings = context.config().settings
    checks = list(_checks(settings, folder, usage))
    reported = told.get("storage") if told["is_running"] else None
    answer = {
        "running": told["is_running"],
        "places": list(dict.fromkeys(where for where, _check in checks)),
        "checks": [
            {
                "where": where,
                "name": check.name,
                "ok": check.is_ok,
                "detail": printable(check.detail),
                "fix": check.fix,
            }
            for where, check in checks
        ],
        "counters": reported.get("counters") if isinstance(reported, Mapping) else None,
        "alerts": reported.get("alerts") if isinstance(reported, Mapping) else None,
        "courier": _plain(read_uploader_status(folder)) if settings.storage.url else None,
        "usage": usage,
    }
    if as_json:
        emit(json_text(answer) + "\n")
    else:
        for line in _lines(answer, reported, context.style(), screen_width()):
            emit(f"{line}\n")
    sys.stdout.flush()
    failing = [f"{check.name} ({where})" for where, check in checks if not check.is_ok]
    if failing:
        raise StorageError(f"{len(failing)} of {len(checks)} checks fail: {', '.join(failing)}")


@dataclass(frozen=True, slots=True)
class _Room:
    artefact_bytes: int
    free_disk_bytes: int


def _checks(settings: Settings, data_dir: Path, used: Mapping[str, int]) -> Iterator[tuple[str, HealthCheck]]:
    """The looks at this disk, then at the remote provider if there is one; each with where it looked."""
    from monitord.recorder.artefact_stores import keyring_look, keyring_of, remote_provider
    from monitord.storage.artefact_store import open_folder
    from monitord.storage.artefacts import StorageManager
    from monitord.storage.artefacts.monitor import HealthChecker, HealthLimits
    from monitord.storage.artefacts.opening import compose
    from monitord.storage.artefacts.urls import shown_url
    from monitord.storage.artefacts.wrappers.retried import Patience
    from monitord.storage.schema import ARTEFACTS_NAME
    from monitord.storage.usage import floor_of

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


def _plain(status: Any) -> dict[str, Any] | None:
    return None if status is None else asdict(status)


def _lines(answer: Mapping[str, Any], reported: object, style: Style, columns: int) -> Iterator[str]:
    checks = answer["checks"]
    width = max(len(check["name"]) for check in checks)
    for where in answer["places"]:
        yield style.paint(printable(where), "bold")
        for check in (check for check in checks if check["where"] == where):
            mark = style.paint(f"{'ok' if check['ok'] else 'failure':<7}", "green" if check["ok"] else "red")
            first, *more = wrap(check["detail"], max(columns - width - 11, 12))
            yield f"{mark}  {check['name']:<{width}}  {first}"
            yield from (f"{'':7}  {'':{width}}  {line}" for line in more)
            if check["fix"] and not check["ok"]:
                yield f"{'':7}  {'':{width}}  fix: {style.paint(printable(check['fix']), 'cyan')}"
    facts = {
        "store": store_line(answer["usage"]),
        "artefacts": artefact_counts(reported) or "nobody records here: nothing was counted",
        "far away": uploader_line(answer["courier"], datetime.now(UTC)),
    }
    yield ""
    for name, text in facts.items():
        if text:
            yield from fact(name, text, columns, indent="")
