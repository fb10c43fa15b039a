"""Python stacks are kept as long as there is room, and there is never more than the room."""

from __future__ import annotations

import random

from monitord.stacks.readings import LEFT_OUT, PythonStacks

S = 1_000_000_000


def stack(*names: str) -> tuple[tuple[str, str, int], ...]:
    return tuple((name, "/srv/app.py", 3) for name in names)


def test_what_was_put_in_comes_out_in_its_order() -> None:
    """Whoever ran, and when, and each stack as it was."""
    kept = PythonStacks()
    put = [(n * S, 7, 7 + n % 2, stack("main", f"f{n % 3}")) for n in range(100)]
    for one in put:
        kept.add(*one)
    assert list(kept.since(0, 100 * S)) == put
    assert list(kept.since(10 * S, 12 * S)) == put[10:13]


def test_of_a_deep_stack_root_and_leaf_are_kept() -> None:
    """A recursion of a thousand calls has a beginning and an end; what is between is said to be left out."""
    kept = PythonStacks()
    kept.add(S, 1, 1, stack(*(f"f{n}" for n in range(1000))))
    ((_, _, _, found),) = kept.since(0, S)
    assert len(found) == 64
    assert found[0][0] == "f0"
    assert found[-1][0] == "f999"
    assert LEFT_OUT in found


def test_a_million_functions_take_no_more_than_the_room() -> None:
    """A hostile program has other functions in every stack, with long names: what is oldest goes."""
    kept, random_ = PythonStacks(bytes_cap=200_000), random.Random(7)
    for n in range(3000):
        kept.add(n * S // 8, 1, 1, stack(*(f"{random_.random()}" * 9 for _ in range(60))))
        assert kept.bytes_held < 200_000 + 63 * 60 * 500
    assert kept.bytes_held <= 300_000
    assert len(kept) >= 1
    assert [at for at, *_ in kept.since(0, 3000 * S)][-1] == 2999 * S // 8


def test_a_hundred_seconds_of_four_busy_threads_have_room() -> None:
    """Eight readings a second of ordinary depth: at the end all of the last hundred seconds are there."""
    kept = PythonStacks()
    for n in range(8 * 4 * 300):
        kept.add(n * S // 32, n % 4, n % 4, stack("main", *(f"f{n % 97}_{depth}" for depth in range(20))))
    last = 8 * 4 * 300 * S // 32
    assert len(list(kept.since(last - 100 * S, last))) == 3200
    assert kept.bytes_held < 1_000_000


def test_what_is_too_old_goes_with_its_names() -> None:
    """When room is made, nobody keeps the functions of a process that ended long ago."""
    kept = PythonStacks()
    for n in range(4000):
        kept.add(n, 1, 1, stack(f"old{n}"))
    for n in range(100):
        kept.add(1000 * S + n, 1, 1, stack("new"))
    assert {name for *_, found in kept.since(0, 2000 * S) for name, _, _ in found} == {"new"}
