"""Objects counted from outside: as many as there are, as large as they are, in every version of Python here."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from collections.abc import Callable, Iterator

import pytest

from monitord import procfs
from monitord.causes import census, mappings
from monitord.causes.python_types import PythonTypes, UncountableError, find_type_type
from monitord.causes.sizes import Sizes
from monitord.procfs.memory import Memory
from tests.causes.programs import Program, interpreters, python
from tests.patience import PATIENCE_S

KEPT = """
class Order:
    def __init__(self, number): self.number, self.name = number + 1000, "name-%d" % number
kept = [Order(number) for number in range(40_000)]
"""


def counted(program: Program, budget_bytes: int = census.BUDGET_BYTES) -> census.Census:
    regions, _ = mappings.read(program.pid)
    return census.take(program.pid, regions, budget_bytes, cpu_limit_s=PATIENCE_S)


@pytest.mark.parametrize("version", interpreters())
def test_as_many_are_counted_as_there_are(version: str) -> None:
    with python(KEPT, interpreters()[version]) as program:
        count, size = counted(program).types["__main__.Order"]
    assert 40_000 <= count <= 40_010
    assert 40_000 * 48 <= size <= 40_000 * 160


@pytest.mark.parametrize("version", interpreters())
def test_what_was_freed_is_not_counted(version: str) -> None:
    """Every hundredth is kept, so that the memory of the others stays with the process."""
    with python(KEPT + "kept = kept[::100]\n", interpreters()[version]) as program:
        found = counted(program)
    assert found.types.get("__main__.Order", (400, 0))[0] <= 420


@pytest.mark.parametrize("version", interpreters())
def test_of_a_large_process_a_part_is_read_and_scaled(version: str) -> None:
    with python(KEPT, interpreters()[version]) as program:
        found = counted(program, budget_bytes=4 << 20)
    assert found.read_bytes <= 5 << 20
    assert found.scale > 1
    assert found.types["__main__.Order"][0] == pytest.approx(40_000, rel=0.25)


def test_the_same_pieces_are_read_each_time() -> None:
    """What did not change is counted alike, so that a difference is one in the process."""
    with python(KEPT) as program:
        first, second = (counted(program, budget_bytes=4 << 20).types["__main__.Order"] for _ in range(2))
    assert first == pytest.approx(second, rel=0.01)  # to pages that come or go meanwhile


OBJECTS = """
import json
class Plain:
    def __init__(self): self.a, self.b = 1, 2
