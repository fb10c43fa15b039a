"""No sentence says "1 processes": a number that may be one and its noun come from `counted`, a size from `sized`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from monitord.model import counted, sized

SOURCES = sorted((Path(__file__).parents[1] / "monitord").rglob("*.py"))
NOUN = re.compile(
    r" (?:[a-z]+ )?(incidents|processes|threads|samples|profiles|artefacts|files|problems|captures|looks|branches|rules"
    r"|passes|values|items|alerts|actions|lines|events|artefacts|connections|functions|days|hours|minutes|times)\b"
)
# Never one: a limit that is a constant, a part ("3 of 4 samples"), and what these say of larger numbers only.
NEVER_ONE = re.compile(r"[A-Z_.]+|hard_limit|.*stretch|_short\(.*|quantity\(.*|threads|max_age_days|here.version|self._max_items"
                       r"|len\((spots|compared|self._records)\)|.*capacity|row\[9\]|.*_LIMIT.days")  # fmt: skip
SIZE = re.compile(r" ?[kKMGT]i?B\b")
AS_SET = {"limit / 1000000.0"}  # a limit, said as the setting has it


@lru_cache(maxsize=1)
def sentences(source: str) -> list[tuple[int, str, str]]:
    """(line, what is filled in, the text behind it) of each f-string that no condition chose."""
    return list(_sentences(ast.parse(source)))


def _sentences(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    chosen = {id(part) for node in ast.walk(tree) if isinstance(node, ast.IfExp) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and id(node) not in chosen:
            for before, filled, behind in zip(
                [None, *node.values], node.values, node.values[1:], strict=False
            ):
                is_part = isinstance(before, ast.Constant) and str(before.value).endswith(" of ")
                if (
                    isinstance(filled, ast.FormattedValue)
                    and isinstance(behind, ast.Constant)
                    and not is_part
                ):
                    yield node.lineno, ast.unparse(filled.value), str(behind.value)


def plurals(source: str) -> list[str]:
    return [
        f"{line}: {filled}{behind}"
        for line, filled, behind in sentences(source)
        if NOUN.match(behind) and not NEVER_ONE.fullmatch(filled)
    ]


def sizes(source: str) -> list[str]:
    return [
        f"{line}: {filled}{behind}"
        for line, filled, behind in sentences(source)
        if SIZE.match(behind) and "/" in filled and filled not in AS_SET
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parents[0])))
def test_a_number_agrees_with_its_noun(path: Path) -> None:
    assert plurals(path.read_text(encoding="utf-8")) == []
    assert sizes(path.read_text(encoding="utf-8")) == []


def test_a_noun_that_does_not_agree_would_be_found() -> None:
    assert plurals('f"{gone} incidents went"')
    assert plurals('f"{n:,} stored samples"')
    assert not plurals('"1 sample" if n == 1 else f"{n} samples"')
    assert not plurals('f"{a} of {b} samples"')
    assert sizes('f"{free / 1e6:,.1f} MB are free"')
    assert sizes('f"{held // 2**20} MiB of memory"')
    assert not sizes('f"{CAP >> 20} MiB at most"')


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(1, "process", "1 process"), (0, "process", "0 processes"), (12_000, "file", "12,000 files"),
     (2, "branch", "2 branches"), (3, "entry", "3 entries"), (2, "day", "2 days"), (2, "whole incident", "2 whole incidents")],
)  # fmt: skip
def test_counted(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [(0, "bytes", "0 B"), (512, "bytes", "512 B"), (1 << 30, "bytes", "1.0 GiB"), (800 << 20, "bytes", "800 MiB"),
     (1023.9, "bytes", "1.0 KiB"), (12_340_000, "disk_bytes", "12.3 MB"), (999_960, "disk_bytes", "1.0 MB"),
     (210e6, "bytes_per_s", "210 MB/s"), (-3 << 20, "bytes", "-3.0 MiB"), (5e18, "disk_bytes", "5000 PB")],
)  # fmt: skip
def test_a_size_has_its_largest_unit(value: float, unit: str, said: str) -> None:
    """Memory in 1024s, disks and wires in 1000s; what rounds up to the next unit is said in it."""
    assert sized(value, unit) == said
