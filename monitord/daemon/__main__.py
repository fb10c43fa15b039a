"""`python -m monitord.daemon`: what `monitord run` turns itself into, so that no Typer stays in memory."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import traceback
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
        self.__known = tuple(known)

    def settle(self) -> None:
        """What was known answered those who import it, and no one else: from now on all of it is loaded."""
        for name in self.__known:
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":
            raise AttributeError(name)  # asked of every module that something is imported from
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def later(name: str, **known: object) -> Later:
    """Put one where importers look."""
    module = Later(name, **known)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(import_module(parent), child, module)
    return module


later("ssl")
# SQLAlchemy, APScheduler and structlog each import asyncio, and ask it these two questions at most: 1.5 MB.
later("asyncio", iscoroutine=inspect.iscoroutine, iscoroutinefunction=inspect.iscoroutinefunction)
# APScheduler could run jobs in processes, and much could write a temporary file: 0.5 MB.
later("concurrent.futures.process", BrokenProcessPool=type("BrokenProcessPool", (BrokenExecutor,), {}))
later("tempfile")


def _version(distribution: str) -> str:
    raise ModuleNotFoundError(distribution)


# APScheduler asks for its own version and for the names of triggers, SQLAlchemy for dialects that it does not
# know. That would load what reads e-mail headers and zip files: 1.5 MB.
METADATA = later(
    "importlib.metadata",
    version=_version,
    entry_points=lambda **_of: (),
    PackageNotFoundError=ModuleNotFoundError,
)
if sys.platform == "linux":
    later("psutil")  # where there is /proc nothing of it is wanted: 1 MB

from monitord.errors import MonitordError, PermissionDeniedError  # noqa: E402
from monitord.logs import QueuedStream, hold_standard_streams  # noqa: E402
from monitord.ownership import how_to_install_for_all, is_privileged, why_code_untrusted  # noqa: E402
from monitord.recorder.notify import Notifier  # noqa: E402

_FAREWELL_S = 0.5  # for what was said and nobody has read


def main() -> int:
    """Run until told to stop; a refusal is one line and its exit code."""
    hold_standard_streams()
    log = QueuedStream(sys.stderr.fileno())
    try:
        return _run(log)
    except MonitordError as error:
        log.write(f"monitord: {error}\n")
        Notifier().status(f"refused: {error}")  # `systemctl status` shows it
        return error.exit_code
    except (OSError, MemoryError) as error:
        log.write(f"monitord: cannot record: {type(error).__name__}: {error}\n")
        return 1
    except Exception:  # noqa: BLE001  a bug: its traceback, but not through a stream that may hang
        log.write(traceback.format_exc())
        return 1
    finally:
        log.close(_FAREWELL_S)


def require_trusted_code() -> None:
    """Refuse to record with the rights of root, or of a service, from files that others can change."""
    reason = why_code_untrusted() if is_privileged() else None
    if reason is not None:
        raise PermissionDeniedError(
            f"monitord does not run with rights of root from files that others can change: {reason};"
            f" run it as an ordinary user, or install it for all: {how_to_install_for_all()}"
        )


def _run(log: QueuedStream) -> int:
    parser = argparse.ArgumentParser(prog="monitord run")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    from monitord.daemon.loop import run

    METADATA.settle()
    config, data_dir = arguments.config, arguments.data_dir.absolute()
    config = config.absolute() if config is not None else None
    os.chdir("/")  # started in anybody's folder, it has none
    os.umask(0o077)
    require_trusted_code()
    run(config, data_dir, log)
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    os._exit(status)  # a thread that hangs in a disk must not hold up the end; what was said is durable
