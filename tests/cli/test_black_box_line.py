"""`status` says in one line how the black box is: nobody who lacks stacks from before an alert has to guess why."""

from __future__ import annotations

import pytest

from monitord.cli.status import black_box_line

ON = {
    "state": "on", "scope": "machine", "reason": None, "kept_s": 100, "python_stacks": 1, "lost": 0,
    "unreadable": 0, "impossible": 0, "unknown_versions": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (ON, "on, of the machine, 100 s kept, 1 Python stack"),
        (
            {**ON, "python_stacks": 2, "lost": 1200},
            "on, of the machine, 100 s kept, 2 Python stacks, 1,200 lost",
        ),
        (
            {**ON, "scope": "own processes", "reason": "only busy processes of monitord's own user"},
            "on, of own processes (only busy processes of monitord's own user), 100 s kept, 1 Python stack",
        ),
        (
            {**ON, "unknown_versions": ["the layout of Python 3.16 is not known"]},
            "on, of the machine, 100 s kept, 1 Python stack, the layout of Python 3.16 is not known",
        ),
        ({"state": "off", "reason": "it is switched off"}, "off: it is switched off"),
        ({"state": "off", "reason": "\x1b[31mred"}, "off: \\x1b[31mred"),
        ({"state": "off", "reason": ""}, "off: not yet open"),
        (None, ""),
        ("damaged", ""),
        ({"state": "on"}, "on"),
    ],
)
def test_the_line_says_on_or_off_of_whom_how_far_back_and_what_is_missing(told: object, line: str) -> None:
    assert black_box_line(told) == line
