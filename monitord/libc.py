"""Functions of libc that give a long, by the C module of ctypes alone: the recorder carries no more of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

_RTLD_NOW = 2


@cache
def long_function(name: str) -> Callable[..., int]:
    """The function of this name; see `last_error` for its errno. Raises OSError where libc has none."""
    import _ctypes

    simple: Any = _ctypes._SimpleCData
    function: Any = _ctypes.CFuncPtr
    long = type("Long", (simple,), {"_type_": "l"})
    flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    call = type("Call", (function,), {"_flags_": flags, "_restype_": long})
    place = _ctypes.dlsym(_ctypes.dlopen(None, _RTLD_NOW), name)  # type: ignore[arg-type]  # None: ourselves
    made: Callable[..., int] = call(place)
    return made


def last_error() -> int:
    """The errno that the last such call of this thread left."""
    import _ctypes

    return _ctypes.get_errno()
