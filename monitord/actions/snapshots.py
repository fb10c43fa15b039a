"""A snapshot of what the machine ran lately: the recorder that runs is asked, and its incident waited for."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from monitord.actions.reloading import is_ours
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError, UnreachableError, UsageError
from monitord.model import SnapshotRequest
from monitord.recorder.requesting import ask_snapshot
from monitord.recorder.requests import LONGEST_S, SHORTEST_S
from monitord.recorder.status import nobody_records, read_status
from monitord.storage.ids import new_correlation_id
from monitord.storage.views import IncidentView

_POLL_S = 0.1
_PATIENCE_S = 60.0
_LONGEST_PATTERN = 256
_NOT_OURS = "cannot take a snapshot: the recorder of {folder} is another user's; try sudo"


@dataclass(frozen=True, slots=True)
class SnapshotWish:
    """Of one process with its descendants, of those with a name like `process`, or of everybody."""

    since_s: float = 60.0
    pid: int | None = None
    process: str | None = None


def take_snapshot(
    workspace: Workspace, wish: SnapshotWish, goes_on: Callable[[], bool] = lambda: True
) -> IncidentView:
    """Ask the recorder for the last seconds of the machine, and give the incident that it made of them.

    `goes_on` is asked ten times a second. Raises UsageError for a wrong wish, NotFoundError when nobody
    records here, PermissionDeniedError when the recorder is somebody else's, MonitordError with its own
    reason when there is nothing to show, UnreachableError when it does not answer.
    """
    _check(wish)
    _require_recorder(workspace)
    _require_process(wish.pid)
    correlation_id = new_correlation_id()
    request = SnapshotRequest(correlation_id, wish.since_s, getpass.getuser(), wish.pid, wish.process)
    deadline_s = time.monotonic() + _PATIENCE_S
    try:
        ask_snapshot(workspace.data_dir, request, _PATIENCE_S, goes_on)
    except UnreachableError as error:
        raise UnreachableError(
            f"cannot take a snapshot: asked the recorder: {error}; see `monitord status` and `monitord logs`"
        ) from error
    except PermissionDeniedError as error:
        raise PermissionDeniedError(_NOT_OURS.format(folder=workspace.data_dir)) from error
    except MonitordError as error:
        raise MonitordError(f"cannot take a snapshot: {error}; see `monitord doctor`") from error
    return _wait(workspace, correlation_id, deadline_s, goes_on)


def _check(wish: SnapshotWish) -> None:
    if not SHORTEST_S <= wish.since_s <= LONGEST_S:
        raise UsageError(
            f"invalid period {wish.since_s:g} s, expected {SHORTEST_S:g} s to {LONGEST_S:g} s:"
            " the black box keeps no more"
        )
    if wish.pid is not None and wish.process is not None:
        raise UsageError("invalid call: both a pid and a name of processes, expected one of them")
    if wish.process is not None and not 0 < len(wish.process) <= _LONGEST_PATTERN:
        raise UsageError(f"invalid process name, expected 1 to {_LONGEST_PATTERN} characters")


def _require_recorder(workspace: Workspace) -> None:
    status = read_status(workspace.data_dir)
    if status is None or not status["is_running"]:
        raise NotFoundError(f"cannot take a snapshot: {nobody_records()}")
    if os.geteuid() and not is_ours(workspace.data_dir):
        raise PermissionDeniedError(_NOT_OURS.format(folder=workspace.data_dir))


def _require_process(pid: int | None) -> None:
    from monitord.sampling import key_of

    if pid is not None and key_of(pid) is None:
        raise NotFoundError(
            f"cannot find process {pid}; of one that is gone: `monitord snapshot --process NAME`"
        )


def _wait(
    workspace: Workspace, correlation_id: str, deadline_s: float, goes_on: Callable[[], bool]
) -> IncidentView:
    """Give the incident when it is stored; the store is opened anew each time, for it may be exchanged."""
    while time.monotonic() < deadline_s and goes_on():
        with workspace.reader() as reader, suppress(NotFoundError):
            return reader.incident(correlation_id)
        time.sleep(_POLL_S)
    raise UnreachableError(
        "cannot take a snapshot: the recorder did not store it; see `monitord status` and `monitord logs`"
    )
