"""One script under Scalene, from what was asked for to its result; in memory, nothing left on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from monitord.capture.scripts.program import Program, Wish, checked
from monitord.capture.scripts.running import Place, Run, RunPlan, Watcher, run_script
from monitord.capture.sources import Reader, Root, Sources
from monitord.capture.target import start_of
from monitord.model import Hotspot, ProcessKey
from monitord.profiles import hotspots, parse
from monitord.profiles.identifying import identify
from monitord.profiles.scalene_document import Names, as_bytes, hot_lines, kept_document, sample_count
from monitord.profiling.result import ProfileResult
from monitord.redaction import redact_text

_HOTSPOTS = 20


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
        self.target = ProcessKey(leader, start_of(leader) or 0)
        self.inner.started(leader, place)

    def tick(self, elapsed_s: float) -> None:
        self.inner.tick(elapsed_s)


def profile_script(
    wish: Wish, plan: RunPlan, new_id: Callable[[], str], watcher: Watcher | None = None
) -> Profiled:
    """Run a script under Scalene and read what it says; raises MonitordError when it can't be run.

    ProfileError when Scalene wrote something unreadable. The script's own failure is no error.
    """
    program = checked(wish)
    noting = _Noting(watcher or Watcher())
    began_at = datetime.now(UTC)
    run = run_script(program, plan, noting)
    done = Profiled(program, run, noting.target, began_at)
    if run.profile:
        done.result = _result(done, new_id)
    return done


def names_of(root: Path) -> Names:
    """How the names of a program in this folder are kept."""
    return Names(str(root), str(Path.home()), redact_text)


def _result(done: Profiled, new_id: Callable[[], str]) -> ProfileResult | None:
    names, run = names_of(done.program.root), done.run
    document = kept_document(run.profile, names)
    if not sample_count(document) and not hot_lines(document):
        return None
    return ProfileResult(
        profile_id=new_id(),
        script=done.program.title,
        taken_at=done.began_at,
        duration_s=run.duration_s,
        profiler_version=done.program.scalene_version,
        sample_count=sample_count(document),
        payload=as_bytes(document),
        hotspots=_hotspots(run.profile, names, done.began_at),
        lines=hot_lines(document),
        ended=run.ended,
        exit_status=run.exit_status,
        cpu_percent=100.0 * run.cpu_s / run.duration_s if run.duration_s > 0 else 0.0,
        peak_bytes=round(document["max_footprint_mb"] * 1024 * 1024) or None,
    )


def _hotspots(raw: bytes, names: Names, began_at: datetime) -> tuple[Hotspot, ...]:
    """The functions, with what their sources tell; read as us, who may read what we have just run."""
    found = hotspots(parse("scalene", raw), _HOTSPOTS)
    root = Root("/", Reader(os.geteuid(), frozenset(os.getgroups())))
    try:
        found = identify(found, Sources(root, began_at.timestamp()).get)
    finally:
        root.close()
    return tuple(kept_spot(spot, names) for spot in found)


def kept_spot(spot: Hotspot, names: Names) -> Hotspot:
    """A hotspot with its names as they are kept."""
    line = redact_text(spot.source_line) if spot.source_line else spot.source_line
    return replace(spot, file=names.path(spot.file) if spot.file else spot.file, source_line=line)
