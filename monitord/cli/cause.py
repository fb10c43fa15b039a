"""The cause of an incident as the first lines of its story: sentence, runner-up, what speaks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitord.cli.terminal import Style, display_width, wrap
from monitord.export.explaining import cause_words
from monitord.model import Cause
from monitord.redaction import printable

Fact = Callable[[str, str], Iterator[str]]


def cause_lines(cause: Cause, style: Style, width: int, label_width: int, fact: Fact) -> Iterator[str]:
    """Yield its lines; `fact` writes a label with its text."""
    paint = ("dim",) if cause.confidence == "unknown" else ("bold",)
    for line in wrap(f"Cause: {printable(cause_words(cause))}", width):
        yield style.paint(line, *paint)
    if cause.runner_up:
        yield from fact("or else", printable(cause.runner_up))
    if cause.decides:
        yield from fact("decided by", printable(cause.decides))
    for label, text in cause.evidence:
        fits = display_width(printable(label)) <= label_width
        head, told = (label, text) if fits else ("", f"{label}: {text}")
        yield from fact(printable(head), printable(told))
    yield ""
