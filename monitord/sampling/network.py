"""Which process moves the bytes on the network: looked up only when an alert is near, because it costs.

Linux: a child process (sockets.py). macOS: `nettop`, its format taken from its manual page
and published transcripts, not run on a Mac yet. What can't be known is said, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from monitord.children import own_command, own_environment
from monitord.logs import get_logger
from monitord.model import ProcessKey, Traffic
from monitord.sampling import portable

Talker = tuple[ProcessKey, str, float]

_FAILED = "which process moved it is unknown: reading the sockets failed (the log says why)"

_GRACE_S = 25.0
"""Start of an interpreter and two dumps of the socket table, on a machine that is busy by assumption."""


def traffic(over_s: float) -> Traffic:
    """Which process moves how much, busiest first, and which is blamed; takes a bit over `over_s` seconds."""
    if sys.platform == "linux":
        return parse_answer(_run(own_command("monitord.sampling.sockets", str(over_s)), over_s))
    nettop = shutil.which("nettop", path="/usr/bin:/usr/sbin")
    if nettop is None:
        return Traffic(said="which process moved it is unknown: nettop was not found")
    # Two samples `-s` apart in CSV (-L), one row per process (-P), raw numbers (-x).
    seconds = max(1, round(over_s))
    command = (nettop, "-P", "-x", "-L", "2", "-s", str(seconds), "-J", "bytes_in,bytes_out")
    talkers = tuple(parse_nettop(_run(command, seconds), seconds))
    return Traffic(talkers, talkers[0][:2] if talkers else None, "" if talkers else _FAILED)


def _run(command: tuple[str, ...], over_s: float) -> str:
    """Its standard output; nothing when it fails or takes too long, which is logged."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=over_s + _GRACE_S,
            cwd="/",
            env=own_environment(),
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error).encode()
        get_logger().warning("sampling.talkers_unknown", reason=os.fsdecode(reason[-300:]))
        return ""
    return done.stdout.decode("utf-8", "surrogateescape")


def parse_answer(text: str) -> Traffic:
    """What sockets.py prints."""
    if not text:
        return Traffic(said=_FAILED)
    told = json.loads(text)
    talkers = tuple((ProcessKey(pid, ticks), name, rate) for pid, ticks, name, rate in told["talkers"])
    blamed = told["blamed"]
    return Traffic(talkers, (ProcessKey(*blamed[:2]), blamed[2]) if blamed else None, told["said"])


def parse_nettop(text: str, over_s: float) -> list[Talker]:
    """The growth between the two samples of `nettop -P -L 2 -J bytes_in,bytes_out`.

    Each sample begins with a header row (`,bytes_in,bytes_out,` or `time,,bytes_in,bytes_out,`); in the
    rows after it the process stands as `name.PID`, where the name may contain dots.
    """
    import csv  # of macOS only

    samples: list[dict[tuple[str, int], int]] = []
    columns: list[str] = []
    for row in csv.reader(text.splitlines()):
        if "bytes_in" in row:
            columns = row
            samples.append({})
        elif samples and (process := _process_in(row)):
            samples[-1][process] = _number(row, columns, "bytes_in") + _number(row, columns, "bytes_out")
    if len(samples) < 2:
        return []
    before, after = samples[0], samples[-1]
    return _named({who: (moved - before.get(who, 0)) / over_s for who, moved in after.items()})


def _process_in(row: list[str]) -> tuple[str, int] | None:
    for cell in row[:2]:
        name, dot, pid = cell.rpartition(".")
        if dot and name and pid.isdigit() and ":" not in cell:
            return name, int(pid)
    return None


def _number(row: list[str], columns: list[str], name: str) -> int:
    position = columns.index(name)
    return int(row[position]) if position < len(row) and row[position].isdigit() else 0


def _named(rates: dict[tuple[str, int], float]) -> list[Talker]:
    """With the identity that the process has now; those that ended meanwhile are left out."""
    rows = []
    for (name, pid), rate in sorted(rates.items(), key=lambda item: -item[1]):
        key = portable.key_of(pid) if rate > 0 else None
        if key is not None:
            rows.append((key, name, rate))
    return rows
