"""Names for evidence from before an alert: addresses in a document of the black box become functions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from monitord import rights
from monitord.capture.target import Target, TargetError
from monitord.capture.tool_runner import Outcome, Rights, Runner, ToolRun
from monitord.capture.workplace import put, remove, take
from monitord.children import own_command, own_environment
from monitord.logs import get_logger
from monitord.model import Capture

_RAW, _NAMED, _FILES = "ring.raw", "ring.json", "ring.files"
_NAMES = "monitord.capture.ring_names"
_LIMIT_S = 10.0
_CAP_BYTES = 32 * 1024 * 1024
_MEMORY_CAP_BYTES = 1024 * 1024 * 1024
# What is read for a target is what its own user may read; of one that has ended, what everybody may.
_OF_TARGET = Rights((rights.CAP_SYSLOG,), user="target")
_OF_NOBODY = Rights((rights.CAP_SYSLOG,))


class RingNames:
    """Names what the box gave, in children. For one thread; `stop` is for any."""

    def __init__(self) -> None:
        self._runner = Runner()

    def stop(self) -> None:
        """End the child that runs now; what it was to name is kept without names."""
        self._runner.stop()

    def put_in(self, taken: Capture, folder: Path) -> Capture:
        """The capture with names in its payload; native frames without names say in the notes why."""
        folder = folder.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._runner.begin()
        with contextlib.ExitStack() as opened:
            target = _living(taken, opened)
            try:
                put(folder / _RAW, taken.payload or b"")
                problem, notes = _name(self._runner, folder, target)
                told = replace(taken, notes={**taken.notes, **notes})
                return _named(told, folder) if problem is None else _unnamed(taken, problem)
            except OSError as error:
                return _unnamed(taken, f"{type(error).__name__}: {error}")
            finally:
                self._runner.end()
                for name in (_RAW, _NAMED, _FILES):
                    remove(folder / name)


def _living(taken: Capture, opened: contextlib.ExitStack) -> Target | None:
    try:
        return opened.enter_context(Target(taken.target))
    except TargetError:
        return None


def _name(runner: Runner, folder: Path, target: Target | None) -> tuple[str | None, Mapping[str, str]]:
    """Have a child write the named document; why that could not be done, and what to know of its names."""
    from monitord.capture import perf_maps  # an alert's worth of code

    notes: Mapping[str, str] = {}
    with _code_of(target) as files:
        put(folder / _FILES, json.dumps(dict(files)).encode("ascii"))
        if target is not None:
            notes = _have_names_written(target)
            perf_maps.take_over(target, folder)
        try:
            outcome = runner.run(_tool_run(folder, target, tuple(files.values())), target)
        finally:
            remove(folder / perf_maps.COPY)
    return _problem(outcome), notes


def _have_names_written(target: Target) -> Mapping[str, str]:
    """Ask a Java program for the names of its compiled code; without them it is `[unknown]`."""
    from monitord.capture import java  # an alert's worth of code

    if not java.is_java(target):
        return {}
    if why_not := java.ask_for_names(target):
        get_logger().info("before.java_names", pid=target.key.pid, reason=why_not)
        return {}
    return {"java": java.OF_NOW}


@contextlib.contextmanager
def _code_of(target: Target | None) -> Iterator[Mapping[str, int]]:
    if target is None:
        yield {}
        return
    from monitord.symbols.opening import opened_code  # an alert's worth of code

    with opened_code(target) as files:
        yield files


def _tool_run(folder: Path, target: Target | None, descriptors: tuple[int, ...]) -> ToolRun:
    return ToolRun(
        own_command(_NAMES, _RAW, _NAMED, _FILES, keeps_bytecode=False),
        folder,
        limit_s=_LIMIT_S,
        grace_periods_s=(0.2, 0.2),
        watch_target=False,
        environment=own_environment(),
        file_cap_bytes=_CAP_BYTES,
        memory_cap_bytes=_MEMORY_CAP_BYTES,
        rights=_OF_TARGET if target is not None else _OF_NOBODY,
        descriptors=descriptors,
    )


def _problem(outcome: Outcome) -> str | None:
    if outcome.ended == "exited" and outcome.exit_status == 0:
        return None
    words = outcome.stderr.decode(errors="replace").strip().splitlines()
    return (words[-1] if words else outcome.failure or f"{outcome.ended}, status {outcome.exit_status}")[:300]


def _named(taken: Capture, folder: Path) -> Capture:
    with take(folder / _NAMED) as file:
        return replace(taken, payload=file.read(_CAP_BYTES))


def _unnamed(taken: Capture, reason: str) -> Capture:
    """With what is known without any file: the stacks of Python, and where native code lies."""
    from monitord.capture.ring_names import without_files  # a failure's worth of code

    notes = {**taken.notes, "unnamed": f"native functions have no names: {reason}"}
    return replace(taken, payload=without_files(taken.payload or b""), notes=notes)
