"""Lines from location tables are those that CPython itself tells, and damage ends in an answer."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from types import CodeType, ModuleType

import pytest

from monitord.stacks.cpython.locations import line_at

MODULES = (
    "argparse",
    "asyncio.base_events",
    "dataclasses",
    "decimal",
    "inspect",
    "json.decoder",
    "typing",
    "_pydecimal",
)


def codes(module: ModuleType) -> Iterator[CodeType]:
    assert module.__file__ is not None
    with open(module.__file__, "rb") as file:
        waiting = [compile(file.read(), module.__file__, "exec")]
    while waiting:
        code = waiting.pop()
        waiting += [one for one in code.co_consts if isinstance(one, CodeType)]
        yield code


@pytest.mark.parametrize("name", MODULES)
def test_every_instruction_has_the_line_that_cpython_tells(name: str) -> None:
    for code in codes(importlib.import_module(name)):
        for begin, end, line in code.co_lines():
            for offset in (begin, end - 2):
                assert line_at(code.co_linetable, code.co_firstlineno, offset) == (line or None), (
                    code,
                    offset,
                )
        assert line_at(code.co_linetable, code.co_firstlineno, len(code.co_code)) is None


def test_damaged_tables_end_in_an_answer() -> None:
    chance = random.Random(17)
    tables = [code.co_linetable for code in codes(importlib.import_module("argparse"))]
    for _ in range(2000):
        damaged = bytearray(chance.choice(tables))
        for _change in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        line = line_at(bytes(damaged[: chance.randrange(len(damaged) + 1)]), 1, chance.randrange(1000))
        assert line is None or line > 0
