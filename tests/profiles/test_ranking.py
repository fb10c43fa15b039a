"""Hotspots say who is to blame, and the folded form says the same as the profile it was written from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.profiles import Frame, Profile, Thread, hotspots, parse, write_folded

A, B, C = Frame("a", "m.py", 1), Frame("b", "m.py", 2), Frame("b", "m.py", 3)


def _profile(*stacks: tuple[Thread, tuple[int, ...], int]) -> Profile:
    counts = {(thread, stack): value for thread, stack, value in stacks}
    return Profile("test", [A, B, C], counts, sum(counts.values()))


def test_recursion_counts_once_per_stack() -> None:
    spots = hotspots(_profile((Thread(), (0, 1, 1, 1), 3), (Thread(), (0,), 1)))
    assert [(s.function, s.self_share, s.total_share) for s in spots] == [("b", 0.75, 0.75), ("a", 0.25, 1.0)]


def test_lines_of_one_function_are_added_and_the_hottest_is_named() -> None:
    spot = hotspots(_profile((Thread(), (0, 1), 2), (Thread(), (0, 2), 3)))[0]
    assert (spot.function, spot.line, spot.self_share) == ("b", 3, 1.0)


def test_waiting_threads_are_blamed_only_when_nothing_ran() -> None:
    waits = Thread("w", 1, is_idle=True)
    assert [s.function for s in hotspots(_profile((waits, (0, 1), 90), (Thread(), (0,), 10)))] == ["a"]
    assert hotspots(_profile((waits, (0, 1), 90)))[0].function == "b"


def test_the_limit_holds_and_an_empty_profile_blames_nobody() -> None:
    profile = _profile((Thread(), (0, 1), 2))
    assert len(hotspots(profile, 1)) == 1
    assert hotspots(profile, 0) == ()
    assert hotspots(_profile()) == ()


def test_equals_are_ranked_from_the_leaf_outwards() -> None:
    profile = Profile(
        "test", [Frame("z"), Frame("m"), Frame("k"), Frame("leaf")], {(Thread(), (2, 0, 1, 3)): 1}, 1
    )
    assert [s.function for s in hotspots(profile)] == ["leaf", "m", "z", "k"]


WORD = st.text(
    st.characters(
        codec="utf-8",
        exclude_characters=";\n\r \x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029()",
        exclude_categories=["Cc", "Zs"],
    ),
    min_size=1,
    max_size=8,
)
NAME = WORD.filter(lambda word: not word.startswith(("thread", "process", "py-spy")))
FRAMES = st.one_of(
    st.builds(Frame, NAME, WORD.map(lambda w: f"/{w}.py"), st.integers(1, 9999)),
    st.builds(lambda n, m: Frame(n, module=f"/{m}.so", kind="native"), NAME, NAME),
    st.builds(lambda n: Frame(n, kind="native"), NAME),
    st.builds(lambda n: Frame(n, module="[kernel.kallsyms]", kind="kernel"), NAME),
)
THREADS = st.just(Thread()) | st.builds(Thread, st.none() | NAME, st.integers(1, 99999))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(THREADS, st.lists(FRAMES, min_size=1, max_size=6), st.integers(1, 1000)), max_size=6)
)
def test_what_is_written_folded_is_read_back(samples: list[tuple[Thread, list[Frame], int]]) -> None:
    table: dict[Frame, int] = {}
    counts: dict[tuple[Thread, tuple[int, ...]], int | float] = {}
    for thread, frames, value in samples:
        key = (thread, tuple(table.setdefault(frame, len(table)) for frame in frames))
        counts[key] = counts.get(key, 0) + value
    written = Profile("test", list(table), counts, 0)
    read = parse("folded", write_folded(written).encode())
    assert _named(read) == _named(written)


def _named(profile: Profile) -> dict[object, object]:
    return {
        (thread, tuple(profile.frames[index] for index in stack)): value
        for (thread, stack), value in profile.stacks.items()
    }


@pytest.mark.parametrize("name", ["a;b", "a\nb", "a\u2028b", "f(x)", "x 5", "operator()(int)"])
def test_no_name_can_break_a_line_of_the_folded_form(name: str) -> None:
    profile = Profile("test", [Frame("root"), Frame(name)], {(Thread("t;\n9", 1), (0, 1)): 4}, 4)
    text = write_folded(profile)
    assert len(text.splitlines()) == 1
    back = parse("folded", text.encode())
    assert back.total == 4
    assert [len(stack) for _thread, stack in back.stacks] == [2]
