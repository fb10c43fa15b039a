"""The configuration: what is in force, whether it is right, a file to begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from monitord.actions.files import place_file
from monitord.config import LoadedConfig, default_path, default_text
from monitord.config.telling import ReceiverSettings
from monitord.errors import ConfigError
from monitord.ownership import make_folder, who_asks
from monitord.redaction import redact_argv
from monitord.storage.artefacts.urls import shown_url


def check_config(loaded: LoadedConfig) -> None:
    """Raise ConfigError for a place that can't be used as configured; nothing is connected to."""
    from monitord.recorder.artefact_stores import check_events, check_state, check_storage

    check_storage(loaded)
    check_state(loaded)
    check_events(loaded)


def shown_settings(loaded: LoadedConfig) -> dict[str, object]:
    """Return the settings in force, with what opens doors hidden in URLs."""
    settings = {
        name: _without_secrets(section) if isinstance(section, Mapping) else section
        for name, section in loaded.settings.as_dict().items()
    }
    notify = cast("dict[str, object]", settings["notify"])
    receivers = cast("list[dict[str, object]]", notify["receivers"])
    notify["receivers"] = [
        {**shown, **_safe(receiver)}
        for shown, receiver in zip(receivers, loaded.settings.notify.receivers, strict=True)
    ]
    return settings


def _without_secrets(section: Mapping[str, object]) -> dict[str, object]:
    """Every value with a scheme is a URL, whatever its key is called; a plain path opens nothing."""
    return {
        key: shown_url(held) if isinstance(held, str) and "://" in held else held
        for key, held in section.items()
    }


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
        make_folder(target.parent, owners=frozenset({who_asks()}))
        place_file(target, default_text().encode(), mode=0o644, replace=overwrite)
    except FileExistsError:
        raise ConfigError(f"cannot create {target}: it exists already; --force overwrites it") from None
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}; name another with --config") from error
    return target
