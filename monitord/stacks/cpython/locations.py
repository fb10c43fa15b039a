"""Which line an instruction belongs to: the location table of a code object (PEP 657)."""

from __future__ import annotations

_LONG, _WITHOUT_COLUMNS, _ONE_LINE_FIRST, _ONE_LINE_LAST, _NOWHERE = 14, 13, 10, 12, 15


def line_at(table: bytes, first_line: int, offset: int) -> int | None:
    """The line of the instruction at this offset in bytes; None where the table does not say.

    An entry begins with a byte whose highest bit is set: kind and length; numbers are in pieces of six bits.
    """
    line, at, end = first_line, 0, len(table)
    place = 0
    while place < end:
        head = table[place]
        kind = head >> 3 & 15
        if kind in (_LONG, _WITHOUT_COLUMNS):
            line += _signed(table, place + 1)
        elif _ONE_LINE_FIRST <= kind <= _ONE_LINE_LAST:
            line += kind - _ONE_LINE_FIRST
        at += 2 * ((head & 7) + 1)
        if at > offset:
            return None if kind == _NOWHERE or line <= 0 else line
        place += 1
        while place < end and table[place] < 0x80:
            place += 1
    return None


def _signed(table: bytes, place: int) -> int:
    """A number whose lowest bit is its sign; of a table that ends within it what there is."""
    number = shift = 0
    for byte in table[place : place + 6]:
        number |= (byte & 63) << shift
        if not byte & 64:
            break
        shift += 6
    return -(number >> 1) if number & 1 else number >> 1
