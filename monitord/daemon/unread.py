"""What is loaded and hardly ever used: docstrings, what dataclasses make, annotations, full names."""

from __future__ import annotations

import gc
import opcode
import reprlib
import sys
from collections.abc import Callable
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from operator import is_
from types import CodeType, FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READS_CONSTANTS, _EXTENDED = frozenset(opcode.hasconst), opcode.EXTENDED_ARG
_STORES_NAME = opcode.opmap["STORE_NAME"]
_OF_FUNCTION = 2  # CO_NEWLOCALS
_NEED_THEIRS = ("sqlalchemy.orm", "sqlalchemy.ext")  # they assert that there are some; we load neither


class _Loader(SourceFileLoader):
    """Loads modules without their docstrings and without what dataclasses made for each class, whose room the
    next module uses. (After loading they would leave holes.)
    """

    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        return code if code is None or fullname.startswith(_NEED_THEIRS) else without_docstrings(code)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        found = [
            kind for kind in vars(module).values() if "__dataclass_fields__" in getattr(kind, "__dict__", ())
        ]
        for kind in found:
            _share(kind)
        if found:
            gc.collect(1)  # of a class with slots the one without


def load_without_docstrings() -> None:
    """From now on modules, classes and functions have no docstrings, and dataclasses share what they can."""
    source, compiled = (_Loader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)
    hook = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), source, compiled)
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def without_docstrings(code: CodeType) -> CodeType:
    """The same code, with None where its docstring stood and those of all that is defined in it.

    Functions lose the name of what they are defined in, too: tracebacks have the file and the line.
    """
    constants = [without_docstrings(one) if isinstance(one, CodeType) else one for one in code.co_consts]
    place = _place_of_docstring(code)
    if place is not None:
        constants[place] = None
    elif code.co_qualname == code.co_name and all(map(is_, constants, code.co_consts)):
        return code
    return code.replace(co_consts=tuple(constants), co_qualname=code.co_name)


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
    """Take the annotations from functions written in Python, and what overloads left.

    Annotations of classes stay: dataclasses and settings are made of them.
    """
    import typing  # loaded by others, after us: else it would keep its docstrings

    typing.clear_overloads()
    for found in gc.get_objects():
        if type(found) is FunctionType:
            del found.__annotations__


# ------------------------------------------------------------------------------- what dataclasses make


def _share(kind: type) -> None:
    """Put the methods below in place of those that dataclasses made, of which each class has its own."""
    weakref = kind.__dict__.get("__weakref__")
    if weakref is not None and weakref.__objclass__ is not kind:
        # Before 3.11.3 a class with slots has that of the class it was made from, which then stays for ever.
        del kind.__weakref__  # type: ignore[attr-defined]
    for name, shared in _SHARED.items():
        made = kind.__dict__.get(name)
        made = getattr(made, "__wrapped__", made)
        if type(made) is FunctionType and made.__code__.co_filename == "<string>":
            setattr(kind, name, shared)


def _owner(self: Any, name: str) -> type:
    """The class whose method it is: a class without one has its base's, which knows the base's fields."""
    return next(kind for kind in type(self).__mro__ if kind.__dict__.get(name) is _SHARED[name])


@reprlib.recursive_repr()
def _show(self: Any) -> str:
    from dataclasses import fields  # loaded by others, too

    shown = (
        f"{one.name}={getattr(self, one.name)!r}" for one in fields(_owner(self, "__repr__")) if one.repr
    )
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _values_of(owner: type, is_wanted: Callable[[Any], bool]) -> Callable[[Any], tuple[object, ...]]:
    from dataclasses import fields
    from operator import attrgetter

    names = [field.name for field in fields(owner) if is_wanted(field)]
    if len(names) < 2:
        return lambda self: tuple(getattr(self, name) for name in names)
    return attrgetter(*names)


def _equal(self: Any, other: object) -> bool:
    """At its first use the class gets its own: few are ever compared."""
    owner = _owner(self, "__eq__")
    values = _values_of(owner, lambda field: field.compare)

    def equal(self: Any, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    owner.__eq__ = equal  # type: ignore[method-assign,assignment]
    return equal(self, other)


def _hashed(self: Any) -> int:
    """As `_equal`."""
    owner = _owner(self, "__hash__")
    values = _values_of(owner, lambda field: field.compare if field.hash is None else field.hash)

    def hashed(self: Any) -> int:
        return hash(values(self))

    owner.__hash__ = hashed  # type: ignore[method-assign,assignment]
    return hashed(self)


def _set(self: Any, name: str, value: object) -> None:
    _refuse(self, name, "__setattr__", "assign to")
    object.__setattr__(self, name, value)


def _delete(self: Any, name: str) -> None:
    _refuse(self, name, "__delattr__", "delete")
    object.__delattr__(self, name)


def _refuse(self: Any, name: str, method: str, what: str) -> None:
    """A frozen class' fields stay as they are; one that is derived from it may have others."""
    from dataclasses import FrozenInstanceError, fields

    owner = _owner(self, method)
    if type(self) is owner or name in {field.name for field in fields(owner)}:
        raise FrozenInstanceError(f"cannot {what} field {name!r}")


_SHARED: dict[str, Any] = {
    "__repr__": _show,
    "__eq__": _equal,
    "__hash__": _hashed,
    "__setattr__": _set,
    "__delattr__": _delete,
}
