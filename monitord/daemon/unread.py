"""What is loaded and hardly ever read: 2 MB of docstrings, 1 MB of annotations, overloads and reprs."""

from __future__ import annotations

import gc
import opcode
import reprlib
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType, FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READS_CONSTANTS, _EXTENDED = frozenset(opcode.hasconst), opcode.EXTENDED_ARG
_STORES_NAME = opcode.opmap["STORE_NAME"]
_OF_FUNCTION = 2  # CO_NEWLOCALS
_NEED_THEIRS = ("sqlalchemy.orm", "sqlalchemy.ext")  # they assert that there are some; we load neither


class _Loader(SourceFileLoader):
    """Loads modules without their docstrings, whose room the next module uses. (After loading they would
    leave holes.)
    """

    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        return code if code is None or fullname.startswith(_NEED_THEIRS) else without_docstrings(code)


def load_without_docstrings() -> None:
    """From now on modules have no docstrings, nor have their classes and functions."""
    source, compiled = (_Loader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)
    hook = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), source, compiled)
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def without_docstrings(code: CodeType) -> CodeType:
    """The same code, with None where its docstring stood and those of all that is defined in it."""
    constants = [without_docstrings(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    place = _place_of_docstring(code)
    if place is not None:
        constants[place] = None
    elif all(one is other for one, other in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=tuple(constants))


def _place_of_docstring(code: CodeType) -> int | None:
    """Return its place among the constants; None without one, or where the code works with the same value.

    A function's is its first constant and nothing reads it; modules and classes store it as `__doc__`.
    """
    if code.co_flags & _OF_FUNCTION:
        place, readers = 0, 0
    else:
        stored = _stored_docstring(code)
        if stored is None:
            return None
        place, readers = stored, 1
    is_text = bool(code.co_consts) and type(code.co_consts[place]) is str
    return place if is_text and _constants_read(code).count(place) == readers else None


def _stored_docstring(code: CodeType) -> int | None:
    """The number of the constant that goes into `__doc__`, which is at the beginning."""
    if "__doc__" not in code.co_names:
        return None
    name, words = code.co_names.index("__doc__"), code.co_code
    for at in range(2, min(len(words), 60), 2):
        is_stored = words[at] == _STORES_NAME and words[at + 1] == name
        if is_stored and words[at - 2] in _READS_CONSTANTS and (at == 2 or words[at - 4] != _EXTENDED):
            return words[at - 1]
    return None


def _constants_read(code: CodeType) -> list[int]:
    """The numbers of those constants that its instructions read, up to 255."""
    words = code.co_code
    return [
        words[at + 1]
        for at in range(0, len(words), 2)
        if words[at] in _READS_CONSTANTS and (at == 0 or words[at - 2] != _EXTENDED)
    ]


def drop_unread() -> None:
    """Take the annotations from functions written in Python, what overloads left, and dataclasses' reprs.

    Annotations of classes stay: dataclasses and settings are made of them.
    """
    import typing  # loaded by others, after us: else it would keep its docstrings

    typing.clear_overloads()
    for found in gc.get_objects():
        if type(found) is FunctionType:
            del found.__annotations__
        elif type(found) is type and _has_made_repr(found):
            found.__repr__ = _show  # type: ignore[method-assign,assignment]


def _has_made_repr(kind: type) -> bool:
    """Whether dataclasses made it: a wrapper around what has no file."""
    made = getattr(kind.__dict__.get("__repr__"), "__wrapped__", None)
    is_made = type(made) is FunctionType and made.__code__.co_filename == "<string>"
    return is_made and "__dataclass_fields__" in kind.__dict__


@reprlib.recursive_repr()
def _show(self: Any) -> str:
    """What dataclasses' own gives, of which each class has a copy: 0.4 MB.

    A class without one has its base's, which knows the base's fields.
    """
    from dataclasses import fields  # loaded by others, too

    owner = next(kind for kind in type(self).__mro__ if kind.__dict__.get("__repr__") is _show)
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(owner) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"
