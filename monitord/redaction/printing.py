"""Makes attacker's bytes fit to show: one line, no control, nothing invisible, all letters kept."""

from __future__ import annotations

import unicodedata

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Characters that Unicode counts as printable and that nobody can see: fillers and variation selectors.
_INVISIBLE = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)


def printable(text: str) -> str:
    """Give `text` with everything unfit for a terminal written as a backslash escape, on one line.

    Escaped: controls (C0, DEL, C1), bidi and zero-width characters, line and paragraph separators,
    surrogates (a byte that was not UTF-8 becomes `\\xff`), private and unassigned code points.
    Backslashes themselves are kept, so a second pass changes nothing.
    """
    if text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character if character not in _INVISIBLE else _escaped(ord(character))
    if unicodedata.category(character) == "Zs":
        return character
    return _NAMED.get(character) or _escaped(ord(character))


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: the byte as it was read
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
