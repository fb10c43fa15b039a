"""Names for incidents: short enough to type, never to be mistaken for a row's number."""

from __future__ import annotations

import secrets

from monitord.model import short_id

__all__ = ["LENGTH", "is_id_prefix", "new_correlation_id", "short_id"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET = _LETTERS + "234567"
LENGTH = 12


def new_correlation_id() -> str:
    """Draw 12 random characters of [a-z2-7], the first one a letter (59 bits)."""
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH - 1))


def is_id_prefix(text: str) -> bool:
    """Whether `text` can be the beginning of a correlation id."""
    return 0 < len(text) <= LENGTH and text[0] in _LETTERS and all(c in _ALPHABET for c in text)
