"""Where the runtime of CPython lies in a process: told by what is mapped, wherever its files are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from monitord import procfs
from monitord.procfs.maps import Mapping, mappings
from monitord.procfs.memory import Memory
from monitord.stacks.cpython.refusals import NotPythonError, UnknownLayoutError, UnreadableError
from monitord.symbols.cpython_layouts import PUBLISHED_BYTES, Layout, UnknownPythonError, layout_of
from monitord.symbols.elf import BROKEN, LOAD, sections_of, segments_of
from monitord.symbols.loaded import defined_in
from monitord.symbols.tables import places_of

_MAPS_CAP_BYTES, _MAPS_LIMIT_S = 1024 * 1024, 1.0
_MODULES_CAP = 512
_RUNTIME, _VERSION, _OLD = "_PyRuntime", "Py_Version", "Py_Initialize"
_SECTION = ".PyRuntime"  # from 3.13 on; sections have their names cut to 64 letters


def runtime_of(memory: Memory) -> tuple[int, Layout]:
    """The address of _PyRuntime and the layout of what it leads to.

    Raises NotPythonError, UnknownLayoutError; UnreadableError while it is not initialised, and OSError.
    """
    modules = _modules(memory.pid)
    waits = is_old = False
    for names in _offered(memory, modules):
        if _RUNTIME not in names:
            is_old = is_old or _OLD in names
            continue
        head = memory.read_many(((names[_RUNTIME], PUBLISHED_BYTES),))[0]
        try:
            layout = layout_of(head or b"", _version(memory, names.get(_VERSION)))
        except UnknownPythonError as error:
            raise UnknownLayoutError(str(error)) from error
        if memory.word(names[_RUNTIME] + layout.interpreters):
            return names[_RUNTIME], layout
        waits = True
    if waits:
        raise UnreadableError("the interpreter is not initialised yet")
    if is_old:
        raise UnknownLayoutError("a Python before 3.7")
    raise NotPythonError("it has loaded no CPython")


def _offered(memory: Memory, modules: list[Mapping]) -> Iterator[dict[str, int]]:
    """What each module offers of the names wanted; at last what only the file of the program tells."""
    is_found = False
    for module in modules:
        names = defined_in(memory, module.begin, (_RUNTIME, _VERSION, _OLD))
        is_found = is_found or _RUNTIME in names
        if names:
            yield names
    if not is_found and modules:
        yield _in_program(memory.pid, modules)


def _modules(pid: int) -> list[Mapping]:
    """Everything mapped from its first byte on, in the order in which it was most likely loaded.

    The program lies lowest, libraries each below those before it: Python's own is asked before hundreds that
    were imported.
    """
    raw = procfs.read_within(procfs.path(pid, "maps"), _MAPS_LIMIT_S, _MAPS_CAP_BYTES)
    if raw is None:
        raise UnreadableError("its mappings can't be read")
    found: dict[tuple[int, int], Mapping] = {}
    for mapping in mappings(raw[: raw.rfind(b"\n") + 1]):
        if mapping.offset == 0 and len(found) < _MODULES_CAP:
            found.setdefault((mapping.device, mapping.inode), mapping)
    modules = list(found.values())
    return modules[:1] + modules[:0:-1]


def _in_program(pid: int, modules: list[Mapping]) -> dict[str, int]:
    """By the sections of the file that was executed: of a program that offers no names to libraries.

    The kernel's own link leads to it, wherever it is and whether or not it still has a name.
    """
    try:
        file = os.open(procfs.path(pid, "exe"), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        found = os.fstat(file)
        begin = next((one.begin for one in modules if one.inode == found.st_ino), None)
        if begin is None or not stat.S_ISREG(found.st_mode):
            return {}
        first = next(one for one in segments_of(file) if one.kind == LOAD)
        sections = sections_of(file)
        places = places_of(file, sections, (_RUNTIME, _VERSION))
        if section := next((one for one in sections if one.name == _SECTION), None):
            places[_RUNTIME] = section.address
        return {name: begin - (first.address - first.offset) + at for name, at in places.items()}
    except (*BROKEN, StopIteration):
        return {}
    finally:
        os.close(file)


def _version(memory: Memory, address: int | None) -> int | None:
    """PY_VERSION_HEX, from 3.11 on."""
    return memory.word(address) if address else None
