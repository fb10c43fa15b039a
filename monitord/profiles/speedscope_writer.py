"""Writes speedscope's JSON (https://www.speedscope.app/file-format-schema.json): one profile a thread."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from monitord.profiles.frame_text import encodable
from monitord.profiles.representation import RING, Frame, Profile, Thread
from monitord.profiles.writing import About

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def write_speedscope(profile: Profile, about: About) -> bytes:
    """Each distinct stack is one sample, as heavy as it was often seen; in seconds if the period is known."""
    seconds = profile.period_s if profile.unit == "samples" else None
    unit = "seconds" if seconds else "bytes" if profile.unit == "bytes" else "none"
    threads: defaultdict[Thread, list[tuple[tuple[int, ...], float]]] = defaultdict(list)
    for (thread, stack), value in profile.stacks.items():
        threads[thread].append((stack, value * seconds if seconds else value))
    document = {
        "$schema": _SCHEMA,
        "name": encodable(about.title),
        "exporter": "monitord",
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(frame) for frame in profile.frames]},
        "profiles": [
            _thread(thread_title(thread, profile.tool), stacks, unit) for thread, stacks in threads.items()
        ],
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def _frame(frame: Frame) -> dict[str, Any]:
    place, line = frame.file or frame.module, frame.line
    return {
        "name": encodable(frame.name),
        **({"file": encodable(place)} if place else {}),
        **({"line": line} if line else {}),
    }


def _thread(title: str, stacks: list[tuple[tuple[int, ...], float]], unit: str) -> dict[str, Any]:
    return {
        "type": "sampled",
        "name": encodable(title),
        "unit": unit,
        "startValue": 0,
        "endValue": sum(weight for _stack, weight in stacks),
        "samples": [list(stack) for stack, _weight in stacks],
        "weights": [weight for _stack, weight in stacks],
    }


def thread_title(thread: Thread, tool: str) -> str:
    """Name a thread for a person: `Thread 9684 "MainThread"`, with its process where it is named.

    The black box names processes, and no threads: `python3 (pid 9684)`, and the thread if it is another one.
    """
    name, number, pid = thread.name, thread.thread_id, thread.pid
    words = [f"Process {pid}"] if pid is not None else []
    if tool == RING and name and pid is not None:
        words, name = [f"{name} (pid {pid})"], None
        number = None if number == pid else number
    if number is not None or name:
        words.append("Thread" + (f" {number}" if number is not None else "") + (f' "{name}"' if name else ""))
    idle = " (waiting)" if thread.is_idle else ""
    return (", ".join(words) or "all threads") + idle
