"""`profile --standby`: a script under Scalene, switched off, until an alert of the daemon switches it on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from monitord.cli.context import CliContext, log_to_stderr
from monitord.cli.script_run import SignalCounter, warn_about
from monitord.cli.terminal import say
from monitord.scripts.request import Program, ScriptRequest, resolve
from monitord.scripts.run import RunFolders, RunPlan, Watcher
from monitord.scripts.runner import run_script
from monitord.scripts.standby import Standby, find_standby

if TYPE_CHECKING:
    from monitord.scripts.registry import StandbyRegistry

_READY_WITHIN_S = 30.0


def stand_by(context: CliContext, request: ScriptRequest, *, passes_status_on: bool) -> None:
    """Run it to its end. Raises MonitordError when it can't be started or the store can't be written."""
    from monitord.scripts.registry import StandbyRegistry
    from monitord.storage import open_store

    program = resolve(request)
    log_to_stderr()
    store = open_store(context.data_dir())
    try:
        registry = StandbyRegistry(store.state, context.data_dir())
        plan = RunPlan(is_off=True, folder=registry.new_folder())
        with SignalCounter() as heard:
            watcher = _Registering(program, registry, heard)
            try:
                run = run_script(program, plan, watcher)
            finally:
                if watcher.standby is not None:
                    registry.forget(watcher.standby.key)
    finally:
        store.close()
    warn_about(run)
    sys.stdout.flush()
    if passes_status_on:
        raise typer.Exit(128 - run.exit_status if run.exit_status < 0 else run.exit_status)
    if heard.numbers:
        raise typer.Exit(128 + heard.numbers[0])


@dataclass(slots=True)
class _Registering(Watcher):
    """Writes the process down as soon as it can be switched."""

    program: Program
    registry: StandbyRegistry
    signals: SignalCounter
    leader: int = 0
    folders: RunFolders | None = None
    standby: Standby | None = None
    given_up: bool = False

    def stop_requests(self) -> int:
        return len(self.signals.numbers)

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
            say(f"{program.title} stands by as pid {found.key.pid}; an alert about it switches Scalene on")
        elif elapsed_s > _READY_WITHIN_S:
            self.given_up = True
            say(f"{program.title} runs, but Scalene can't be switched on in it; it is profiled as any other")