class Slots: __slots__ = ("a", "b")
class Listed(list): pass
kept = [
    [], [1], list(range(5_000)), list(range(300)), (), (1, 2, 3), tuple(range(9_000)), {}, {"a": 1},
    {n: n for n in range(7)}, {n: n for n in range(5_000)}, {str(n): n for n in range(5_000)}, set(), {1, 2},
    set(range(4_000)), frozenset(range(50)), b"", b"x" * 30, b"x" * 100_000, bytearray(b"x" * 70),
    bytearray(100_000), "x" * 20, "x" * 90_000, "\u00e4" * 70_000, "\u20ac" * 70_000, 5, 1 << 90, 1.5,
    Plain(), Slots(), Listed(range(700)),
]
rows = [[id(one), id(type(one)), sys.getsizeof(one), type(one).__name__] for one in kept]
print(json.dumps(rows), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("version", interpreters())
def test_an_object_is_as_large_as_its_own_interpreter_says(version: str) -> None:
    """Up to the rounding of its block, and attributes and an attribute dict that getsizeof leaves out."""
    with python(OBJECTS, interpreters()[version]) as program:
        rows = json.loads(program.said)
        regions, _ = mappings.read(program.pid)
        read = Memory(program.pid).read
        types = PythonTypes(read, census._find(regions, read))
        sizes = Sizes(read)
        for at, type_at, expected, name in rows:
            kind = types.at(type_at)
            assert kind is not None
            assert kind.name == name
            size = sizes.of(at, kind)
            rest = 32 + (290 if name in ("Plain", "Listed") else 0) + 0.02 * expected
            head = (
                33 if name == "bytearray" else 0
            )  # since 3.15 one holds a bytes object, whose head is left out
            assert expected - 16 - head <= size <= expected + rest, (name, expected, size)


def test_memory_that_nobody_touched_stays_untouched() -> None:
    """Reading such a page would bring in a page of zeros, and page tables for it."""
    text = "import mmap\nreserved = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE)\nreserved[0] = 1\n"
    with python(text) as program:
        before = procfs.status_of(program.pid)
        counted(program)
        after = procfs.status_of(program.pid)
    assert before["VmPTE"] == after["VmPTE"]
    resident = [int(status["VmRSS"].split()[0]) for status in (before, after)]
    assert resident[1] - resident[0] < 1024, "what it has of the interpreter's file is in memory anyway"


def test_a_process_without_python_has_no_objects() -> None:
    import subprocess

    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            regions, _ = mappings.read(process.pid)
            with pytest.raises(UncountableError, match="no Python interpreter"):
                census.take(process.pid, regions)
        finally:
            process.kill()


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_objects_of_an_older_python_are_refused_by_its_version(version: str) -> None:
    path = f"/usr/lib/libpython{version}.so.1.0"
    region = mappings.Region(1 << 20, 1 << 21, "", is_writable=True, is_private=True, path=path)
    with pytest.raises(UncountableError, match=version):
        census.take(os.getpid(), [region])


# ---------------------------------------------------------------------------- memory that is made up


class MadeUp:
    """A memory of 4 KiB pages with these words at these addresses, and zeros or chance beside them."""

    def __init__(self, words: dict[int, int], rest: Callable[[], int] = lambda: 0) -> None:
        self.words, self.rest, self.reads = words, rest, 0

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        if not 1 << 16 <= address < 1 << 47:
            raise OSError(14, "Bad address")
        words = range(address & -8, address + size + 8, 8)
        data = struct.pack(f"<{len(words)}Q", *(self.words.get(at, self.rest()) for at in words))
        return data[address % 8 : address % 8 + size]


AT = 0x7F0000000000


def type_words(at: int, kind: int, name_at: int, flags: int = 0) -> dict[int, int]:
    return {at: 1, at + 8: kind, at + 24: name_at, at + 32: 400, at + 168: flags}


def test_types_that_are_each_others_type_are_none() -> None:
    words = {**type_words(AT, AT + 4096, AT + 800), **type_words(AT + 4096, AT, AT + 800)}
    memory = MadeUp(words)
    assert PythonTypes(memory.read, AT + 65536).at(AT) is None
    assert memory.reads < 100


def test_an_instance_is_no_type() -> None:
    """Its own type's type is `type`, too; but not a class of classes."""
    text = int.from_bytes(b"Planted\0", "little")
    words = {
        AT + 800: text,
        **type_words(AT + 4096, AT + 65536, AT + 800),
        **type_words(AT, AT + 4096, AT + 800),
    }
    types = PythonTypes(MadeUp(words).read, AT + 65536)
    assert types.at(AT + 4096) is not None
    assert types.at(AT) is None


def test_a_free_threaded_build_is_refused() -> None:
    """Its objects have another head: their counts would be wrong."""
    words = {AT + 24: AT, AT + 40: AT + 800, AT + 800: int.from_bytes(b"type\0\0\0\0", "little")}
    memory = MadeUp(words)
    with pytest.raises(UncountableError, match="free-threaded"):
        find_type_type(memory.read(AT, 4096), AT, memory.read)


@pytest.fixture(params=range(5))
def chance(request: pytest.FixtureRequest) -> Iterator[MadeUp]:
    random_ = random.Random(request.param)
    return MadeUp(
        {}, lambda: random_.choice((random_.randrange(1 << 64), AT + 16 * random_.randrange(1 << 20), 3))
    )


def test_what_is_made_of_chance_costs_a_bounded_number_of_reads(chance: MadeUp) -> None:
    types, sizes = PythonTypes(chance.read, AT), Sizes(chance.read)
    for number in range(200):
        kind = types.at(AT + 16 * number)
        if kind is not None:
            types.full_name(kind)
            assert 0 < sizes.of(AT + 4096 * number, kind) < 1 << 50
    assert chance.reads < 200 * 200


def test_the_own_interpreter_is_found() -> None:
    """`type` lies where this process says."""
    regions, _ = mappings.read(os.getpid())
    read = Memory(os.getpid()).read
    assert census._find(regions, read) == id(type)
    assert PythonTypes(read, id(type)).full_name(PythonTypes(read, id(type)).at(id(MadeUp))) == (  # type: ignore[arg-type]
        f"{MadeUp.__module__}.MadeUp"
    )
    assert sys.implementation.name == "cpython"


def test_memory_full_of_pointers_to_nothing_fills_none_of_ours() -> None:
    """A million words that look like objects, each of another type: what is remembered of them is bounded."""
    text = (
        "import array, random\nchance = random.Random(1)\npairs = array.array('Q')\n"
        "for n in range(1_000_000): pairs.append(1); pairs.append(0x7000_0000_0000 + 16 * chance.randrange(1 << 36))\n"
    )
    with python(KEPT + text) as program:
        regions, _ = mappings.read(program.pid)
        read = Memory(program.pid).read
        counting = census._Counting(program.pid, read, PythonTypes(read, census._find(regions, read)))
        holders = [one for one in regions if census._holds_objects(one)]
        counting.count(census._pieces(holders, census.BUDGET_BYTES), PATIENCE_S)
        assert len(counting._counts) <= census._COUNTED_CAP
        found = counting.result(sum(one.resident_bytes for one in holders))
    assert found.types["__main__.Order"][0] == pytest.approx(40_000, rel=0.3)
