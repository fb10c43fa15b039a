"""Real edits of a real program between two real captures: ids hold, and what changed is known to have."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from monitord.capture import ProfileCaptureService
from monitord.model import CapturePlan, Hotspot
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


def _captured(targets: Targets, service: ProfileCaptureService, folder: Path, text: str) -> Hotspot:
    """What a capture says of `burn` while this text runs."""
    program = targets.script(text, "program.py")
    process = targets.start(sys.executable, str(program))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    captures = service.capture(key_of(process), CapturePlan(duration_s=1.0), folder)
    process.kill()
    process.wait()
    return next(spot for spot in captures[-1].hotspots if spot.function == "burn")


def test_ids_through_real_edits(targets: Targets, service: ProfileCaptureService, folder: Path) -> None:
    """Lines that move, comments, docstrings and new functions change nothing; an edited statement does."""
    before = _captured(targets, service, folder, PROGRAM)
    moved = _captured(targets, service, folder, MOVED)
    assert before.source_state == moved.source_state == "same"
    assert before.func_id == moved.func_id
    assert before.func_hash == moved.func_hash
    assert before.arity == moved.arity == 1
    ids = {statement.stmt_id for statement in before.statements}
    assert None not in ids
    assert moved.statements[0].stmt_id in ids
    assert before.statements[0].line != moved.statements[0].line, "the lines did move"
    edited = _captured(targets, service, folder, MOVED.replace("total += 1", "total += 2 - 1"))
    assert edited.func_id == before.func_id
    assert edited.func_hash != before.func_hash
    assert edited.source_line is not None


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
