"""Python before 3.11.5, which Debian 12 has, reads on from a wrong place after some possessive groups.

Where an iteration may fail behind a look-around or a repetition of its own, the text is read on from where
that failed: another match than any other Python's, or `SystemError: The span of capturing group is wrong`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]  # what a pattern is made of; nothing public tells
from typing import Any

import pytest

import monitord
from monitord.redaction.shell import commands_in

_ONE_PLACE = {_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY}


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every pattern that a module of ours holds, also in tables."""
    for found in pkgutil.walk_packages(monitord.__path__, "monitord."):
        if found.name.endswith("__main__") or found.name in ("monitord.scripts.start_scalene",):
            continue
        try:
            module = importlib.import_module(found.name)
        except ImportError:
            continue  # of an extra that is not installed
        for name, value in vars(module).items():
            yield from (((f"{found.name}:{name}", each)) for each in _within(value, 3))


def _within(value: object, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict) and depth:
        yield from (each for held in value.values() for each in _within(held, depth - 1))
    elif isinstance(value, list | tuple | set | frozenset) and depth:
        yield from (each for held in value for each in _within(held, depth - 1))


def misread(parsed: Any) -> bool:
    """Whether it holds a possessive group whose iterations do more than compare characters one by one."""
    return any(_is_misread(operation, value) for operation, value in parsed)


def _is_misread(operation: object, value: Any) -> bool:
    if operation is _constants.POSSESSIVE_REPEAT:
        return not _is_plain(value[2]) or misread(value[2])
    if operation is _constants.ATOMIC_GROUP:
        return True
    return any(misread(part) for part in _parts(value))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, _parser.SubPattern):
        yield value
    elif isinstance(value, list | tuple):
        yield from (part for each in value for part in _parts(each))


def _is_plain(body: Any) -> bool:
    for operation, value in body:
        if operation is _constants.BRANCH and all(_is_plain(each) for each in value[1]):
            continue
        if operation is _constants.SUBPATTERN and value[0] is None and _is_plain(value[3]):
            continue
        if operation not in _ONE_PLACE:
            return False
    return True


def test_no_pattern_is_one_that_older_pythons_misread() -> None:
    found = {
        name for name, each in patterns() if misread(_parser.parse(each.pattern, each.flags & ~re.DEBUG))
    }
    assert found == set()


@pytest.mark.parametrize(
    "pattern", [r"(?:a|b(?!c))*+", r"(?:-[a-z]++)++", r"(?:x{1,3}y)*+", r"(?>ab)", r"((?:a|(?<!b)c)++)"]
)
def test_the_guard_knows_them(pattern: str) -> None:
    assert misread(_parser.parse(pattern))


@pytest.mark.parametrize("pattern", [r"[a-z]++b", r"(?:[^\"\\]|\\.)*+", r"(?:ab|c)++", r"(?:-[a-z]+)+"])
def test_the_guard_lets_the_others_through(pattern: str) -> None:
    assert not misread(_parser.parse(pattern))


@pytest.mark.parametrize("text", ['"\\', "a'b", "\"x' y", "it's -p'S' \"q\\"])
def test_a_text_with_quotes_is_read_by_this_python(text: str) -> None:
    """It ended Debian's with an error, whatever was redacted."""
    assert [command for command in commands_in(text) if command.words]
