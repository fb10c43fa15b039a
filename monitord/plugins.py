"""Code of other packages, by entry point: loaded when configured, and only what nobody else can change."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monitord.errors import ConfigError, PermissionDeniedError, StorageError
from monitord.ownership import is_privileged, why_untrusted

FORGETS = "memory"
"""The scheme of what ends with its process: no configuration may name it."""


def check_plugin(group: str, name: str) -> None:
    """Raise ConfigError when no installed package has it; nothing of it is loaded."""
    _found(group, name)


def load_plugin(group: str, name: str) -> Any:
    """Return what the entry point leads to.

    Raises ConfigError when there is none, PermissionDeniedError when this process has rights that others lack
    and somebody else could have written it, StorageError when it can't be imported.
    """
    return load_entry(_found(group, name))


def load_entry(entry: EntryPoint) -> Any:
    """Return what this entry point leads to; the only place that runs code of other packages' modules.

    Raises PermissionDeniedError and StorageError, as `load_plugin` does.
    """
    require_trust(entry)
    try:
        return entry.load()
    except Exception as error:
        raise StorageError(f"cannot load the plug-in {entry.value}: {error}") from error


def known_schemes(built_in: Iterable[str], added: Iterable[str]) -> str:
    """Return the schemes that a configuration may name, for a message."""
    return ", ".join(f"{scheme}://" for scheme in sorted({*built_in, *added} - {FORGETS}))


def _found(group: str, name: str) -> EntryPoint:
    added = entry_points(group=group)
    for entry in added:
        if entry.name == name:
            return entry
    known = ", ".join(sorted(added.names)) or "none"
    raise ConfigError(f"cannot find the plug-in {name!r} of {group}; installed: {known}")


def require_trust(entry: EntryPoint) -> None:
    """Refuse code that others could have written, before any of it runs, for who has rights they lack."""
    if not is_privileged():
        return
    for path in (*_listing_of(entry), *_files_of(entry.module)):
        reason = why_untrusted(path, owners=frozenset({os.geteuid()}))
        if reason is not None:
            raise PermissionDeniedError(
                f"cannot load the plug-in {entry.value}: {reason}; install it where only root can write"
            )


def _listing_of(entry: EntryPoint) -> list[Path]:
    """The file that names the entry point: who can write it chooses what is called, even of sound modules."""
    if entry.dist is None:
        return []
    about = getattr(entry.dist, "_path", None) or entry.dist.locate_file("")  # RECORD may be missing
    return [Path(str(about)).absolute() / "entry_points.txt"]


def _files_of(module: str) -> list[Path]:
    """The files that an import of this module runs, without running any."""
    top, *inner = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return []  # the import says what is wrong with it
    files, folder = [Path(spec.origin)], Path(spec.origin).parent
    for name in inner:
        package = folder / name / "__init__.py"
        files.append(package if package.is_file() else folder / f"{name}.py")
        folder = folder / name
    return files
