"""What an incident was about, profiled again: the same process, or the next one like it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from monitord.actions.capturing import CaptureRequest, GoesOn, capture_now
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, UsageError
from monitord.model import Incident, ProcessDetails, ProcessKey, ProfileRecord
from monitord.redaction.naming import display_name, kinship
from monitord.storage.ids import short_id

_LOOK_EVERY_S = 0.5
_YOUNG_S = 2.0
Waits = Callable[[float], bool]
"""Waits so many seconds; False: the caller has waited enough."""


@dataclass(frozen=True, slots=True)
class Again:
    """Which process is profiled again. `is_same`: it is the very process of the incident."""

    target: ProcessKey
    is_same: bool


def capture_again(
    workspace: Workspace, name: str, request: CaptureRequest, goes_on: GoesOn, waits: Waits
) -> Incident:
    """Profile what an incident was about, if it still runs, else the next process like it, and store that.

    `waits` is asked between looks for such a process; where it says no, NotFoundError tells that none ran.
    Raises UsageError for an incident of the whole machine, and as `capture_now` does.
    """
    with workspace.reader() as reader:
        view = reader.incident(reader.find(name).correlation_id)
    record, own_name = view.record, short_id(view.correlation_id)
    if not record.pid:
        raise UsageError(
            f"cannot capture {own_name} again: it is about the whole machine; try `monitord snapshot`"
        )
    alike = SameProgram(record, view.process)
    found = find_again(record, view.boot_id, alike)
    who = display_name(record.process_name, record.command_line)
    if found is None:
        workspace.tell(f"{who} (pid {record.pid}) does not run; waiting for the next process like it")
        found = _next_one(alike, waits)
    if found is None:
        raise NotFoundError(
            f"cannot capture {own_name} again: no process like {who} runs as its user; `ps -e` lists them"
        )
    if not found.is_same:
        workspace.tell(
            f"pid {record.pid} is gone or runs another program; pid {found.target.pid} is a process like it"
        )
    wanted = replace(request, again_for=own_name, started_ticks=found.target.start_ticks)
    return capture_now(workspace, found.target.pid, wanted, goes_on)


class SameProgram:
    """Finds processes of an incident's program: of one name, and an interpreter's with the same script.

    Where `process` says whose the incident's was, another user's is not like it: anybody can give a process a
    name.
    """

    def __init__(self, record: ProfileRecord, process: ProcessDetails | None = None) -> None:
        self._own = kinship(record.process_name, record.command_line)
        self._uid = process.uid if process else None
        self._executable = _program(process)
        self._settled: set[ProcessKey] = set()

    def running(self) -> list[ProcessKey]:
        """Return those that run, what started first at the beginning; each process is judged once.

        Of a young one that may still become another program it is judged again the next time.
        """
        from monitord.sampling.details import details

        found = []
        keys = set(_keys()) - {_own_key()}
        for key in keys - self._settled:
            process = details(key)
            if process is None:
                continue
            if self._is_like(process):
                found.append(key)
            elif (datetime.now(UTC) - process.started_at).total_seconds() > _YOUNG_S:
                self._settled.add(key)
        self._settled &= keys
        return sorted(found, key=lambda one: one.start_ticks)

    def still_runs_in(self, key: ProcessKey) -> bool:
        """Whether the incident's process has not become another program since: new name and new executable.

        A name alone says nothing: many rename themselves.
        """
        from monitord.sampling.details import details

        process = details(key)
        if process is None or self._is_like(process):
            return process is not None
        now = _program(process)
        return now is None or self._executable in (None, now)

    def _is_like(self, process: ProcessDetails) -> bool:
        is_of_its_user = self._uid is None or process.uid in (None, self._uid)
        return is_of_its_user and kinship(process.name, process.command_line) == self._own


def _program(process: ProcessDetails | None) -> str | None:
    """Its executable, whether or not an update has replaced it meanwhile."""
    executable = process.executable if process else None
    return executable.removesuffix(" (deleted)") if executable else None


def find_again(record: ProfileRecord, boot_id: str | None, alike: SameProgram) -> Again | None:
    """Return the process of an incident while it runs, else the one like it that started last."""
    from monitord import procfs
    from monitord.sampling import key_of

    key = key_of(record.pid)
    is_of_this_boot = boot_id is None or boot_id == procfs.boot_id()
    is_same = key is not None and is_of_this_boot and key.start_ticks == record.started_ticks
    if key is not None and is_same and alike.still_runs_in(key):
        return Again(key, is_same=True)
    running = alike.running()
    return Again(running[-1], is_same=False) if running else None


def _next_one(alike: SameProgram, waits: Waits) -> Again | None:
    while waits(_LOOK_EVERY_S):
        for key in alike.running():
            return Again(key, is_same=False)
    return None


def _keys() -> Iterator[ProcessKey]:
    from monitord.sampling import key_of

    yield from filter(None, map(key_of, _pids()))


def _pids() -> list[int]:
    if sys.platform == "linux":
        from monitord import procfs

        return procfs.pids()
    import psutil

    return list(psutil.pids())


def _own_key() -> ProcessKey | None:
    from monitord.sampling import key_of

    return key_of(os.getpid())
