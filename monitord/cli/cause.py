"""What is known of an incident's cause besides its sentence: runner-up, what decides, what speaks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitord.cli.terminal import LABEL, cut, display_width
from monitord.model import NOT_KNOWN, UNKNOWN_CAUSE, Cause
from monitord.redaction import printable

Fact = Callable[[str, str], Iterator[str]]

_LINES = 8  # of one text; an explainer's are shorter


def cause_lines(cause: Cause, width: int, fact: Fact) -> Iterator[str]:
    """Yield its lines, the sentence only where it is unknown; `fact` writes a label with its text."""
    room = _LINES * width
    if cause.kind == UNKNOWN_CAUSE:
        told = printable(cause.sentence).removeprefix(NOT_KNOWN)
        yield from fact("unknown", cut(told, room))
    if cause.runner_up:
        yield from fact("or else", cut(printable(cause.runner_up), room))
    if cause.decides:
        yield from fact("decided by", cut(printable(cause.decides), room))
    for label, text in cause.evidence:
        fits = display_width(printable(label)) <= LABEL
        head, told = (label, text) if fits else ("", f"{label}: {text}")
        yield from fact(printable(head), cut(printable(told), room))
