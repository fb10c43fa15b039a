"""Stacks of running CPython interpreters, 3.11 to 3.15, read from outside while they run on.

Everything read is the target's word: each length, count and loop is bounded, and a stack that does not hold
together is refused, never repaired.
"""

from __future__ import annotations

from monitord.stacks.cpython.codes import Frame
from monitord.stacks.cpython.interpreter import Interpreter
from monitord.stacks.cpython.refusals import (
    ImpossibleStackError,
    NotPythonError,
    StackError,
    UnknownLayoutError,
    UnreadableError,
)

__all__ = [
    "Interpreter",
    "Frame",
    "StackError",
    "NotPythonError",
    "UnknownLayoutError",
    "UnreadableError",
    "ImpossibleStackError",
]
