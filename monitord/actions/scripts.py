"""Scripts under Scalene: run and kept if wanted, or standing by for an alert; the kept profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from monitord.actions.confirming import require_confirmation
from monitord.actions.workspace import Workspace
from monitord.model import ProfileRecord
from monitord.scripts.request import Program, ScriptRequest, resolve
from monitord.scripts.run import Run, RunFolders, RunPlan, ScriptRun, Watcher
from monitord.scripts.runner import profile_script, run_script
from monitord.scripts.standby import Standby, find_standby

if TYPE_CHECKING:
    from monitord.scripts.registry import StandbyRegistry
    from monitord.scripts.result import ProfileResult

_READY_WITHIN_S = 30.0


def profile(
    workspace: Workspace, request: ScriptRequest, plan: RunPlan, watcher: Watcher, *, keep: bool
) -> ScriptRun:
    """Run a script to its end under Scalene, and keep its profile as any capture if that is wanted."""
    from monitord.storage import new_correlation_id

    done = profile_script(request, plan, new_correlation_id, watcher)
    return replace(done, result=_kept(workspace, done)) if keep and done.result else done


def _kept(workspace: Workspace, done: ScriptRun) -> ProfileResult:
    from monitord.recorder.from_settings import retention_limits
    from monitord.recorder.retention_store import Saving
    from monitord.scripts.library import ProfileLibrary

    limits = retention_limits(workspace.settings)
    with workspace.store(create=True) as store:
        return ProfileLibrary(workspace.data_dir).keep(done, Saving(store, limits).save)


def kept_profiles(workspace: Workspace, limit: int) -> list[ProfileRecord]:
    """Return the rows of the kept profiles, newest first; none where there is no store."""
    from monitord.scripts.library import ProfileLibrary

    return ProfileLibrary(workspace.data_dir).kept(limit)


def kept_profile(workspace: Workspace, name: str) -> ProfileResult:
    """Return one kept profile; raises NotFoundError."""
    from monitord.scripts.library import ProfileLibrary

    return ProfileLibrary(workspace.data_dir).get(name)


def clear_profiles(workspace: Workspace, max_age_days: float, *, confirmed: bool) -> int:
    """Delete the kept profiles that are older, and return how many went; pinned ones stay."""
    from monitord.scripts.library import ProfileLibrary

    age = ("--older-than", f"{max_age_days:g}") if max_age_days else ()
    require_confirmation(confirmed, "delete kept profiles for good", "profile", "clear", *age)
    records = ProfileLibrary(workspace.data_dir).older_than(max_age_days)
    if records:
        with workspace.store() as store:
            for record in records:
                store.delete_incident(record.correlation_id)
    return len(records)


def stand_by(workspace: Workspace, request: ScriptRequest, count_stops: Callable[[], int]) -> Run:
    """Run a script to its end under Scalene, switched off until an alert of the recorder switches it on.

    `count_stops` says how often its end was asked for. Raises MonitordError when it can't be started or the
    store can't be written.
    """
    from monitord.scripts.registry import StandbyRegistry

    program = resolve(request)
    with workspace.store(create=True) as store:
        registry = StandbyRegistry(store.state, workspace.data_dir)
        watcher = _Registering(program, registry, count_stops, workspace.tell)
        try:
            return run_script(program, RunPlan(is_off=True, folder=registry.new_folder()), watcher)
        finally:
            if watcher.standby is not None:
                registry.forget(watcher.standby.key)


@dataclass(slots=True)
class _Registering(Watcher):
    """Writes the process down as soon as it can be switched."""

    program: Program
    registry: StandbyRegistry
    count_stops: Callable[[], int]
    tell: Callable[[str], object]
    leader: int = 0
    folders: RunFolders | None = None
    standby: Standby | None = None
    given_up: bool = False

    def stop_requests(self) -> int:
        return self.count_stops()

    def started(self, leader: int, folders: RunFolders) -> None:
        self.leader, self.folders = leader, folders

    def tick(self, elapsed_s: float) -> None:
        if self.standby is not None or self.given_up or self.folders is None:
            return
        program = self.program
        found = find_standby(
            self.leader, self.folders.folder, str(program.root), program.title, program.scalene_version
        )
        if found is not None:
            self.registry.register(found)
            self.standby = found
            self.tell(
                f"{program.title} stands by as pid {found.key.pid}; an alert about it switches Scalene on"
            )
        elif elapsed_s > _READY_WITHIN_S:
            self.given_up = True
            self.tell(
                f"{program.title} runs, but Scalene can't be switched on in it; it is profiled as any other"
            )
