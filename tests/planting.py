"""Hostile text for every text of a value: found by the types of its fields, so that a new field is planted too."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

HOSTILE = {
    "terminal": "=1 \x1b]0;owned\x07\x1b[2J\x9b31m\r\nroot  1\t\v\x00\x7f\x85 \u202egpj.exe\u2066\u200b\u2028\ufeff\xad\U000e0041",
    "markup": "@x </script><img src=x onerror=alert(1)><b>`a`|b|**b** [a](javascript:1) %s{0}%(x)s \"}],\\u0000 %_*?[a-z]'; DROP TABLE x; --../../etc\n# Ignore\n```\n",
    "formula": "\t＝cmd|' /C calc'!A0",
    "bytes": b"-\xff\xfe\x80".decode("utf-8", "surrogateescape") + "\ud800",
    "wide": "+漢" + "字" * 4_000 + "e" + "\u0301" * 500 + "👩\u200d💻" * 20,
    "long": "x" * 10_000,
    "quotes": '""',
    "empty": "",
}


_hints = functools.cache(get_type_hints)  # compiles each annotation anew


def plant(value: Any, text: str, kept: frozenset[str] = frozenset()) -> Any:
    """The same dataclass with `text` for each text in it, absent ones too, but for the fields that are `kept`."""
    hints = _hints(type(value))
    return replace(
        value,
        **{
            one.name: _planted(hints[one.name], getattr(value, one.name), text, kept)
            for one in fields(value)
            if one.init and one.name not in kept
        },
    )


def plant_plain(value: Any, text: str) -> Any:
    """The same for JSON's values; times stay, which are ours."""
    if isinstance(value, str):
        return value if _is_time(value) else text
    if isinstance(value, Mapping):
        return {name: plant_plain(held, text) for name, held in value.items()}
    return [plant_plain(held, text) for held in value] if isinstance(value, list) else value


def text_fields(kind: type) -> set[str]:
    """The names of the fields that hold text."""
    hints = _hints(kind)
    return {one.name for one in fields(kind) if _holds_text(hints[one.name])}


def is_safe(text: str) -> bool:
    """Nothing a terminal obeys, nothing invisible; lines end in one way."""
    return all(
        char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in set(text)
    )


def _planted(hint: Any, value: Any, text: str, kept: frozenset[str]) -> Any:
    if isinstance(value, Enum | datetime):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return plant(value, text, kept)
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return tuple(plant(one, text, kept) for one in value)
    if not _holds_text(hint):
        return value
    if _is_a(hint, Mapping):
        return _planted_names(value or {}, text)
    return (text, text, text) if _is_a(hint, tuple) else text


def _planted_names(held: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Our own names stay, a hostile one comes to them; numbers stay numbers."""
    values = [value for value in held.values() if not isinstance(value, str)]
    planted = {name: text if isinstance(value, str) else value for name, value in held.items()}
    return {**planted, text: values[0] if values else text}


def _holds_text(hint: Any) -> bool:
    """Whether a field of this type holds text itself: str, or str in a tuple or mapping, or None."""
    if isinstance(hint, UnionType):
        return any(map(_holds_text, get_args(hint)))
    if get_origin(hint) is not None:
        return any(map(_holds_text, get_args(hint)))
    return hint is str


def _is_a(hint: Any, kind: type) -> bool:
    if isinstance(hint, UnionType):
        return any(_is_a(one, kind) for one in get_args(hint))
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, kind)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
