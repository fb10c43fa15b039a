"""A recorder loads no docstrings, drops annotations of functions, and changes nothing that code works with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOADED = '''
"""This module's own."""
import dataclasses, typing

TEXT = "This module's own."

def plain(): "Said of it."

def works_with_it():
    "One constant for both."
    return "One constant for both."

def first_constant_is_no_docstring(value):
    return [f"{one}" for one in value] + ["text" for _ in value]

class Told:
    "Of a class."
    same = "Of a class."
    class Inner:
        "Of a class within."
    def method(self, value=1, *rest, **more):
        "Of a method."
        return lambda: (value, rest, more)

@dataclasses.dataclass
class Kept:
    "Of a class with fields."
    number: int = 1
    def twice(self, more: int = 0) -> int:
        "Of a method with annotations."
        return 2 * self.number + more

@dataclasses.dataclass(frozen=True, slots=True)
class Outer:
    kept: Kept
    hidden: str = dataclasses.field(default="hidden", repr=False)
    rest: list = dataclasses.field(default_factory=list)
    of_class: typing.ClassVar[int] = 1

@dataclasses.dataclass(repr=False)
class Quiet(Kept):
    token: str = "hidden"

class Undecorated(Quiet):
    pass

@dataclasses.dataclass
class Unexplained:
    number: int

@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0
    note: str = dataclasses.field(default="", compare=False)

@dataclasses.dataclass(frozen=True)
class Single:
    value: object

@dataclasses.dataclass(frozen=True)
class Pair(Single):
    other: object = None

@dataclasses.dataclass(frozen=True)
class Own:
    value: int
    def __hash__(self): return 7
    def __eq__(self, other): return "own"

class More(Pair):
    pass

@typing.overload
def overloaded(value: int) -> int: ...
@typing.overload
def overloaded(value: str) -> str: ...
def overloaded(value):
    return value
'''

SCRIPT = """
import sys
import monitord.daemon.__main__, monitord.daemon.loop
sys.path.insert(0, sys.argv[1])
import dataclasses, gc, inspect, types, typing
import loaded
from monitord.daemon.unread import drop_unread

assert loaded.Kept.twice.__annotations__ and typing.get_overloads(loaded.overloaded)
outer = loaded.Outer(loaded.Kept(3))
outer.rest.append(outer)
told = repr(outer)
quiet = [repr(loaded.Quiet()), repr(loaded.Undecorated())]
drop_unread()
assert [repr(loaded.Quiet()), repr(loaded.Undecorated())] == quiet == ["Quiet(number=1)", "Undecorated(number=1)"]
assert loaded.Unexplained.__doc__ == "Unexplained" and repr(loaded.Unexplained(2)) == "Unexplained(number=2)"
assert repr(outer) == told == "Outer(kept=Kept(number=3), rest=[...])"
assert loaded.Outer.__repr__ is loaded.Kept.__repr__
assert loaded.Kept.twice.__annotations__ == {} and typing.get_overloads(loaded.overloaded) == []
assert loaded.Kept.__annotations__ == {"number": int}
assert dataclasses.replace(loaded.Kept(), number=3).twice(more=1) == 7

point, nan = loaded.Point(1.0, 2.0, "here"), float("nan")
assert point == loaded.Point(1.0, 2.0, "there") != loaded.Point(1.0) and point != (1.0, 2.0)
assert loaded.Point.__eq__(point, (1.0, 2.0)) is NotImplemented
assert hash(point) == hash((1.0, 2.0)) and {point: 1}[loaded.Point(1.0, 2.0)] == 1
assert loaded.Single(nan) == loaded.Single(nan) and hash(loaded.Single(3)) == hash((3,))
assert loaded.Single(1) != loaded.Pair(1) and loaded.Pair(1) == loaded.Pair(1) != loaded.Pair(1, 2)
assert hash(loaded.Pair(1, 2)) == hash((1, 2)) and loaded.More(1) == loaded.More(1) != loaded.Pair(1)
assert hash(loaded.Own(1)) == 7 and (loaded.Own(1) == 0) == "own" and loaded.Kept.__hash__ is None
assert dataclasses.replace(point, x=3.0).x == 3.0
for change in (lambda: setattr(point, "x", 1), lambda: delattr(point, "y"), lambda: setattr(point, "z", 1),
               lambda: setattr(more, "other", 1)):
    more = loaded.More(1)
    more.extra = 1
    assert more.extra == 1
    del more.extra
    try:
        change()
    except dataclasses.FrozenInstanceError as error:
        told = str(error)
        assert told.startswith(("cannot assign to field '", "cannot delete field '")), told
    else:
        raise AssertionError("it was changed")
made = [kind for kind in gc.get_objects() if type(kind) is type and str(kind.__module__).startswith("monitord.")
        and "__dataclass_fields__" in vars(kind)]
own = [name for kind in made for name in ("__repr__", "__setattr__", "__delattr__")
       if getattr(vars(kind).get(name), "__code__", None) and vars(kind)[name].__code__.co_filename == "<string>"]
assert len(made) > 100 and own == [], (len(made), own)

assert loaded.Told.method.__qualname__ == "method" and loaded.Told.Inner.__qualname__ == "Told.Inner"

documented = (loaded.plain, loaded.Told.Inner, loaded.Told.method, loaded.Kept.twice)
assert [one.__doc__ for one in documented] == [None] * 4
assert loaded.TEXT == "This module's own." and loaded.Told.same == "Of a class."
assert loaded.works_with_it() == "One constant for both."
assert loaded.first_constant_is_no_docstring([1]) == ["1", "text"]
assert loaded.Told().method(2, 3, four=4)() == (2, (3,), {"four": 4})
assert inspect.getsource(loaded.plain) == 'def plain(): "Said of it."\\n'
import sqlalchemy
assert sqlalchemy.select.__doc__ is sqlalchemy.Table.__doc__ is sqlalchemy.__doc__ is None
functions = [one for one in gc.get_objects() if type(one) is types.FunctionType]
print(sum(len(one.__doc__) for one in functions if one.__doc__))
import sqlalchemy.orm, sqlalchemy.ext.hybrid  # assert that they have some
"""


def test_docstrings_are_not_loaded_and_values_are(tmp_path: Path) -> None:
    """A tenth of a million characters belongs to what the interpreter loads by itself; all have a million."""
    (tmp_path / "loaded.py").write_text(LOADED)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000
