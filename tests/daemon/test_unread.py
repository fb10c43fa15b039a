"""A recorder drops docstrings and annotations of what it loaded, and nothing that a function works with."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = '''
"""This module's own."""
import dataclasses, gc, sys, types, typing
import monitord.daemon.loop
from monitord.daemon.unread import drop_unread

def plain(): "Said of it."

def works_with_it():
    "One constant for both."
    return "One constant for both."

class Told:
    "Of a class."
    def method(self, value=1, *rest, **more):
        "Of a method."
        return lambda: (value, rest, more)

@dataclasses.dataclass
class Kept:
    number: int = 1
    def twice(self, more: int = 0) -> int:
        return 2 * self.number + more

@typing.overload
def overloaded(value: int) -> int: ...
@typing.overload
def overloaded(value: str) -> str: ...
def overloaded(value):
    return value

def docs():
    return [one for one in gc.get_objects() if type(one) is types.FunctionType and one.__doc__]

before = sum(len(one.__doc__) for one in docs())
drop_unread()
after = sum(len(one.__doc__) for one in docs())
assert works_with_it() == "One constant for both."
assert (plain.__doc__, Told.__doc__, Told.method.__doc__, __doc__) == (None,) * 4
assert Told().method(2, 3, four=4)() == (2, (3,), {"four": 4})
assert Kept.__annotations__ == {"number": int} and dataclasses.replace(Kept(), number=3).twice(more=1) == 7
assert Kept.twice.__annotations__ == {} and typing.get_overloads(overloaded) == []
import sqlalchemy
assert sqlalchemy.select.__doc__ is sqlalchemy.Table.__doc__ is sqlalchemy.__doc__ is None
print(before, after)
'''


def test_docstrings_go_and_values_stay() -> None:
    """Four fifths of them at least: what is left belongs to functions of the interpreter itself."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before > 1_000_000
    assert after < before / 5
