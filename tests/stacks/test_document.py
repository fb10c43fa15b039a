"""The document says what ran: Python's stacks where they were read, the leaf of an extension below, and no more."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest

from monitord.capture.ring_names import without_files
from monitord.profiles.ring_document import read_ring
from monitord.stacks.document import KERNEL, DocumentBuilder, Span
from monitord.stacks.family import Member
from monitord.stacks.life import Code, Life

S = 1_000_000_000
PYTHON = Code(0x1000, 0x2000, 0, 5, 50, "/usr/bin/python3.11")
ZLIB = Code(0x5000, 0x6000, 0x100, 5, 51, "/usr/lib/libz.so.1")
MADE = Code(0x9000, 0xA000, 0, 0, 0, "")
STACK = (("<module>", "/srv/app.py", 9), ("work", "/srv/app.py", 3))


def a_life(pid: int = 7, **changes: Any) -> Life:
    given = {
        "pid": pid, "parent_pid": 1, "name": "app", "began_ns": S, "exec_ns": None, "ended_ns": None,
        "mappings": (PYTHON, ZLIB, MADE),
    }  # fmt: skip
    return Life(**{**given, **changes})


def built(
    *samples: Any, readings: Any = (), life: Life | None = None, before: tuple[Life, ...] = ()
) -> dict[str, Any] | None:
    life = life or a_life()
    earlier = [Member(one, is_target=True, is_kept=False) for one in before]
    builder = DocumentBuilder({life.pid: (*earlier, Member(life, is_target=True))}, readings)
    for sample in samples:
        builder.add(sample)
    found = builder.build(Span(None, 19, "machine"))
    return None if found is None else json.loads(found.payload)


def names(told: dict[str, Any]) -> list[list[Any]]:
    """Each sample's frames: its name, or its module and place."""
    return [
        [
            told["frames"][n][0] or f"{told['frames'][n][3]}+{told['places'][n][-1]:x}"
            for n in told["stacks"][stack]
        ]
        for _, _, stack, _ in told["samples"]
    ]


def test_python_stacks_take_the_place_of_the_interpreters_frames() -> None:
    told = built((10 * S, 7, 7, (0x1100, 0x1200)), readings=[(10 * S, 7, 7, STACK)])
    assert told is not None
    assert names(told) == [["<module>", "work"]]
    assert ["work", "/srv/app.py", 3, None, "python"] in told["frames"]


def test_what_an_extension_or_the_kernel_did_stays_below_them() -> None:
    told = built((10 * S, 7, 7, (KERNEL + 5, 0x5010, 0x1100)), readings=[(10 * S, 7, 7, STACK)])
    assert told is not None
    assert names(told) == [["<module>", "work", "libz.so.1+10f", f"[kernel]+{KERNEL + 5:x}"]]


def test_a_chain_that_never_comes_back_to_the_interpreter_keeps_its_leaf_alone() -> None:
    """Code without frame pointers: only where it ran is sure."""
    told = built((10 * S, 7, 7, (0x5010, 0x77777777, 0x5050)), readings=[(10 * S, 7, 7, STACK)])
    assert told is not None
    assert names(told) == [["<module>", "work", "libz.so.1+110"]]


def test_a_stack_that_was_read_too_long_before_or_after_is_not_believed() -> None:
    """A quarter of a second at most; else there is no stack of Python, and that is said."""
    told = built(
        (10 * S, 7, 7, (0x1100,)),
        (20 * S, 7, 7, (0x1100,)),
        (20 * S, 7, 8, (0x1100,)),
        readings=[(10 * S + 200_000_000, 7, 7, STACK)],
    )
    assert told is not None
    assert names(told) == [["<module>", "work"], ["[python3.11]"], ["[python3.11]"]]


def test_of_two_stacks_the_nearer_one_is_taken() -> None:
    later = (("<module>", "/srv/app.py", 9), ("rest", "/srv/app.py", 5))
    told = built(
        (10 * S + 60_000_000, 7, 7, (0x1100,)),
        (10 * S + 90_000_000, 7, 7, (0x1100,)),
        readings=[(10 * S, 7, 7, STACK), (10 * S + 150_000_000, 7, 7, later)],
    )
    assert told is not None
    assert [stack[-1] for stack in names(told)] == ["work", "rest"]


def test_a_python_of_which_no_stack_was_read_is_not_told_in_the_interpreters_words() -> None:
    """`_PyEval_EvalFrameDefault` would say nothing about what it did."""
    told = built((10 * S, 7, 7, (0x1010, 0x1020, 0x5020)))
    assert told is not None
    assert names(told) == [["[python3.11]"]]


def test_what_nobody_asked_for_is_left_out_without_a_word() -> None:
    """A shell that became the program that was asked for is no other process that had its pid."""
    shell, program = a_life(name="sh", ended_ns=5 * S), a_life(exec_ns=5 * S)
    builder = DocumentBuilder({7: (Member(shell).left_out(), Member(program, is_target=True))}, ())
    for at in (3, 10):
        builder.add((at * S, 7, 7, (0x5010,)))
    found = builder.build(Span(None, 19, "machine"))
    assert found is not None
    told = json.loads(found.payload)
    assert (len(told["samples"]), told["notes"], len(told["processes"])) == (1, [], 1)


