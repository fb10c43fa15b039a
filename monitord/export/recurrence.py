"""How often something came, in words."""

from __future__ import annotations

from monitord.model import counted

_WORDS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def time_this_week(number: int | None, at_least: int | None = None) -> str:
    """Write "third time this week" for 3, "21st time this week" for 21; "" for the first, or unknown.

    Where the number is not known, but that it is `at_least` so high: "at least 100 times this week".
    """
    if number is None and at_least is not None and at_least > 1:
        return f"at least {counted(at_least, 'time')} this week"
    if number is None or number <= 1:
        return ""
    if number <= len(_WORDS):
        return f"{_WORDS[number - 1]} time this week"
    endings = {1: "st", 2: "nd", 3: "rd"}
    ending = "th" if number % 100 in (11, 12, 13) else endings.get(number % 10, "th")
    return f"{number:,}{ending} time this week"
