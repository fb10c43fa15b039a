"""What is kept of a stack dump: the frames, and beside each thread what the scheduler says that it ran.

`python -m monitord.capture.dumps PY_SPY PID` takes a dump of a process with many threads and prints the
busiest: a supervised child, because such a dump can be 20 MB of a hostile process' JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from monitord.capture.thread_cpu import BUSY_SHARE, read_times, shares_between
from monitord.model import Capture, counted

DUMP_CAP_BYTES = 512 * 1024
_RAW_CAP_BYTES = 64 * 1024 * 1024
_JOINED_FORMATS = ("py-spy-dump", "eu-stack", "folded")
_FRAME_KEYS = ("name", "filename", "module", "line")
_THREAD_KEYS = ("pid", "thread_id", "thread_name", "os_thread_id", "active")
_NEEDLESS = re.compile(rb"(?m)^(#[0-9]+ +0x[0-9a-f]+(?: - 1)? +[^- ].*\n) {4}\[.*\n")
Dump = tuple[bytes, int, int]
"""A dump as it is kept, how many threads had frames, and how many of those were left out."""


def kept_dump(data: bytes, shares: Mapping[int, float]) -> Dump | None:
    """A py-spy dump (JSON) as it is kept; None when it can't be parsed.

    Values of variables and command lines are never kept. The busiest threads come first,
    so that those beyond DUMP_CAP_BYTES are those that only wait.
    """
    try:
        threads = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(threads, list) or not all(_is_thread(thread) for thread in threads):
        return None
    kept = [_thread(thread, shares) for thread in threads if thread["frames"]]
    kept.sort(key=lambda thread: (-thread.get("cpu_share", 0.5), not thread.get("active", True)))
    texts: list[str] = []
    left = DUMP_CAP_BYTES
    for thread in kept:
        text = json.dumps(thread, separators=(",", ":"))
        left -= len(text) + 1
        if left < 0 and texts:
            break
        texts.append(text)
    return f"[{','.join(texts)}]".encode(), len(kept), len(kept) - len(texts)


def _is_thread(thread: object) -> bool:
    return isinstance(thread, dict) and isinstance(thread.get("frames"), list)


def _thread(thread: Mapping[str, Any], shares: Mapping[int, float]) -> dict[str, Any]:
    frames = [
        {key: frame[key] for key in _FRAME_KEYS if frame.get(key)}
        for frame in thread["frames"]
        if isinstance(frame, dict)
    ]
    kept: dict[str, Any] = {key: thread[key] for key in _THREAD_KEYS if key in thread}
    share = shares.get(thread.get("os_thread_id") or -1)
    if share is not None:
        kept["cpu_share"] = round(share, 3)
        kept["active"] = share >= BUSY_SHARE
    return {**kept, "frames": frames}


def read_dump(answer: bytes) -> Dump | None:
    """Return the dump that `main` printed, or None when it is damaged."""
    try:
        found = json.loads(answer)
        return found["dump"].encode(), int(found["threads"]), int(found["left_out"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def join_dumps(first: bytes, second: bytes) -> bytes:
    """Join two kept dumps into one: each thread of each is one sample."""
    if first == b"[]":
        return second
    return first if second == b"[]" else first[:-1] + b"," + second[1:]


def annotated_text(text: bytes, shares: Mapping[int, float]) -> bytes:
    """One snapshot of eu-stack, headed by what part of the time each of its threads ran.

    Build ids stay under the frames that have no symbol.
    """
    head = "".join(f"CPU {thread_id} {share:.3f}\n" for thread_id, share in shares.items())
    return head.encode() + _NEEDLESS.sub(rb"\1", text)


def joined(earlier: Capture, later: Capture) -> Capture:
    """Return the earlier dump with the samples of the later one, or as it was where they don't belong
    together.

    A look at another program (it was executed in between) belongs to no earlier one.
    """
    if earlier.payload is None or later.payload is None or not _are_alike(earlier, later):
        return earlier
    joins = join_dumps if earlier.format == "py-spy-dump" else bytes.__add__
    count = int(earlier.notes.get("looks", "1").split()[0]) + 1
    span_s = (later.started_at - earlier.started_at).total_seconds() + later.duration_s
    return replace(
        earlier,
        payload=joins(earlier.payload, later.payload),
        duration_s=span_s,
        sample_count=(earlier.sample_count or 0) + (later.sample_count or 0),
        notes={**earlier.notes, "looks": f"{counted(count, 'look')} within {span_s:.1f} s, before the alert"},
    )


def _are_alike(earlier: Capture, later: Capture) -> bool:
    return (
        earlier.format in _JOINED_FORMATS
        and (earlier.format, earlier.target) == (later.format, later.target)
        and (earlier.image is None or later.image is None or earlier.image == later.image)
    )


def main(arguments: Sequence[str]) -> int:
    """Take a dump and print `{"dump": …, "threads": …, "left_out": …}`, or py-spy's own words and status."""
    program, pid = arguments[0], int(arguments[1])
    before = read_times(pid)
    command = [program, "dump", "--pid", str(pid), "--json", "--nonblocking"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above; tells mypy
        data = process.stdout.read(_RAW_CAP_BYTES)
        if len(data) == _RAW_CAP_BYTES:
            process.kill()
            sys.stderr.write(f"the dump has more than {_RAW_CAP_BYTES >> 20} MiB\n")
            return 1
    if process.returncode:
        return process.returncode
    kept = kept_dump(data, shares_between(pid, before, read_times(pid)))
    if kept is None:
        sys.stderr.write("no readable dump\n")
        return 1
    sys.stdout.write(json.dumps({"dump": kept[0].decode(), "threads": kept[1], "left_out": kept[2]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
