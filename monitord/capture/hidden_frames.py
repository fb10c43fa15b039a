"""Tells when a Python function has no readable name, because then py-spy tells its caller in its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from monitord.capture.target import Target
from monitord.capture.thread_cpu import read_times, used_between
from monitord.capture.tool_runner import LOOKS_AT_PROCESSES, Runner, ToolRun
from monitord.children import own_command, own_environment
from monitord.model import Capture, CaptureStatus, Hotspot

NOT_READABLE = "[name not readable]"
_LEAST_SHARE = 0.2
_LIMIT_S = 3.0
_MEMORY_CAP_BYTES = 512 * 1024 * 1024


def hidden_share(runner: Runner, target: Target, folder: Path, looks: int) -> float:
    """For what part of the CPU used meanwhile functions with an unreadable name ran.

    0 where that can't be known: another Python, a process that may not be read, or one that has ended.
    """
    pid = target.key.pid
    words = ("monitord.capture.python_frames", str(pid), str(looks))
    tool_run = ToolRun(
        own_command(*words, keeps_bytecode=False), folder, _LIMIT_S, (0.1, 0.1), watch_target=False,
        environment=own_environment(), file_cap_bytes=0, memory_cap_bytes=_MEMORY_CAP_BYTES,
        rights=LOOKS_AT_PROCESSES,
    )  # fmt: skip
    before = read_times(pid)
    answer = runner.run(tool_run).stdout
    use = used_between(pid, before, read_times(pid))
    if not target.is_alive() or target.was_replaced() is not None:
        return 0.0  # it may have been another one's memory
    try:
        found = {int(name): pair for name, pair in json.loads(answer or b"{}").items()}
        used = {one: use.threads.get(one, 0.0) if use else 0.0 for one in found}
        hidden_s = sum(used[one] * pair[1] / pair[0] for one, pair in found.items())
        return min(1.0, hidden_s / sum(used.values())) if any(used.values()) else 0.0
    except (ValueError, TypeError, AttributeError, IndexError, ZeroDivisionError, RecursionError):
        return 0.0


def with_hidden(capture: Capture, share: float) -> Capture:
    """The capture led by what has no readable name, for the part of the time that it ran."""
    if share < _LEAST_SHARE or not capture.status.has_evidence:
        return capture
    spots = [replace(spot, self_share=spot.self_share * (1 - share)) for spot in capture.hotspots]
    unread = Hotspot(NOT_READABLE, None, None, share, share)
    spots = sorted([unread, *spots], key=lambda spot: -spot.self_share)
    reason = f"a function whose name py-spy can't read ran {share * 100:.0f} % of the time"
    return replace(
        capture,
        hotspots=tuple(spots),
        status=CaptureStatus.PARTIAL,
        reason=capture.reason or f"{reason}: py-spy tells its caller in its place",
    )
