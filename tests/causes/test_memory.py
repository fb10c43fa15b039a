"""What a process's memory is attributed to: the type that grew, else the mapping; unknown rather than wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.causes import OBSERVED_BYTES, memory
from monitord.causes.facts import Taken
from monitord.model import HistoryPoint
from monitord.profiles.representation import Frame, Profile, Thread
from tests.causes.programs import compiled, facts, grown, interpreters, python, running

ORDERS = """
class Order:
    def __init__(self, number):
        self.number, self.name, self.items = number + 1000, "name-%d" % number, [number, number + 1]
kept = [Order(number) for number in range(5_000)]
step()
kept += [Order(number) for number in range(60_000)]
"""

# What is leaked, and the words of the sentence; how many of a type there are more, as nearly as the objects can be
# counted that lie in memory just then.
LEAKS: dict[str, tuple[str, list[str | tuple[int, str]]]] = {
    "instances": (ORDERS, [(60_000, "__main__.Order"), "from 5,000 to 65,000 elements"]),
    "dict cache": (
        'cache = {}\nstep()\nfor n in range(30_000): cache["key%d" % n] = b"x" * 900 + b"%d" % n\n',
        [(30_000, "bytes"), "one dict grew"],
    ),
    "a few large texts": (
        'kept = []\nstep()\nfor n in range(40): kept.append("x" * 1_000_000 + str(n))\n',
        [(40, "str")],
    ),
    "one growing buffer": (
        'kept = [bytearray(b"x" * 100) for n in range(30_000)]\nbuffer = bytearray(100)\nstep()\n'
        'for n in range(60): buffer.extend(b"y" * 1_000_000)\n',
        ["bytearray", "grew to 60,000,100 bytes"],
    ),
    "closures": (
        "def make(n):\n    def inner(): return n\n    return inner\nkept = []\nstep()\n"
        "for n in range(100_000): kept.append(make(n + 1000))\n",
        [(100_000, "function"), "cell"],
    ),
    "small numbers beside large texts": (
        'kept, texts = list(range(1000, 2000)), ["%d" % n * 50 for n in range(20_000)]\nstep()\n'
        "for n in range(500_000): kept.append(n + 70_000)\n",
        [(500_000, "int")],
    ),
    "a set": (
        'seen = set()\nstep()\nfor n in range(200_000): seen.add("item%d" % n)\n',
        [(200_000, "str"), "one set grew"],
    ),
    "a class with a metaclass": (
        "class Meta(type): pass\nclass Job(metaclass=Meta):\n    def __init__(self, n): self.n = n + 1000\n"
        "kept = []\nstep()\nfor n in range(100_000): kept.append(Job(n))\n",
        ["__main__.Job"],
    ),
    "slots": (
        'class Point:\n    __slots__ = ("x", "y")\n    def __init__(self, n): self.x, self.y = n * 1.5, n * 2.5\n'
        "kept = []\nstep()\nfor n in range(100_000): kept.append(Point(n))\n",
        ["__main__.Point", "twice as many float"],
    ),
    "what takes the place of what was freed": (
        "class Old:\n    def __init__(self, n): self.n, self.m = n, [n]\n"
        "class New:\n    __slots__ = ('x', 'y')\n    def __init__(self, n): self.x, self.y = n, [n, n, n]\n"
        "old = [Old(n) for n in range(100_000)]\nkept = old[::200]\ndel old\nnew = []\nstep()\n"
        "for n in range(300_000): new.append(New(n))\n",
        ["__main__.New"],
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_the_type_that_grew_is_named(leak: str) -> None:
    text, expected = LEAKS[leak]
    with python(text) as program:
        cause = grown(program)
    assert (cause.kind, cause.confidence) == ("objects that grew", "likely"), cause
    for words in expected:
        if isinstance(words, str):
            assert words in cause.sentence, cause
            continue
        count, name = words
        said = re.search(rf"\+([0-9,]+) {re.escape(name)}\b", cause.sentence)
        assert said is not None, cause
        assert int(said[1].replace(",", "")) == pytest.approx(count, rel=0.02), cause


@pytest.mark.parametrize("version", interpreters())
def test_it_is_named_in_every_version_of_python(version: str) -> None:
    with python(ORDERS, interpreters()[version]) as program:
        cause = grown(program)
    assert re.search(r"\+(59,[5-9]|60,[0-4])\d\d __main__\.Order\b", cause.sentence), cause
    assert cause.confidence == "likely"


def test_two_types_that_grow_alike_are_both_named() -> None:
    """Nothing tells which of them is the cause."""
    pair = "class {0}:\n    def __init__(self, n): self.n, self.text = n, str(n)\n"
    text = pair.format("Left") + pair.format("Right") + "kept = []\nstep()\n"
    with python(text + "for n in range(60_000): kept.append(Left(n)); kept.append(Right(n))\n") as program:
        cause = grown(program)
    assert "__main__.Left" in cause.sentence, cause
    assert "__main__.Right" in cause.sentence, cause


C_LEAKS = {
    "malloc": ("for (int n = 0; n < 400; n++) memset(malloc(100000), 1, 100000);", "the heap"),
    "mmap": (
        "for (int n = 0; n < 20; n++) memset(mmap(0, 2 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 2 << 20);",
        "anonymous memory",
    ),
}


@pytest.mark.parametrize("leak", C_LEAKS)
def test_of_a_native_program_the_mapping_is_named_and_what_would_tell_more(leak: str, tmp_path: Path) -> None:
    text, mapping = C_LEAKS[leak]
    with running([str(compiled(tmp_path, f"int main(void) {{ step(); {text} step(); }}"))]) as program:
        cause = grown(program)
    assert cause.sentence.startswith(f"{mapping} grew by "), cause
    assert cause.confidence == "possible"
    assert cause.decides is not None
    assert "page-faults" in cause.decides


ADDRESS = 0xD00000
"""Where nothing of a program lies that is not randomised, and where a count of references could be."""
POINTERS = f"""
import mmap, struct
library.mmap.restype = ctypes.c_void_p
library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
assert library.mmap({ADDRESS}, 1 << 16, 3, 0x100022, -1, 0) == {ADDRESS}, "it lies elsewhere"
filling = struct.pack("<QQQQ", {ADDRESS} + 64, id(bytes), 50_000, 0) * 3125
"""


@pytest.mark.parametrize("content", ["ones", "a table of pointers"])
def test_memory_of_an_extension_is_put_down_to_no_type(content: str) -> None:
    """What a C library allocates belongs to no object of Python, also where a pointer looks like a small number."""
    text = (
        "import ctypes\nkept = [str(n) for n in range(50_000)]\nlibrary = ctypes.CDLL(None)\n"
        "library.malloc.restype = ctypes.c_void_p\nfilling = bytes([1]) * 100_000\n"
        f"{POINTERS if content != 'ones' else ''}"
        "library.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]\nstep()\n"
        "for n in range(400): library.memcpy(library.malloc(100_000), filling, 100_000)\n"
    )
    with python(text) as program:
        cause = grown(program)
    assert cause.kind == "mapping that grew"
    assert cause.confidence == "possible"
    assert "no type of Python object grew as much" in cause.sentence


def test_shared_memory_is_named_by_its_file(tmp_path: Path) -> None:
    text = (
        "import mmap, os\nfile = os.memfd_create('planted-cache')\nos.ftruncate(file, 50 << 20)\n"
        "memory = mmap.mmap(file, 50 << 20)\nstep()\nmemory[:] = b'x' * (50 << 20)\n"
    )
    with python(text) as program:
        cause = grown(program)
    assert "planted-cache" in cause.sentence, cause
    assert (cause.kind, cause.confidence) == ("mapping that grew", "likely")


def test_many_small_segments_are_named_together() -> None:
    """None of them grew much: it is their number."""
    text = (
        "import mmap, os\nkept = []\nstep()\nfor n in range(100):\n"
        "    file = os.memfd_create('segment-%d' % n)\n    os.ftruncate(file, 1 << 19)\n"
        "    kept.append(mmap.mmap(file, 1 << 19))\n    kept[-1][:] = b'x' * (1 << 19)\n"
    )
    with python(text) as program:
        cause = grown(program)
    assert cause.sentence.startswith("shared memory grew by "), cause


def test_pages_of_a_file_are_no_leak(tmp_path: Path) -> None:
    """The kernel takes them back when it needs them."""
    (tmp_path / "large").write_bytes(bytes(40 << 20))
    text = (
        f"import mmap\nfile = open({str(tmp_path / 'large')!r}, 'rb')\n"
        "memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\nstep()\ntotal = sum(memory[::4096])\n"
    )
    with python(text) as program:
        cause = grown(program)
    assert "the kernel can take back" in cause.sentence, cause


def test_of_what_does_not_grow_it_is_said_what_it_holds() -> None:
    """A plateau: nothing is blamed for a growth that there was not."""
    with python("kept = [str(n) * 5 for n in range(300_000)]\nstep()\nkept.append(3)\n") as program:
        cause = grown(program)
    assert cause.kind == "objects held", cause
    assert " str" in cause.sentence
    assert "grew" not in cause.sentence


def history(levels: list[float], left_bytes: int = 1 << 30) -> tuple[HistoryPoint, ...]:
    begin = datetime.now(UTC)
    return tuple(
        HistoryPoint(begin + timedelta(seconds=2 * number), 10.0, left_bytes, rss_bytes=int(level))
        for number, level in enumerate(levels)
    )


def seen(strings: int, size: int) -> dict[str, Any]:
    return {
        "mappings": {"kinds": {"anonymous memory": [size, 1]}, "groups": {"anonymous memory": size}},
        "python": {
            "types": {"str": [strings, size]},
            "user_types": [],
            "read_bytes": size,
            "resident_bytes": size,
        },
        "room": {"available": 1 << 30},
    }


MIB = 1 << 20


def test_a_straight_climb_says_its_pace_and_how_long_there_is_room() -> None:
    climb = history([100 * MIB + number * MIB for number in range(100)])
    cause = memory.explain(facts(seen(100, 100 * MIB), seen(200, 200 * MIB), climb))
    assert cause is not None
    rows = dict(cause.evidence)
    assert rows["growth"] == "1.8 GiB an hour, in a straight line"
    assert rows["full in"] == "34 min: 1 GiB are available"


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([100 + 80 * (number % 20) / 20 for number in range(100)], "up and down"),
        ([100 + min(number, 30) for number in range(100)], "stopped growing"),
    ],
    ids=["saw-tooth", "plateau"],
)
def test_what_is_no_steady_climb_is_not_thought_further(levels: list[float], said: str) -> None:
    course = history([level * MIB for level in levels])
    cause = memory.explain(facts(seen(100, 100 * MIB), seen(200, 200 * MIB), course))
    assert cause is not None
    rows = dict(cause.evidence)
    assert said in rows["growth"]
    assert "full in" not in rows


def test_without_a_look_nothing_is_named() -> None:
    cause = memory.explain(facts(None, None))
    assert cause is not None
    assert cause.confidence == "unknown"


def test_another_process_under_the_same_pid_is_not_observed() -> None:
    with python("step()") as program, pytest.raises(ProcessLookupError):
        memory.observe(program.pid, 1)


@pytest.mark.parametrize("version", interpreters())
def test_an_observation_is_bounded_however_many_types_there_are(version: str) -> None:
    """Thousands of types with names as long as they like, each with objects; the names are cut and printable."""
    text = (
        "kept = []\nfor n in range(2_000):\n    kind = type('A' * 10_000 + '\\x1b[2J\\n%d' % n, (), {})\n"
        "    kept.append([kind() for _ in range(50)])\n"
    )
    with python(text, interpreters()[version]) as program:
        observation = json.dumps(program.observe())
    assert len(observation) < OBSERVED_BYTES / 2
    names = json.loads(observation)["python"]["types"]
    assert all(name.isprintable() and len(name) < 200 for name in names)


def test_the_function_that_asks_for_memory_is_named_with_one_look_as_well() -> None:
    """Page faults after the alert say it, even where the crossing could not be observed."""
    heap = {"mappings": {"kinds": {"the heap": [90 * MIB, 1]}, "groups": {"the heap": 90 * MIB}}}
    frames = [Frame(name, kind="native") for name in ("main", "cache_put", "malloc", "_int_malloc")]
    profile = Profile("perf", frames, {(Thread("main"), (0, 1, 2, 3)): 20}, 20)
    taken = Taken("profile", "perf-faults")
    cause = memory.explain(replace(facts(None, heap), profiles=(profile,), taken=(taken,)))
    assert cause is not None
    assert (cause.kind, cause.confidence) == (
        "allocation",
        "possible",
    )  # the function that asks may give it back
    assert cause.sentence == "cache_put asks for memory; the heap holds 90 MiB, 100 % of 90 MiB"
