"""The cause of an incident as the first lines of its story: sentence, runner-up, what speaks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitord.cli.terminal import Style, cut, display_width, wrap
from monitord.export.explaining import cause_words
from monitord.model import Cause
from monitord.redaction import printable

Fact = Callable[[str, str], Iterator[str]]

_LINES = 8  # of one text; an explainer's are shorter


def cause_lines(cause: Cause, style: Style, width: int, label_width: int, fact: Fact) -> Iterator[str]:
    """Yield its lines; `fact` writes a label with its text."""
    room = _LINES * width
    paint = ("dim",) if cause.confidence == "unknown" else ("bold",)
    for line in wrap(cut(f"Cause: {printable(cause_words(cause))}", room), width):
        yield style.paint(line, *paint)
    if cause.runner_up:
        yield from fact("or else", cut(printable(cause.runner_up), room))
    if cause.decides:
        yield from fact("decided by", cut(printable(cause.decides), room))
    for label, text in cause.evidence:
        fits = display_width(printable(label)) <= label_width
        head, told = (label, text) if fits else ("", f"{label}: {text}")
        yield from fact(printable(head), cut(printable(told), room))
    yield ""
