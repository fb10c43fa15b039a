"""Tests wait as long as it takes: a number of seconds of their own is not shorter than what all have."""

from __future__ import annotations

import re
from pathlib import Path

from tests.patience import PATIENCE_S

_WAITS = re.compile(
    r"(?:\btimeout=|\.(?:wait|join|result)\(|deadline\w* = time\.monotonic\(\) \+ )(\d+(?:\.\d+)?)(?![\ds.])"
)
_OF_WHAT_IS_TESTED = {
    "plugin/shelf_storage.py",  # of a database
    "storage/artefacts/test_monitor.py",  # of a provider's URL
    "storage/artefacts/test_redis.py",
    "storage/artefacts/test_s3.py",
}
_SOON = 1.0  # up to here it is a pause, or the end is not to come


def test_no_test_gives_up_before_a_starved_machine_answers() -> None:
    """For a process, a thread or an event they wait with `tests/patience.py`, which is longer than any crowd lasts."""
    tests = Path(__file__).parent
    hurried = [
        f"{path.relative_to(tests)}:{number}: {found[0]}"
        for path in tests.rglob("*.py")
        if path.relative_to(tests).as_posix() not in _OF_WHAT_IS_TESTED
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for found in _WAITS.finditer(line)
        if _SOON < float(found[1]) < PATIENCE_S
    ]
    assert hurried == []
