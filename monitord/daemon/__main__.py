"""`python -m monitord.daemon`: what `monitord run` turns itself into, so that no Typer stays in memory."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from concurrent.futures import BrokenExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# Optional parts of what we import, never used in the daemon: structlog loads rich's traceback printer where
# Typer has brought it; hashlib loads OpenSSL, for which it has built-in stand-ins. A module that is None
# can't be imported, and its users do without. 8 MB together with those below (benchmarks/memory.py).
for optional in ("rich", "_hashlib"):
    sys.modules[optional] = None  # type: ignore[assignment]


class Later(ModuleType):
    """A module that is loaded when something of it is asked for that is not `known`."""

    def __init__(self, name: str, **known: object) -> None:
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":
            raise AttributeError(name)  # asked of every module that something is imported from
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


sys.modules["ssl"] = Later("ssl")
# SQLAlchemy, APScheduler and structlog each import asyncio, and ask it these two questions at most: 1.5 MB.
sys.modules["asyncio"] = Later(
    "asyncio", iscoroutine=inspect.iscoroutine, iscoroutinefunction=inspect.iscoroutinefunction
)
# APScheduler could run jobs in processes, importlib.metadata could read from a temporary file: 0.5 MB.
sys.modules["concurrent.futures.process"] = Later(
    "concurrent.futures.process", BrokenProcessPool=type("BrokenProcessPool", (BrokenExecutor,), {})
)
sys.modules["tempfile"] = Later("tempfile")
if sys.platform == "linux":
    sys.modules["psutil"] = Later("psutil")  # where there is /proc nothing of it is wanted: 1 MB

from monitord.errors import MonitordError  # noqa: E402


def main() -> int:
    """Run until told to stop; a refusal is one line and its exit code."""
    parser = argparse.ArgumentParser(prog="monitord run")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    from monitord.daemon.loop import run

    try:
        run(arguments.config, arguments.data_dir)
    except MonitordError as error:
        print(f"monitord: {error}", file=sys.stderr)  # noqa: T201  the one line a refused start owes
        return error.exit_code
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    sys.stderr.flush()
    os._exit(status)  # a thread that hangs in a disk must not hold up the end; what was said is durable
