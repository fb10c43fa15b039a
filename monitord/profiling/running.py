"""One script under Scalene, from what was asked for to its result; in memory, nothing left on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitord.capture.scripts.program import Program, Wish, checked
from monitord.capture.scripts.running import Place, Run, RunPlan, Watcher, run_script
from monitord.capture.target import start_of
from monitord.model import ProcessKey
from monitord.profiling.result import ProfileResult


@dataclass(slots=True)
class Profiled:
    """A run and what it was of; `result` is None when Scalene saw nothing."""

    program: Program
    run: Run
    target: ProcessKey
    began_at: datetime
    result: ProfileResult | None = None


@dataclass(slots=True)
class _Noting(Watcher):
    """Passes on what the caller's watcher wants to know, and notes which process it was."""

    inner: Watcher
    target: ProcessKey = field(default=ProcessKey(0, 0))

    def heard(self) -> int:
        return self.inner.heard()

    def started(self, leader: int, place: Place) -> None:
        import monitord.profiling.reading  # noqa: F401  here, while the script runs, nobody waits for it

        self.target = ProcessKey(leader, start_of(leader) or 0)
        self.inner.started(leader, place)

    def tick(self, elapsed_s: float) -> None:
        self.inner.tick(elapsed_s)


def profile_script(
    wish: Wish, plan: RunPlan, new_id: Callable[[], str], watcher: Watcher | None = None
) -> Profiled:
    """Run a script under Scalene and read what it says; raises MonitordError when it can't be run.

    ProfileError when Scalene wrote something unreadable. A script that fails raises nothing.
    """
    program = checked(wish)
    noting = _Noting(watcher or Watcher())
    began_at = datetime.now(UTC)
    run = run_script(program, plan, noting)
    done = Profiled(program, run, noting.target, began_at)
    if run.profile:
        from monitord.profiling.reading import result_of

        done.result = result_of(done, new_id)
    return done
