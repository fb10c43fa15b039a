"""Writes the one representation itself, as JSON: frames by number, stacks of numbers, threads as labels."""

from __future__ import annotations

import json

from monitord.profiles.frame_text import encodable
from monitord.profiles.locations import func_id_of
from monitord.profiles.representation import Profile, Thread
from monitord.profiles.writing import About

FORMAT = "monitord-profile/1"


def write_json(profile: Profile, about: About) -> bytes:
    """Write one object; a stack is `[thread, [frame, …], value]`: numbers into the tables, root first."""
    threads: dict[Thread, int] = {}
    stacks = [
        [threads.setdefault(thread, len(threads)), list(stack), value]
        for (thread, stack), value in profile.stacks.items()
    ]
    document = {
        "format": FORMAT,
        "title": encodable(about.title),
        "tool": encodable(profile.tool),
        "unit": encodable(profile.unit),
        "period_s": profile.period_s,
        "duration_s": about.duration_s,
        "sample_count": profile.sample_count,
        "error_count": profile.errors,
        "notes": [encodable(note) for note in profile.notes],
        "frames": [
            {
                "kind": frame.kind,
                "name": encodable(frame.name),
                "file": _optional(frame.file),
                "line": frame.line,
                "module": _optional(frame.module),
                "func_id": func_id_of(frame.name, frame.file, frame.module, frame.kind),
            }
            for frame in profile.frames
        ],
        "threads": [
            {
                "pid": thread.pid,
                "thread_id": thread.thread_id,
                "name": _optional(thread.name),
                "is_idle": thread.is_idle,
            }
            for thread in threads
        ],
        "stacks": stacks,
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def _optional(text: str | None) -> str | None:
    return None if text is None else encodable(text)
