"""One figure, or one for each of a few words: what a scrape, a file and OTLP have alike.

Labels are words of ours or of the configuration (rule, cause, provider, job …), at most so many of them.
Nothing that a process chose (its name, an argument, a path) is ever one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Kind = Literal["gauge", "counter", "summary"]
Merge = Callable[[list[float]], float]
MOST_POINTS = 200
"""Of one family; what goes beyond counts together, as `other`."""
OTHER = "other"
_LONGEST_WORD = 64
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]*")


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One thing that a counter counted: `label` names what it is, `word` which one."""

    label: str
    word: str
    value: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Point:
    """One value, with a word for each label of its family. `count` is a summary's, whose sum is `value`."""

    words: tuple[str, ...]
    value: float
    count: int = 0
    exemplar: Exemplar | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Points under one name. A counter's name is without `_total`, which Prometheus adds.

    `is_since_start`: a counter began with the recorder that runs.
    """

    name: str
    kind: Kind
    help: str
    points: tuple[Point, ...]
    labels: tuple[str, ...] = ()
    is_since_start: bool = True


def gauge(name: str, words: str, value: float) -> Family:
    """Return a level that stands alone."""
    return Family(name, "gauge", words, (Point((), float(value)),))


def labelled(
    name: str, kind: Kind, words: str, labels: Sequence[str], points: Iterable[Point], merged: Merge = sum
) -> Family:
    """Return a family whose words are safe and few; `merged` makes one value of those with equal words."""
    return Family(name, kind, words, _bounded(points, merged), tuple(labels))


def gauges(
    held: Mapping[str, Any], names: Iterable[tuple[str, str, str]], *, scale: float = 1.0
) -> Iterable[Family]:
    """Yield a gauge for each (key, name, help) that `held` has a number for."""
    for key, name, words in names:
        if is_number(held.get(key)):
            yield gauge(name, words, held[key] * scale)


def counters(held: Mapping[str, Any], names: Iterable[tuple[str, str, str]]) -> Iterable[Family]:
    """Yield a counter for each (key, name, help) that `held` has a number for."""
    for key, name, words in names:
        if is_number(held.get(key)):
            yield Family(name, "counter", words, (Point((), float(held[key])),))


def is_number(value: object) -> bool:
    """Whether it can be a value: a status that is damaged may hold anything."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def table(value: object) -> Mapping[str, Any]:
    """Return a table of a status, an empty one where there is something else."""
    return value if isinstance(value, Mapping) else {}


def word(value: object) -> str:
    """Return a label's value: one of our words as it is, anything else as `other`."""
    text = str(value)
    return text if len(text) <= _LONGEST_WORD and _WORD.fullmatch(text) else OTHER


def _bounded(points: Iterable[Point], merged: Merge) -> tuple[Point, ...]:
    """Equal words become one; so do the least of too many."""
    alike: dict[tuple[str, ...], list[Point]] = defaultdict(list)
    for point in points:
        alike[tuple(map(word, point.words))].append(point)
    kept = [_one(words, some, merged) for words, some in alike.items()]
    if len(kept) <= MOST_POINTS:
        return tuple(kept)
    # What is `other` already is told with the rest: two series of equal words are refused as a whole.
    kept.sort(key=lambda point: ({*point.words} == {OTHER}, -point.value))
    rest = kept[MOST_POINTS - 1 :]
    return (*kept[: MOST_POINTS - 1], _one((OTHER,) * len(rest[0].words), rest, merged))


def _one(words: tuple[str, ...], points: Sequence[Point], merged: Merge) -> Point:
    exemplars = [point.exemplar for point in points if point.exemplar is not None]
    return Point(
        words,
        merged([point.value for point in points]),
        sum(point.count for point in points),
        max(exemplars, key=lambda one: one.at, default=None),
    )
