"""Whether a target sees the same files as monitord does: tools that open the names in its maps need that.

In a container, a mount namespace or a root of its own a name leads elsewhere; then a symbolizer that opens it
here reads another file, and every name in the stack is wrong.
"""

from __future__ import annotations

from pathlib import Path

from monitord import procfs
from monitord.model import counted

_LIMIT_S = 0.5
_MAPS_CAP_BYTES = 2 * 1024 * 1024
_FILES_CAP = 1024
_DELETED = " (deleted)"


def strange_file(pid: int) -> str | None:
    """The first file whose code the process runs that is another one here, or none; None: all are the same.

    A kernel that keeps us waiting (a network file system) makes the file that was asked for strange.
    """
    from monitord.procfs.maps import mapped_code  # a profile's worth of code

    maps = procfs.read_within(procfs.path(pid, "maps"), _LIMIT_S, _MAPS_CAP_BYTES)
    names = tuple(mapped.path for mapped in mapped_code(maps or b""))
    if len(names) > _FILES_CAP:
        return f"one of {counted(len(names), 'mapped file')}"
    checked: list[str | None] = []

    def check() -> None:
        for name in names:
            if not _is_same(pid, name):
                checked.append(name)
                return
        checked.append(None)

    procfs.try_for(_LIMIT_S, check, "capture-views")
    return checked[0] if checked else "a mapped file that keeps its reader waiting"


def _is_same(pid: int, name: str) -> bool:
    """What was deleted is opened by nobody: its symbols come from the process's memory."""
    if name.endswith(_DELETED):
        return True
    try:
        theirs, ours = Path(procfs.path(pid, f"root{name}")).stat(), Path(name).stat()
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
