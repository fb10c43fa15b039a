"""Messages: a trial of the receivers that are configured, from here and now."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from monitord.actions.workspace import Workspace
from monitord.children import own_command
from monitord.errors import MonitordError, NotFoundError, UsageError


@dataclass(frozen=True, slots=True)
class Trial:
    """How one receiver took a test message; `error` is None when it did. `url` holds no secret."""

    name: str
    kind: str
    url: str
    error: str | None


def try_receivers(workspace: Workspace, name: str | None = None) -> Iterator[Trial]:
    """Send a test message to each receiver, or to one, and yield how each took it.

    In a process of its own, as the recorder does. Raises NotFoundError when none is configured, UsageError
    for a name that none has, both at once.
    """
    names = [one.name for one in workspace.settings.notify.enabled_receivers]
    if not names:
        raise NotFoundError(
            "cannot find a receiver: none is configured; add a [[notify.receivers]] table to the file"
        )
    if name is not None and name not in names:
        raise UsageError(f"invalid receiver {name!r}: expected one of {', '.join(names)}")
    return _trials(workspace, name)


def _trials(workspace: Workspace, name: str | None) -> Iterator[Trial]:
    words = ["--test", *(["--only", name] if name is not None else [])]
    words += ["--config", str(workspace.config_path.absolute())] if workspace.config_path else []
    with subprocess.Popen(own_command("monitord.notify", *words), stdout=subprocess.PIPE, cwd="/") as child:
        assert child.stdout is not None  # noqa: S101  a pipe; tells mypy
        for line in child.stdout:
            yield Trial(**json.loads(line))
    if child.returncode != 0:
        raise MonitordError(f"cannot try the receivers: the sender ended with status {child.returncode}")
