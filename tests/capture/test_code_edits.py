"""Real edits of a real program between two real captures: ids hold, and what changed is known to have."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from monitord.capture import ProfileCaptureService
from monitord.model import CapturePlan, Hotspot
from monitord.profiles import Profile, parse
from monitord.profiles.comparing import Difference, compare
from tests.capture.targets import Targets, key_of

PROGRAM = """\
import time

def burn(limit):
    total = 0
    while total < limit:
        total += 1
    return total

def main():
    print("ready", flush=True)
    while True:
        burn(200000)

main()
"""
MOVED = '''\
#!/usr/bin/env python3
"""A program that burns."""
import time

# These lines are new, and so is this function.
def cool(one, two):
    return time.sleep(one + two)

def burn(limit):
    """Burn."""
    total = 0  # from zero

    while total < limit:
        # one by one
        total += 1
    return total

def main():
    print("ready", flush=True)
    while True:
        burn(200000)

main()
'''


Taken = tuple[Profile, tuple[Hotspot, ...]]


def _captured(targets: Targets, service: ProfileCaptureService, folder: Path, text: str) -> Taken:
    """What a capture says while this text runs."""
    program = targets.script(text, "program.py")
    process = targets.start(sys.executable, str(program))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    captures = service.capture(key_of(process), CapturePlan(duration_s=1.0), folder)
    process.kill()
    process.wait()
    taken = captures[-1]
    assert taken.path is not None
    return parse(taken.format or "", taken.path.read_bytes()), taken.hotspots


def _burn(taken: Taken, function: str = "burn") -> Hotspot:
    return next(spot for spot in taken[1] if spot.function == function)


def _compared(before: Taken, after: Taken, function: str = "burn") -> Difference:
    found = compare(before[0], after[0], before[1], after[1])
    return next(one for one in found.differences if one.function == function)


def test_ids_through_real_edits(targets: Targets, service: ProfileCaptureService, folder: Path) -> None:
    """Lines that move, comments, docstrings and new functions change nothing; an edited statement does."""
    first = _captured(targets, service, folder, PROGRAM)
    second = _captured(targets, service, folder, MOVED)
    before, moved = _burn(first), _burn(second)
    assert before.source_state == moved.source_state == "same"
    assert before.func_id == moved.func_id
    assert before.func_hash == moved.func_hash
    assert before.arity == moved.arity == 1
    ids = {statement.stmt_id for statement in before.statements}
    assert None not in ids
    assert moved.statements[0].stmt_id in ids
    assert before.statements[0].line != moved.statements[0].line, "the lines did move"
    assert _compared(first, second).code == "same"
    assert {one.verdict for one in _compared(first, second).statements} <= {"same", "hotter", "cooler"}

    third = _captured(targets, service, folder, MOVED.replace("total += 1", "total += 2 - 1"))
    edited = _burn(third)
    assert edited.func_id == before.func_id
    assert edited.func_hash != before.func_hash
    difference = _compared(second, third)
    assert difference.code == "changed"
    assert {"new", "gone"} <= {one.verdict for one in difference.statements}, "the edited statement"

    renamed = _captured(targets, service, folder, MOVED.replace("burn(", "consume("))
    known = _compared(second, renamed, "consume")
    assert (known.code, known.was) == ("renamed", "burn")


def test_a_file_changed_under_a_running_process_is_no_source_of_it(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """The function's id stays; the statement's would be of another text, and so would the line."""
    program = targets.script(PROGRAM, "program.py")
    process = targets.start(sys.executable, str(program))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    program.write_text(MOVED)
    os.utime(program, (time.time() + 60, time.time() + 60))
    captures = service.capture(key_of(process), CapturePlan(duration_s=1.0), folder)
    spot = next(spot for spot in captures[-1].hotspots if spot.function == "burn")
    assert spot.source_state == "changed"
    assert spot.func_id is not None
    assert (spot.stmt_id, spot.source_line, spot.func_hash) == (None, None, None)
