"""What was checked, line by line: how it is, what it is about, what was found, and what to type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitord.cli.terminal import Style, wrap
from monitord.redaction import printable

_PAINT = {"ok": "green", "warning": "yellow", "failure": "red"}
_MARK = max(map(len, _PAINT))
_LEAST_DETAIL = 30  # columns; with fewer beside the name the detail stands below it


@dataclass(frozen=True, slots=True)
class Finding:
    """`outcome` is ok, warning or failure. `fix` is what to type to change it."""

    outcome: str
    name: str
    detail: str
    fix: str | None = None


def finding_lines(findings: Sequence[Finding], style: Style, columns: int) -> Iterator[str]:
    """Yield the lines: names and details beside each other, or below where that leaves too little room."""
    wide = max((len(one.name) for one in findings), default=0)
    indent = _MARK + 2 + wide + 2
    is_narrow = columns - indent < _LEAST_DETAIL
    for one in findings:
        mark = style.paint(f"{one.outcome:<{_MARK}}", _PAINT[one.outcome])
        head, blank = f"{mark}  {one.name:<{wide}}  ", " " * indent
        if is_narrow:
            yield head.rstrip()
            head = blank = "  "
        first, *more = wrap(printable(one.detail), columns - len(blank))
        yield f"{head}{first}"
        yield from (f"{blank}{line}" for line in more)
        if one.fix:  # never wrapped: a person copies it
            word = "try" if one.outcome == "ok" else "fix"
            yield f"{blank}{word}: {style.paint(printable(one.fix), 'cyan')}"
