"""The configuration: what is in force, whether it is right, a file to begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from monitord.actions.files import place_file
from monitord.config import LoadedConfig, default_path, default_text
from monitord.config.telling import ReceiverSettings
from monitord.durable import make_folder
from monitord.errors import ConfigError
from monitord.redaction import redact_argv
from monitord.storage.artefacts.urls import shown_url


def check_config(loaded: LoadedConfig) -> None:
    """Raise ConfigError for storage or state that can't be used as configured; nothing is connected to."""
    from monitord.recorder.artefact_stores import check_state, check_storage

    check_storage(loaded)
    check_state(loaded)


def shown_settings(loaded: LoadedConfig) -> dict[str, object]:
    """Return the settings in force, with what opens doors hidden in URLs."""
    settings = loaded.settings.as_dict()
    storage = dict(cast("Mapping[str, object]", settings["storage"]))
    for key in ("url", "archive_url"):
        storage[key] = shown_url(str(storage[key])) if storage[key] else ""
    ship = dict(cast("Mapping[str, object]", settings["ship"]))
    ship["url"] = shown_url(str(ship["url"])) if ship["url"] else ""
    notify = dict(cast("Mapping[str, object]", settings["notify"]))
    receivers = cast("list[dict[str, object]]", notify["receivers"])
    notify["receivers"] = [
        {**shown, **_safe(receiver)}
        for shown, receiver in zip(receivers, loaded.settings.notify.receivers, strict=True)
    ]
    state = dict(cast("Mapping[str, object]", settings["state"]))
    state["url"] = shown_url(str(state["url"])) if state["url"] else ""
    analytics = dict(cast("Mapping[str, object]", settings["analytics"]))
    analytics["cold_url"] = shown_url(str(analytics["cold_url"])) if analytics["cold_url"] else ""
    changed = {"state": state, "storage": storage, "analytics": analytics, "ship": ship, "notify": notify}
    return {**settings, **changed}


def _safe(receiver: ReceiverSettings) -> dict[str, object]:
    """Return where it leads without what opens a door."""
    shown: dict[str, object] = {"url": receiver.shown_url} if receiver.url else {}
    return shown | ({"command": redact_argv(receiver.command)} if receiver.command else {})


def leaves(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield `section.key` or `rules[0].key` with each single value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{prefix}[{index}]")
    else:
        yield prefix, value


def write_default(named: Path | None, *, overwrite: bool) -> Path:
    """Write a commented configuration file with every key and its default, and return where it is."""
    target = named or default_path()
    try:
        make_folder(target.parent)
        place_file(target, default_text().encode(), mode=0o644, replace=overwrite)
    except FileExistsError:
        raise ConfigError(f"cannot create {target}: it exists already; --force overwrites it") from None
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}; name another with --config") from error
    return target
