"""A number and its noun, for sentences: "1 sample", "3 samples", "12,000 files"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`noun` is the singular, its last word regular: "further alert", "process", "branch", "entry"."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "ch", "sh", "x")):
        return f"{number:,} {noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}s"
