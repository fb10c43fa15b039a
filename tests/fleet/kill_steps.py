"""Ships a copy of a host, killed at one step after the other, and then once more undisturbed.

`python -m tests.fleet.kill_steps TEMPLATE WORK`: each copy is WORK/<step>/{data,bucket}; prints how many steps a
round has. A step is a file opened for writing, renamed, removed or changed below the copy, as the audit hook hears it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow

from tests.fleet.hosts import Host

_CHANGES = {"os.rename", "os.remove", "os.utime", "os.mkdir", "os.link", "os.rmdir", "os.truncate"}
_NEVER = 1 << 30
OPTIONS = {"artefacts": True, "not_tables": ["events", "hotspots", "process_minutes"]}


def ship(folder: Path, dies_at: int) -> int:
    """How many steps a round had; in a child that is killed before step `dies_at`."""
    steps = 0
    own = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event not in _CHANGES and not (event == "open" and _writes(arguments)):
            return
        steps += 1
        if steps == dies_at:
            os.kill(own, signal.SIGKILL)

    sys.addaudithook(hook)
    Host(folder, f"file://{folder}/bucket", OPTIONS).ship(archive_of=lambda name: name.encode())
    return steps


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def in_child(folder: Path, dies_at: int) -> int:
    """The wait status; what a round that ended counted stands in `steps`."""
    child = os.fork()
    if child == 0:
        try:
            (folder / "steps").write_text(str(ship(folder, dies_at)))
            os._exit(0)
        except BaseException:  # noqa: BLE001  whatever it is, it must not go on as the parent
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return os.waitpid(child, 0)[1]


def main(template: Path, work: Path) -> None:
    pyarrow.array([])  # at its first array it loads what there is for it: not in each child anew
    shutil.copytree(template, work / "0")
    assert in_child(work / "0", _NEVER) == 0
    count = int((work / "0" / "steps").read_text())
    for step in range(1, count + 1, int(os.environ.get("MONITORD_SHIP_KILLS", "3"))):
        folder = work / str(step)
        shutil.copytree(template, folder)
        status = in_child(folder, step)
        assert status in (0, signal.SIGKILL), (step, status)
        assert in_child(folder, _NEVER) == 0, step
    print(count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
