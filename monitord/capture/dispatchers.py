"""Functions of Python's own library that only call others: where one leads, compiled code was busy."""

from __future__ import annotations

from collections.abc import Sequence

from monitord.model import Hotspot

_LEAST_SHARE = 0.5  # of the samples: what a dispatcher itself does takes next to nothing
_DISPATCHERS = {
    "threading.py": ("run", "_bootstrap", "_bootstrap_inner"),
    "concurrent/futures/thread.py": ("run",),
    "concurrent/futures/process.py": ("_process_worker", "_process_chunk", "<listcomp>"),
    "asyncio/events.py": ("_run",),
    "multiprocessing/pool.py": ("worker", "mapstar", "starmapstar"),
    "multiprocessing/process.py": ("run",),
    "functools.py": ("wrapper",),
    "contextlib.py": ("inner",),
    "runpy.py": ("_run_code",),
}


def calls_compiled_code(spots: Sequence[Hotspot]) -> str | None:
    """The dispatcher that leads, by name: the compiled function that it called has no frame of Python's."""
    for spot in spots[:1]:
        name, file = spot.function.rpartition(".")[2], spot.file or ""
        if spot.kind != "python" or spot.self_share < _LEAST_SHARE:
            continue
        if any(file.endswith(f"/{place}") and name in names for place, names in _DISPATCHERS.items()):
            return spot.function
    return None
