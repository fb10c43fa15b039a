"""`py-spy dump`, as JSON (`--json`) and as text: each thread is one sample, idle ones are marked.

Values of variables (`--locals`) and the command line are never taken over.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import BinaryIO

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.errors import ProfileError
from monitord.profiles.frame_text import read_frame
from monitord.profiles.limits import MAX_JSON_BYTES, LineReader, read_json, whole_number
from monitord.profiles.representation import UNKNOWN, Frame, Profile, Thread

_THREAD = re.compile(r'Thread (\w{1,20}) \(([a-z+ ]{0,40})\)(?:: "(.*)")?')
_PROCESS = re.compile(r"Process ([0-9]{1,10}): ")
_FRAME_INDENT = "    "


def parse_dump(source: BinaryIO, *, pid: int | None = None) -> Profile:
    """Read one dump; with `pid`, only the threads of that process."""
    raw = source.read(MAX_JSON_BYTES + 1)
    if raw.lstrip()[:1] in (b"[", b"{"):
        return _parse_json(read_json(io.BytesIO(raw)), pid)
    return _parse_text(io.BytesIO(raw), pid)


def _parse_json(threads: object, pid: int | None) -> Profile:
    if not isinstance(threads, list):
        raise ProfileError("invalid py-spy dump: expected a list of threads")
    builder = ProfileBuilder("py-spy")
    for thread in threads:
        if not isinstance(thread, Mapping) or not isinstance(thread.get("frames"), list):
            builder.errors += 1
            continue
        label = _label(thread)
        if pid is not None and label.pid not in (None, pid):
            continue
        frames = [_frame(frame) for frame in thread["frames"] if isinstance(frame, Mapping)]
        value = 1.0 if label.is_idle else _share(thread.get("cpu_share"))
        builder.add(label, [builder.frame(frame) for frame in reversed(frames)], value, samples=1)
    if threads and builder.errors == len(threads):
        raise ProfileError("invalid py-spy dump: no entry is a thread with frames")
    return builder.build()


def _share(value: object) -> float:
    """What part of the time the thread ran, where capture measured it; else it counts as one sample."""
    return float(value) if isinstance(value, (int, float)) and 0 < value <= 1 else 1.0


def _label(thread: Mapping[object, object]) -> Thread:
    name = thread.get("thread_name")
    return Thread(
        name=name if isinstance(name, str) else None,
        thread_id=whole_number(thread.get("os_thread_id"), whole_number(thread.get("thread_id"))),
        pid=whole_number(thread.get("pid")),
        is_idle=thread.get("active") is False,
    )


def _frame(frame: Mapping[object, object]) -> Frame:
    """Give one frame; `module` is set for native ones, and line 0 means unknown."""
    name, file, module = (frame.get(key) for key in ("name", "filename", "module"))
    is_native = isinstance(module, str) and bool(module)
    file = file if isinstance(file, str) and file and file != module else None
    return Frame(
        name=name if isinstance(name, str) and name else UNKNOWN,
        file=file,
        line=max(0, whole_number(frame.get("line"), 0) or 0) or None,
        module=module if is_native and isinstance(module, str) else None,
        kind="native" if is_native else "python",
    )


def _parse_text(source: BinaryIO, pid: int | None) -> Profile:
    builder = ProfileBuilder("py-spy")
    process: int | None = None
    label: Thread | None = None
    leaf_first: list[int] = []
    reader = LineReader(source)

    def finish() -> None:
        if label is not None and (pid is None or label.pid in (None, pid)):
            builder.add(label, leaf_first[::-1])

    saw_thread = False
    for line in reader:
        if found := _THREAD.fullmatch(line):
            finish()
            saw_thread, leaf_first = True, []
            label = Thread(found[3] or None, _number(found[1]), process, "idle" in found[2])
        elif label is None and (found := _PROCESS.match(line)):
            process = int(found[1])
        elif label is not None and line.startswith(_FRAME_INDENT) and line[4:5] != " " and line.endswith(")"):
            leaf_first.append(builder.frame(read_frame(line.strip())))
    finish()
    builder.read_all(reader)
    if not saw_thread:
        raise ProfileError("invalid output of py-spy dump: it names no thread")
    return builder.build()


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
