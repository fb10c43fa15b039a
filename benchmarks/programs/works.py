"""Some milliseconds of work of several kinds, each in a function named planted_KIND."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator

_DOCUMENT = json.dumps(
    [{"id": number, "name": f"name {number}", "tags": ["a", "b"]} for number in range(300)]
)
_TEXT = "key=value; " * 400
_PAIRS = re.compile(r"(\w+)\s*=\s*(\w+)")
_ROWS = [(number * 7919 % 10007, f"row {number}") for number in range(4000)]


def planted_loop() -> int:
    total = 0
    for i in range(40_000):
        total += i * i % 7
    return total


def planted_first() -> int:
    total = 0
    for i in range(40_000):
        total += i * i % 7
    return total


def planted_second() -> int:
    total = 0
    for i in range(40_000):
        total += i * i % 5
    return total


def planted_recursion(depth: int = 17) -> int:
    return depth if depth < 2 else planted_recursion(depth - 1) + planted_recursion(depth - 2)


def planted_regex() -> int:
    return sum(len(_PAIRS.findall(_TEXT)) for _ in range(20))


def planted_json() -> int:
    return sum(len(json.loads(_DOCUMENT)) for _ in range(10))


def planted_sorting() -> list[tuple[int, str]]:
    return sorted(_ROWS, key=lambda row: (row[0] % 97, row[1]))


def planted_hashing() -> str:
    return hashlib.sha256(b"x" * 4_000_000).hexdigest()


def planted_generator() -> int:
    def numbers() -> Iterator[int]:
        yield from (i * i for i in range(40_000))

    return sum(numbers())


def planted_query() -> int:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?)", _ROWS)
        return len(database.execute("SELECT a, count(*) FROM t GROUP BY b || a ORDER BY 2").fetchall())


class Basket:
    def planted_method(self) -> int:
        return sum(len(str(number)) for number in range(8_000))


def half_busy() -> None:
    planted_loop()
    rests()


def rests() -> None:
    time.sleep(0.002)


def without_readable_name() -> Callable[[], object]:
    """A planted function whose name is longer than profilers read."""
    name, made = "planted_" + "f" * 5000, dict[str, Callable[[], object]]()
    body = "\n    ".join(("total = 0", "for i in range(40_000):", "    total += i * i % 7", "return total"))
    exec(f"def {name}():\n    {body}\n", made)  # noqa: S102 - our own text
    return made[name]


WORKS: dict[str, Callable[[], object]] = {
    "loop": planted_loop,
    "recursion": planted_recursion,
    "regex": planted_regex,
    "json": planted_json,
    "sorting": planted_sorting,
    "hashing": planted_hashing,
    "generator": planted_generator,
    "query": planted_query,
    "method": Basket().planted_method,
    "half-busy": half_busy,
    "long-name": without_readable_name(),
}
