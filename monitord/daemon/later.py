"""Modules that wait to be wanted: a stand-in answers those who import one and never use it.

Imported before all else in the daemon (docs/decisions/0021). What a stand-in saves stands beside it.
"""

from __future__ import annotations

import sys
from _thread import RLock
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from monitord.daemon.unread import load_without_docstrings

load_without_docstrings()  # before all else, too

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Optional parts of what we import, never used in the daemon: structlog loads rich's traceback printer where
# Typer has brought it; hashlib loads OpenSSL, for which it has built-in stand-ins. A module that is None
# can't be imported, and its users do without. 8 MB together with those below (benchmarks/memory.py).
for optional in ("rich", "_hashlib"):
    sys.modules.setdefault(optional, None)  # type: ignore[arg-type]

WAITING: list[str] = []
"""The names of all stand-ins."""


_WANTING = RLock()
_ASKED_OF_ITSELF = frozenset({"__all__", "__version__"})


class Later(ModuleType):
    """A module that is loaded when something of it is asked for that is not `known`.

    Questions that are asked of every module (`__file__`, `__path__`, `__wrapped__`) load nothing.
    """

    def __init__(self, name: str, **known: object) -> None:
        super().__init__(name)
        for unset in ("__spec__", "__loader__", "__package__", "__doc__"):
            del self.__dict__[unset]
        self.__dict__.update(known)
        self.__known = tuple(known)
        self.__found: ModuleSpec | None = None

    def settle(self) -> None:
        """What was known answered those who import it, and no one else: from now on all of it is loaded."""
        for name in self.__known:
            self.__dict__.pop(name, None)

    def load(self) -> ModuleType:
        """The real module. The import system has its own locks for threads that load the same one."""
        with _WANTING:
            if sys.modules.get(self.__name__) is self:
                sys.modules.pop(self.__name__, None)
        return import_module(self.__name__)

    def __getattr__(self, name: str) -> Any:
        is_question = name[:2] == name[-2:] == "__" and name not in _ASKED_OF_ITSELF
        if is_question and sys.modules.get(self.__name__) is self:
            return self.__answer(name)
        return getattr(self.load(), name)

    def __answer(self, question: str) -> Any:
        """What the place of its file tells; AttributeError for all else."""
        found = self.__found = self.__found or self.__find()
        if found is not None and question == "__spec__":
            return found
        if found is not None and question == "__file__" and found.origin:
            return found.origin
        if found is not None and question == "__path__" and found.submodule_search_locations is not None:
            return found.submodule_search_locations
        raise AttributeError(question)

    def __find(self) -> ModuleSpec | None:
        parent = self.__name__.rpartition(".")[0]
        if not parent:
            return PathFinder.find_spec(self.__name__)
        above = sys.modules.get(parent)
        return None if above is None else PathFinder.find_spec(self.__name__, above.__path__)


class _Loaded:
    """A loader for what is loaded already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _ParentFirst:
    """Loads the package that a stand-in waits for before the first of its submodules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        parent = sys.modules.get(name.rpartition(".")[0])
        if not isinstance(parent, Later):
            return None
        parent.load()
        module = import_module(name)  # its parent may have done so: twice would be two modules
        loader: Any = _Loaded(module)
        module.__spec__ = ModuleSpec(name, loader, origin=module.__file__)
        return module.__spec__


sys.meta_path.insert(0, _ParentFirst)


def later(name: str, **known: object) -> None:
    """Put one where importers look, unless the module is loaded already."""
    if name in sys.modules:
        return
    module = Later(name, **known)
    sys.modules[name] = module
    WAITING.append(name)
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def settle() -> None:
    """All is imported: from now on what is asked of a module that waits comes from the module."""
    for name in WAITING:
        module = sys.modules[name]
        if isinstance(module, Later):
            module.settle()


class _NodeVisitor:
    """In place of ast's: inspect derives a class from it that finds the source of a class."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("ast").NodeVisitor, name).__get__(self)


# First those that the standard library imports for what it rarely does: read source (ast and tokenize,
# 0.5 MB), tell hosts in URLs from addresses (0.3 MB), unpack archives (0.5 MB with their libraries).
later("ast", NodeVisitor=_NodeVisitor)
for rarely_used in ("tokenize", "ipaddress", "bz2", "lzma", "ssl", "tempfile"):
    later(rarely_used)

import dataclasses  # noqa: E402
import inspect  # noqa: E402
import logging  # noqa: E402
import pathlib  # noqa: E402
from concurrent.futures import BrokenExecutor  # noqa: E402


class _InspectOfDataclasses(ModuleType):
    """inspect, but a class without a docstring does not get its signature as one: 0.1 MB."""

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    @staticmethod
    def signature(*_of: object, **_how: object) -> str:
        return ""


dataclasses.inspect = _InspectOfDataclasses("inspect")  # type: ignore[attr-defined]


class _SysOfPathlib(ModuleType):
    """sys, but the parts of a path are not made names of the interpreter.

    Names that come and go fill its table, which then doubles, for good: 1 MB after some 80 captures.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    @staticmethod
    def intern(part: str) -> str:
        return part


pathlib.sys = _SysOfPathlib("sys")  # type: ignore[attr-defined]

# SQLAlchemy, APScheduler and structlog each import asyncio, and ask it these two questions at most: 1.5 MB.
later("asyncio", iscoroutine=inspect.iscoroutine, iscoroutinefunction=inspect.iscoroutinefunction)
# APScheduler could run jobs in processes: 0.5 MB, and as much that any log record would load.
later("concurrent.futures.process", BrokenProcessPool=type("BrokenProcessPool", (BrokenExecutor,), {}))
later("multiprocessing")
logging.logMultiprocessing = False
# structlog and SQLAlchemy could pickle: 0.4 MB.
later("pickle", PicklingError=type("PicklingError", (Exception,), {}), HIGHEST_PROTOCOL=5)


def _version(distribution: str) -> str:
    raise ModuleNotFoundError(distribution)


# APScheduler asks for its own version and for the names of triggers, SQLAlchemy for dialects that it does not
# know. That would load what reads e-mail headers and zip files: 1.5 MB.
later(
    "importlib.metadata",
    version=_version,
    entry_points=lambda **_of: (),
    PackageNotFoundError=ModuleNotFoundError,
)
# Parts of packages that import all they have: what reads schemas and other formats, asyncio's and SQLCipher's
# drivers, names of time zones on Windows: 0.5 MB.
for unused_part in (
    *("msgspec.inspect", "msgspec.json", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml"),
    *("sqlalchemy.dialects.sqlite.aiosqlite", "sqlalchemy.dialects.sqlite.pysqlcipher"),
    "tzlocal.windows_tz",
):
    later(unused_part)
if sys.platform == "linux":
    later("psutil")  # where there is /proc nothing of it is wanted: 1 MB
