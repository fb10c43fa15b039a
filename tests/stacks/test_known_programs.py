"""A program stays known by its name and its file: whether it may be profiled is asked by these."""

from __future__ import annotations

import pytest

from monitord.stacks.asking import Asking
from monitord.stacks.life import Code, Life
from monitord.stacks.readings import PythonStacks
from monitord.stacks.taking import Taking, executable_of
from tests.stacks.test_lives import Told, lives_of, tables_bytes


@pytest.mark.parametrize("steps", [1, 7, 400])
def test_a_program_with_hundreds_of_libraries_is_still_known_by_its_name_and_file(steps: int) -> None:
    """The libraries are what may be forgotten."""
    told = Told()
    told.fork(100, 7, 5)
    told.exec(101, 7, "earlier")
    told.map(102, 7, 0x10000, "/usr/bin/earlier")
    told.exec(103, 7, "secretd")
    told.map(104, 7, 0x400000, "/opt/secret/bin")
    lives = lives_of(told)
    lives.keep_up([7])
    for n in range(400):
        told.map(200 + n, 7, 0x7F0000000000 + n * 0x10000, f"/usr/lib/python3/dist-packages/a/{n}.so")
        if n % steps == 0:
            lives.keep_up([7])
    life = lives.of(7)[-1]
    assert (life.name, executable_of(life)) == ("secretd", "/opt/secret/bin")
    assert (life.parent_pid, life.began_ns, life.exec_ns) == (5, 100, 103)
    assert life.mappings[-1].path.endswith("/399.so")
    assert tables_bytes(lives) <= 16 << 10


def test_of_a_process_with_more_code_than_is_noted_the_programs_file_stays() -> None:
    noted = [Code(0x400000 + n * 0x10000, 0x401000 + n * 0x10000, 0, 8, n + 1, f"/x/{n}") for n in range(256)]
    mapped = [one._replace(start=one.start << 20, end=one.end << 20, path="/late") for one in noted[1:99]]
    found = Life(7, 5, "x", 100, None, None, ()).with_code((*noted, *mapped)).mappings
    assert found[0].path == "/x/0"
    assert len(found) == 256 + 98


def test_of_a_whole_machine_each_process_is_asked_about_once() -> None:
    """Under the lock, for as many as were seen; each was asked again for all of its descendants."""
    told = Told()
    for n in range(200):
        told.fork(n, 1000 + n, 999 + n)
    lives = lives_of(told)
    lives.keep_up(range(1000, 1200))
    asked: list[int] = []

    class Counted:
        def is_whole_since(self, _since_ns: int) -> bool:
            return True

        def of(self, pid: int) -> tuple[Life, ...]:
            asked.append(pid)
            return lives.of(pid)

    seen = range(1000, 1200)
    taking = Taking(Asking(), Counted(), PythonStacks(), 0, 1, seen, (), lambda *_: True, ())  # type: ignore[arg-type]  # all that is asked of it
    assert taking.of_machine(5) is None
    assert sorted(asked) == sorted({*asked})
