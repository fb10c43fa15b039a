"""The shape of what members about memory observe; one of another shape is left out.

It was made by a child that read an attacker's memory: it is checked before anything is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import msgspec


class Mappings(TypedDict, total=False):
    """Bytes by kind (with how many mappings), by group of kinds, and as the kernel sums them."""

    kinds: dict[str, tuple[int, int]]
    groups: dict[str, int]
    sums: dict[str, int]
    swapped: int
    huge: int
    count: int
    is_whole: bool


class Objects(TypedDict, total=False):
    """A census as it is kept: see `monitord.causes.census.Census`."""

    types: dict[str, tuple[int, int]]
    user_types: list[str]
    large: list[tuple[int, str, int]]
    read_bytes: int
    resident_bytes: int


class OneBlock(TypedDict):
    """The largest block with a mapping of its own: what page faults say of who fills it.

    `samples` of those still there, of which so many are below the `function` of `frames`; `seen` of all, also
    of pages that are elsewhere by now.
    """

    group: str
    size: int
    samples: int
    function: str
    by_function: int
    seen: int
    seen_by_function: int
    frames: list[tuple[str, str]]


class Faults(TypedDict, total=False):
    """What brought memory in while the rule was armed: see `monitord.causes.faults`.

    `counted` page faults of so many `threads`, of which samples stand for `sampled`; of `stacks` the group of
    mappings, for how many pages and samples it stands, in how many the block is in use still and has a
    mapping of its own, and the names and modules of its frames, the leaf first. `pages`: sums by group.
    `times_s`: between when most of them came. `refused`: why nothing was seen. `allocator`: whose blocks it
    has, if not glibc's.
    """

    refused: str
    threads: int
    counted: int
    sampled: int
    stacks: list[tuple[str, float, int, int, int, list[tuple[str, str]]]]
    pages: dict[str, float]
    times_s: tuple[float, float]
    block: OneBlock
    allocator: str


class OfProcess(TypedDict, total=False):
    """What one process holds; `no_python` says why there is no census. `minor_faults`: so far.

    `image`: where its program's code and stack begin, and its inode; zeros where that may not be known.
    """

    at_s: float
    mappings: Mappings
    room: dict[str, int]
    python: Objects
    no_python: str
    minor_faults: int
    image: list[int]
    faults: Faults


class OfMachine(TypedDict, total=False):
    """Who holds memory: (pid, start, name, bytes) of the largest, the kernel's parts, and the suspect."""

    at_s: float
    processes: list[tuple[int, int, str, int]]
    parts: dict[str, int]
    suspect: OfProcess


_Shape = TypeVar("_Shape", OfProcess, OfMachine)


def checked(observation: Mapping[str, Any] | None, shape: type[_Shape]) -> _Shape | None:
    """The observation, if it is of this shape; else None."""
    try:
        return None if observation is None else msgspec.convert(observation, shape)
    except msgspec.ValidationError:
        return None


def fitting(rows: Sequence[list[Any]], most_bytes: int = 60_000) -> list[list[Any]]:
    """The first rows, as many as fit: in JSON a byte of a name may take six, and what is too long is lost."""
    left = most_bytes
    for number, row in enumerate(rows):
        left -= len(json.dumps(row)) + 2
        if left < 0:
            return list(rows[:number])
    return list(rows)