def test_code_that_was_mapped_over_has_the_samples_from_before() -> None:
    """The same chain of addresses was one plugin's, then the next one's, and in between nobody's that is known."""
    one, other = (Code(0x5000, 0x6000, 0, 5, 60 + n, f"/srv/{n}.so") for n in range(2))
    pieces = (one._replace(from_ns=2 * S), other._replace(from_ns=20 * S))
    life = a_life(mappings=()).with_code(pieces)
    told = built(*((at * S, 7, 7, (0x5010,)) for at in (1, 10, 19, 20, 30)), life=life)
    assert told is not None
    assert names(told) == [["[unknown]"], ["0.so+10"], ["0.so+10"], ["1.so+10"], ["1.so+10"]]


def test_a_native_programs_frames_are_places_in_files() -> None:
    """Return addresses lie behind the call; a file is told by device and inode."""
    native = a_life(mappings=(ZLIB, MADE))
    told = built((10 * S, 7, 7, (0x5010, 0x5020, 0x9010, 0x77777777)), life=native)
    assert told is not None
    assert names(told) == [["[unknown]", "[unknown]", "libz.so.1+11f", "libz.so.1+110"]]
    assert told["files"] == [["/usr/lib/libz.so.1", 5, 51, 10 * S]]


def test_samples_of_another_program_or_process_are_discarded_and_counted() -> None:
    life = a_life(began_ns=5 * S, exec_ns=8 * S, ended_ns=20 * S)
    told = built(
        *((n * S, 7, 7, (0x5010,)) for n in (3, 6, 7, 9, 30)),
        (9 * S, 8, 8, (0x5010,)),
        life=life,
        before=(a_life(began_ns=5 * S, ended_ns=8 * S),),
    )
    assert told is not None
    assert len(told["samples"]) == 1
    assert told["notes"] == [
        "discarded, because they are of another program, before an exec: 2 samples",
        "discarded, because they are of another process that had the pid: 2 samples",
    ]
    assert [process["start_ns"] for process in told["processes"]] == [5 * S]


def test_a_stack_read_before_an_exec_is_not_the_programs_that_came_after() -> None:
    told = built(
        (10 * S + 100_000_000, 7, 7, (0x1100,)),
        readings=[(10 * S, 7, 7, STACK)],
        life=a_life(exec_ns=10 * S + 50_000_000),
        before=(a_life(ended_ns=10 * S + 50_000_000),),
    )
    assert told is not None
    assert names(told) == [["[python3.11]"]]


def test_without_samples_there_is_no_document() -> None:
    assert built() is None
    assert built((3 * S, 9, 9, (0x5010,))) is None


def test_a_hundred_thousand_stacks_become_five_thousand() -> None:
    native = a_life(mappings=(ZLIB, MADE))
    stacks = ((0x5000 + n % 4000, 0x5000 + n // 4000) for n in range(12_000))
    told = built(*((10 * S + n, 7, 7, stack) for n, stack in enumerate(stacks)), life=native)
    assert told is not None
    assert len(told["stacks"]) <= 5_001
    assert names(told)[-1] == ["[other stacks]"]
    assert len(told["samples"]) == 12_000


def test_it_reaches_to_the_alert_though_nothing_ran_any_more() -> None:
    """What a timeline counts back from is the alert, not the last sample of a process that is gone."""
    builder = DocumentBuilder({7: (Member(a_life(), is_target=True),)}, ())
    builder.add((10 * S, 7, 7, (0x5010,)))
    found = builder.build(Span(None, 19, "machine", {}, 40 * S))
    assert found is not None
    assert (found.began_ns, found.ended_ns) == (10 * S, 40 * S)
    assert json.loads(found.payload)["ended_ns"] == 40 * S


@pytest.mark.parametrize("letter", ["a", "é", "\udcff", "\U0001f600"])
def test_a_target_that_chooses_its_addresses_and_names_fills_no_memory(letter: str) -> None:
    """Return addresses, paths and names are the target's: frames, texts and what is looked up are bounded."""
    code = tuple(
        Code(0x1000_0000 + n * 0x10_0000, 0x1010_0000 + n * 0x10_0000, 0, 8, n + 1, f"/x/{letter * 200}{n}")
        for n in range(256)
    )
    readings = [
        (S + at * S, 7, 8, [(letter * 256 + str(at * 50 + n), letter * 1024, n) for n in range(50)])
        for at in range(100)
    ]
    native = [
        (1 + at, 7, 7, tuple(0x1000_0000 + (at * 48 + n) * 99_991 % 0x1000_0000 for n in range(48)))
        for at in range(4000)
    ]
    python = [(S + at * S, 7, 8, (0x1000_0000,)) for at in range(100)]
    builder = DocumentBuilder({7: (Member(a_life(mappings=code, began_ns=1), is_target=True),)}, readings)
    for sample in native + python:
        builder.add(sample)
    found = builder.build(Span(None, 19, "machine"))
    assert found is not None
    assert found.sample_count == 4100
    assert len(found.payload) < 12 * 2**20  # what reads it takes 16 MiB
    ring = read_ring(BytesIO(without_files(found.payload)))
    assert len(ring.frames) <= 16_003
    assert any("not told apart" in note for note in ring.notes)
