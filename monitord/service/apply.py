"""Carrying a service plan out: files written whole, steps in order; doing it twice does no harm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from monitord.children import system_program
from monitord.errors import MonitordError, PermissionDeniedError
from monitord.service.plan import ServicePlan
from monitord.service.steps import Run

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
    a step failed.
    """
    if (obstacle := next(plan.obstacles(), None)) is not None:
        raise obstacle
    done: list[str] = []
    before = os.umask(0o022) if plan.is_system else None  # what is the machine's is for everybody to read
    try:
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
