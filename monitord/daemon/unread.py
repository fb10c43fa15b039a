"""What is loaded and never read, let go: 2 MB of docstrings, 0.8 MB of annotations and overloads."""

from __future__ import annotations

import gc
import opcode
import sys
import typing
from types import CodeType, FunctionType, ModuleType

_READS_CONSTANTS, _EXTENDED = frozenset(opcode.hasconst), opcode.EXTENDED_ARG


def drop_unread() -> None:
    """Take docstrings from modules, classes and functions written in Python, and functions' annotations.

    Annotations of classes stay: dataclasses and settings are made of them.
    """
    typing.clear_overloads()
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and module.__dict__.get("__doc__"):
            module.__doc__ = None
    for found in gc.get_objects():
        kind = type(found)
        if kind is FunctionType:
            _drop_from(found)
            del found.__annotations__
        elif issubclass(kind, type) and type.__getattribute__(found, "__dict__").get("__doc__"):
            try:
                found.__doc__ = None
            except (AttributeError, TypeError):
                continue  # written in C, or with its own idea of what may be set


def _drop_from(function: FunctionType) -> None:
    code = function.__code__
    is_first = bool(function.__doc__ and code.co_consts) and code.co_consts[0] is function.__doc__
    if is_first and not _reads_first_constant(code):
        function.__code__ = code.replace(co_consts=(None, *code.co_consts[1:]))
        function.__doc__ = None


def _reads_first_constant(code: CodeType) -> bool:
    """Whether its docstring is one of the values it works with, too: equal constants are one."""
    words = code.co_code
    return any(
        words[at] in _READS_CONSTANTS and words[at + 1] == 0 and (at == 0 or words[at - 2] != _EXTENDED)
        for at in range(0, len(words), 2)
    )
