"""Names of a Java program's compiled code: asked of the program itself, just before perf names its stacks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from monitord import procfs
from monitord.capture.target import Target
from monitord.children import own_script

_ASKS = Path(__file__).with_name("java_names.py")
_LIMIT_S = 5.0
_MAPS_CAP_BYTES = 4 * 1024 * 1024
OF_NOW = (
    "names of compiled code were read just after: where code had been replaced by then, the newer name stands"
)
"""What HotSpot tells is what lies there now; unlike a map that only grows it shows no place that had two."""


def is_java(target: Target) -> bool:
    """Return whether the target runs HotSpot, by the libraries that it maps."""
    maps = procfs.read_within(procfs.path(target.key.pid, "maps"), 0.3, _MAPS_CAP_BYTES)
    return bool(maps) and b"/libjvm.so" in (maps or b"")


def ask_for_names(target: Target) -> str | None:
    """Have the names written where perf looks for them; why that could not be had, or None.

    The child runs as the target's user and has no right that this user lacks.
    """
    ids = target.identity.users.split()
    group = target.owner[1] if target.owner is not None else 0
    if len(set(ids)) != 1:
        return "its user is not known"
    user = int(ids[0])
    if os.geteuid() not in (0, user):
        return "it is another user's"
    is_root = os.geteuid() == 0
    command = own_script(_ASKS, str(target.key.pid), str(target.key.start_ticks))
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/",
            env={}, timeout=_LIMIT_S, check=False, start_new_session=True,
            user=user if is_root else None,
            group=group if is_root else None,
            extra_groups=() if is_root else None,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return None if done.returncode == 0 else (words[-1][:200] if words else "it did not answer")
