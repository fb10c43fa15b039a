"""Whether a profile may be believed, or another profiler is to be asked, too.

Where a function of Python's own library leads that only calls others, compiled code was busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitord.capture.session import LEAST_EXPLAINED, MAIN_THREAD_SLEPT
from monitord.model import Capture, CaptureStatus, Hotspot

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
_UNSEEN = ", which has no name here"


def doubted(capture: Capture) -> Capture:
    """What another profiler is to be asked of, too, is partial.

    Scalene counts sleep as work. And a function that only calls others is not what was busy.
    """
    slept = capture.notes.get(MAIN_THREAD_SLEPT)
    if capture.status is not CaptureStatus.OK or capture.role != "profile":
        return capture
    if (caller := calls_compiled_code(capture.hotspots)) is not None:
        return replace(
            capture, status=CaptureStatus.PARTIAL, reason=f"{caller} called compiled code{_UNSEEN}"
        )
    if slept is None:
        return capture
    reason = f"the main thread slept {float(slept) * 100:.0f} % of the time, and Scalene counts that as work"
    return replace(capture, status=CaptureStatus.PARTIAL, reason=reason)


def is_enough(capture: Capture) -> bool:
    """Whether no further profiler need be asked: a profile that accounts for the CPU used."""
    share = capture.explained_share
    explains = (share is None or share >= LEAST_EXPLAINED) and MAIN_THREAD_SLEPT not in capture.notes
    names_it = calls_compiled_code(capture.hotspots) is None
    return capture.role == "profile" and capture.status.has_evidence and explains and names_it


def calls_compiled_code(spots: Sequence[Hotspot]) -> str | None:
    """The dispatcher that leads, by name: the compiled function that it called has no frame of Python's."""
    for spot in spots[:1]:
        name, file = spot.function.rpartition(".")[2], spot.file or ""
        if spot.kind != "python" or spot.self_share < _LEAST_SHARE:
            continue
        if any(file.endswith(f"/{place}") and name in names for place, names in _DISPATCHERS.items()):
            return spot.function
    return None
