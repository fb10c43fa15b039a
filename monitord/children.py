"""How monitord starts processes of its own: isolated, so that nothing runs in them but monitord.

Neither the current folder nor PYTHONPATH, PYTHONSTARTUP or the user's own packages count there (`python -I`).
Only where this monitord itself lies is told, when its interpreter would not look there by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import threading
from pathlib import Path

_DETAIL_AT_MOST = 1000  # letters, of twelve bytes each at most
_PACKAGE = Path(__file__).resolve().parent
# What a person's checkout or a user's own packages need: this monitord's folder first on the path.
_FROM_ELSEWHERE = (
    "import sys; from runpy import run_module; sys.path.insert(0, sys.argv[1]); name = sys.argv[2]; "
    "del sys.argv[1:3]; run_module(name, None, '__main__', True)"
)


def own_command(module: str, *arguments: str, keeps_bytecode: bool = True) -> tuple[str, ...]:
    """Return the command that runs one of our modules as `__main__`, the same from every folder.

    Without `keeps_bytecode` the child writes no compiled modules: for those that may not write.
    """
    flags = ("-I", "-X", "utf8") if keeps_bytecode else ("-I", "-B", "-X", "utf8")
    if _is_installed():
        return (sys.executable, *flags, "-m", module, *arguments)
    return (sys.executable, *flags, "-c", _FROM_ELSEWHERE, str(_PACKAGE.parent), module, *arguments)


def own_script(path: Path, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a file of ours that imports nothing but the standard library."""
    return (sys.executable, "-I", "-S", str(path), *arguments)


_SYSTEM_FOLDERS = (
    *("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin"),  # the last one is NixOS's
)


def system_program(name: str) -> str | None:
    """Return where the system has the program of this name, never through PATH; None: nowhere."""
    places = (f"{folder}/{name}" for folder in _SYSTEM_FOLDERS)
    return next((place for place in places if os.access(place, os.X_OK)), None)


def own_environment() -> dict[str, str]:
    """Return the environment that a child of ours needs, and nothing else of ours."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def end_with_parent() -> None:
    """End this process as soon as its stdin closes: its parent is gone, or wants no more."""
    threading.Thread(target=_end_at_end_of_input, daemon=True).start()


def answer(outcome: str, detail: str) -> None:
    """Tell the recorder what came of an errand, whose last line it reads; a long `detail` is cut."""
    print(json.dumps({"outcome": outcome, "detail": detail[:_DETAIL_AT_MOST]}), flush=True)  # noqa: T201  for it


def _end_at_end_of_input() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def _is_installed() -> bool:
    """Whether an isolated interpreter finds us by itself, and no other monitord."""
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return _PACKAGE.parent in places
