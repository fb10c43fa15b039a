"""Carrying a service plan out: files written whole, commands in order, twice is as good as once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from monitord.children import system_program
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError
from monitord.service.plan import Command, PlannedFile, ServicePlan

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]

_DATA_MARKS = ("monitord.db", "artefacts")
_COMMAND_TIMEOUT_S = 120.0


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = system_program(argv[0])
    if program is None:
        raise FileNotFoundError(argv[0])
    return subprocess.run(
        [program, *argv[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_TIMEOUT_S,
        cwd="/",
    )


def apply(plan: ServicePlan, *, run: Run = _run) -> list[str]:
    """Do what the plan says and tell each step in one line; stops at the first step that fails.

    Raises PermissionDeniedError or NotFoundError with the fix before anything is changed, MonitordError when
    a command failed.
    """
    if (obstacle := next(plan.obstacles(), None)) is not None:
        raise obstacle
    done: list[str] = []
    try:
        done += [_execute(command, run) for command in plan.before]
        for folder in plan.folders:
            _make_folder(folder, is_roots=plan.is_system)
        done += [_write(file) for file in plan.files]
        done += [_remove(path) for path in plan.remove]
        if plan.purge:
            done.append(_purge(plan.purge))
        done += [_execute(command, run) for command in plan.commands]
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot change {error.filename}: {error.strerror}") from error
    return done


def _execute(command: Command, run: Run) -> str:
    try:
        result = run(command.argv)
    except FileNotFoundError as error:
        raise NotFoundError(f"cannot find {command.argv[0]}; start `monitord run` yourself") from error
    except subprocess.TimeoutExpired as error:
        raise MonitordError(
            f"cannot wait for `{command}` any longer: it did not end within {error.timeout:.0f} s"
        ) from error
    if result.returncode == 0:
        return f"ran {command}"
    if command.may_fail:
        return f"nothing to do for {command}"
    said = (result.stderr.strip() or result.stdout.strip()).splitlines()
    words = said[0] if said else f"exit status {result.returncode}"
    if "--user" in command.argv and "bus" in words:
        words += "; the user manager is not reachable from here: log in as that user (not by su or sudo)"
    raise MonitordError(f"cannot run `{command}`: {words}")


def _write(file: PlannedFile) -> str:
    """Publish the file in one rename; an identical one is left as it is."""
    if not file.path.is_symlink() and file.path.is_file():
        is_same = file.path.read_text(encoding="utf-8", errors="replace") == file.content
        if is_same and file.path.stat().st_mode & 0o777 == file.mode:
            return f"unchanged {file.path}"
    fresh = file.path.with_name(f".{file.path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), file.mode)
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file.path)
    return f"wrote {file.path}"


def _remove(path: Path) -> str:
    if not path.exists() and not path.is_symlink():
        return f"{path} does not exist; nothing to remove"
    path.unlink()
    return f"removed {path}"


def _make_folder(folder: Path, *, is_roots: bool) -> None:
    """Earlier versions left the configuration's folder to the service's user, who goes with the service."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if is_roots and os.geteuid() == 0 and folder.lstat().st_uid != 0:
        os.chown(folder, 0, 0, follow_symlinks=False)


def _purge(folder: Path) -> str:
    """Remove a data directory, and only what is one: a wrong path must not cost anybody a home."""
    if folder.is_symlink() and folder.resolve() == folder.parent.resolve() / "private" / folder.name:
        done = _purge(folder.resolve())  # of a service with a dynamic user: the link is systemd's
        folder.unlink()
        return done
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise MonitordError(f"cannot remove {folder}: it is a link or not a directory")
    if not folder.exists():
        return f"{folder} does not exist; nothing to remove"
    if any(folder.iterdir()) and not any((folder / mark).exists() for mark in _DATA_MARKS):
        raise MonitordError(f"cannot remove {folder}: it does not hold monitord's data")
    shutil.rmtree(folder)
    return f"removed {folder}"
