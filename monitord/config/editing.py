"""One value of a TOML file changed in its text: comments, order and all other lines stay as they are.

Pure. What comes out is read again and compared with what was meant: a file that is written in a way that
this room does not know is refused, never broken.
"""

from __future__ import annotations

import copy
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\s*=\s*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: its table and its key; of several tables of one name (`[[rules]]`) the number."""

    table: str
    key: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class _Statement:
    """An assignment or a header, from line `start` to before line `end`, and the table that it stands in."""

    start: int
    end: int
    table: str
    number: int | None
    key: str | None


def with_value(text: str, place: Place, value: object) -> str:
    """Return a file's text with the value set, in place of an older one or below its table's last key.

    `text` is valid TOML. Raises ValueError with the line to edit by hand where that can't be done.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = _LINE.findall(text)
    statements = list(_statements(lines))
    found = next((each for each in statements if _is(each, place)), None)
    if found is not None:
        lines[found.start : found.end] = [_replaced("".join(lines[found.start : found.end]), value)]
    else:
        _insert(lines, statements, place, f"{place.key} = {toml(value)}{newline}", newline)
    edited = "".join(lines)
    if _read(edited) != _expected(text, place, value):
        line = next((each.start + 1 for each in statements if each.table == place.table), 1)
        raise ValueError(f"its text is written in a way that only a person can edit, from line {line} on")
    return edited


def with_table(text: str, table: str, values: Mapping[str, object]) -> str:
    """Return a file's text with one more table of an array (`[[rules]]`) at its end; raises ValueError."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [f"[[{table}]]", *(f"{key} = {toml(value)}" for key, value in values.items())]
    gap = newline if text and not text.endswith("\n") else ""
    edited = text + gap + (newline if text else "") + "".join(line + newline for line in lines)
    if _read(edited) is None:  # `rules = [{…}]`
        raise ValueError(
            f"write its {table} as [[{table}]] tables first: no table can follow them as they are"
        )
    return edited


def without_table(text: str, table: str, number: int) -> str:
    """Return a file's text without one table of an array, and what belongs to it; raises ValueError."""
    lines = _LINE.findall(text)
    headers = [each for each in _statements(lines) if each.key is None]
    at = next((i for i, each in enumerate(headers) if (each.table, each.number) == (table, number)), None)
    expected = copy.deepcopy(_read(text) or {})
    if at is None:
        raise ValueError(f"write its {table} as [[{table}]] tables first: none of them can be taken out")
    after = (each.start for each in headers[at + 1 :] if not each.table.startswith(f"{table}."))
    del lines[headers[at].start : next(after, len(lines))]
    edited = "".join(lines)
    del expected[table][number]
    if (_read(edited) or {}).get(table, []) != expected[table]:
        raise ValueError(f"its [[{table}]] tables are written in a way that only a person can edit")
    return edited


def toml(value: object) -> str:
    """Write a value as TOML, on one line; raises ValueError for what no setting can be."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if not isinstance(value, str | int | float):
        raise ValueError(f"expected a text, a number, true or false, got {value}")  # noqa: TRY004 - a file's
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _statements(lines: Sequence[str]) -> Iterator[_Statement]:
    """Read a file's lines; a value that goes on over several of them is one statement."""
    table, counts, at = "", dict[str, int](), 0
    while at < len(lines):
        end = at + 1
        if header := _HEADER.fullmatch(lines[at].rstrip("\r\n")):
            table = header[2]
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
            yield _Statement(at, end, table, counts.get(table), None)
        elif assignment := _KEY.match(lines[at]):
            while end < len(lines) and _read("".join(lines[at:end])) is None:
                end += 1
            yield _Statement(at, end, table, counts.get(table), assignment[1])
        at = end


def _is(statement: _Statement, place: Place) -> bool:
    """Whether it assigns the value: `key` below [table], or `table.key` above all tables."""
    if statement.key is None:
        return False
    if not statement.table and place.number is None:
        return statement.key == f"{place.table}.{place.key}"
    return (statement.table, statement.number, statement.key) == (place.table, place.number, place.key)


def _insert(lines: list[str], statements: Sequence[_Statement], place: Place, new: str, newline: str) -> None:
    """Put a line below the commented-out key, or the last key, or the header of its table."""
    inside = [each for each in statements if (each.table, each.number) == (place.table, place.number)]
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += newline
    if not inside:
        lines += [*([newline] if lines else []), f"[{place.table}]{newline}", new]
        return
    after = [each.start for each in statements if each.start > inside[-1].start]
    bounds = range(inside[0].start, min(after, default=len(lines)))
    commented = re.compile(rf"\s*#\s*{re.escape(place.key)}\s*=")
    at = next((line + 1 for line in bounds if commented.match(lines[line])), inside[-1].end)
    lines.insert(at, new)


def _replaced(statement: str, value: object) -> str:
    """The assignment with another value, and with its comment."""
    head, equals, tail = statement.partition("=")
    blank = tail[: len(tail) - len(tail.lstrip(" \t"))]
    body = statement.rstrip("\r\n")
    ends = [found.start() for found in re.finditer(r"\s*#", body)]
    comment = next((body[at:] for at in ends if at > len(head) and _read(body[:at]) is not None), "")
    return head + equals + blank + toml(value) + comment + statement[len(body) :]


def _read(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _expected(text: str, place: Place, value: object) -> dict[str, Any]:
    """What the file says, with the value set."""
    said = copy.deepcopy(_read(text) or {})
    table: Any = said.setdefault(place.table, {})
    if place.number is not None:
        table = table[place.number]
    table[place.key] = list(value) if isinstance(value, tuple) else value
    return said
