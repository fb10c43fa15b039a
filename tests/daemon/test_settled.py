"""What is done when an incident gets nothing more."""

from __future__ import annotations

import gc
import weakref

from monitord.daemon.wiring import _both


class Kept:
    """Something that leads to itself, as SQLAlchemy leaves at each save."""

    def __init__(self) -> None:
        self.itself = self


class Told:
    def __init__(self) -> None:
        self.count = 0

    def settled(self) -> None:
        self.count += 1


def test_what_an_incident_left_in_cycles_goes_when_it_is_settled() -> None:
    """The collector alone would wait until there is a quarter as much of it as of all that lives: 1.5 MB."""
    errands, told = Told(), list[str]()
    gc.disable()
    try:
        left = weakref.ref(Kept())
        assert left() is not None
        _both(told.append, errands)("one")  # type: ignore[arg-type]  # all that is asked of errands
    finally:
        gc.enable()
    assert (left(), told, errands.count) == (None, ["one"], 1)
