"""Carrying a service plan out: files written whole, steps in order; doing it twice does no harm."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitord.children import system_program
from monitord.errors import MonitordError, PermissionDeniedError
from monitord.service.environment import StartOrGoBack
from monitord.service.plan import ServicePlan
from monitord.service.removal import forget, plan_uninstall
from monitord.service.steps import PlannedFile, Run, Step

_COMMAND_TIMEOUT_S = 120.0
_LOCK = ".monitord-install.lock"


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

    An install that fails leaves the service as it was: none, or the one before. Raises
    PermissionDeniedError or NotFoundError with the fix before anything is changed, MonitordError when a step
    failed, or when another install is under way.
    """
    if (obstacle := next(plan.obstacles(), None)) is not None:
        raise obstacle
    done: list[str] = []
    before = os.umask(0o022) if plan.is_system else None  # what is the machine's is for everybody to read
    try:
        with _alone(plan), _or_as_before(plan, run):
            done += (step.do(run) for step in plan.steps)
    except PermissionError as error:
        raise PermissionDeniedError(f"cannot change {error.filename}: {error.strerror}") from error
    except OSError as error:  # a full or read-only disk
        where = error.filename or "what is to be installed"
        raise MonitordError(f"cannot change {where}: {error.strerror}; mend that and try again") from error
    finally:
        if before is not None:
            os.umask(before)
    return done


@contextlib.contextmanager
def _alone(plan: ServicePlan) -> Iterator[None]:
    """One at a time installs, upgrades or removes this service. The lock is for its owner alone to take."""
    folder = plan.place.unit_path(system=plan.is_system).parent
    if plan.verb == "uninstall" and not folder.is_dir():
        yield
        return
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = folder / _LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _is_taken(descriptor):
            raise MonitordError(
                f"cannot {plan.verb}: another install or uninstall of the service is under way; try later"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    """Whether the lock is ours now; a file that its last owner removed meanwhile locks nothing."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


@contextlib.contextmanager
def _or_as_before(plan: ServicePlan, run: Run) -> Iterator[None]:
    """Take an install back that fails half-way: its unit would be started at the next boot as it is."""
    unit = plan.place.unit_path(system=plan.is_system)
    is_new = not os.path.lexists(unit)
    is_file = not is_new and not unit.is_symlink() and unit.is_file()
    old = PlannedFile(unit, *_held(unit)) if is_file else None
    try:
        yield
    except BaseException:
        if plan.verb != "uninstall" and unit.is_file():
            steps = plan_uninstall(plan.is_system, plan.place).steps if is_new else _back_to(plan, old)
            for step in steps:  # what fails here adds nothing to the error that led here
                with contextlib.suppress(MonitordError, OSError, subprocess.SubprocessError):
                    step.do(run)
        raise


def _held(unit: Path) -> tuple[str, int]:
    """What it holds, whatever bytes somebody put there, and its mode: it may be closed for what it holds."""
    return unit.read_text(encoding="utf-8", errors="surrogateescape"), unit.stat().st_mode & 0o777


def _back_to(plan: ServicePlan, old: PlannedFile | None) -> tuple[Step, ...]:
    """The steps to the unit that was there before, which runs again: an install stops the one before it."""
    if old is None:  # a link of somebody's, which is not followed
        return ()
    starts = [step.start for step in plan.steps if isinstance(step, StartOrGoBack)]
    return (old, *forget(plan.is_system, plan.place), *starts)
