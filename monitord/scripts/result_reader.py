"""What Scalene wrote of a run, as its result; the user's own script, read with the user's own rights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from monitord.capture.sources import Reader, Root, Sources
from monitord.model import Hotspot
from monitord.profiles import hotspots, parse
from monitord.profiles.identifying import identify
from monitord.profiles.scalene_document import Names, as_bytes, hot_lines, kept_document, sample_count
from monitord.redaction import redact_source
from monitord.scripts.result import ProfileResult
from monitord.scripts.run import ScriptRun

_HOTSPOTS = 20


def result_of(done: ScriptRun, new_id: Callable[[], str]) -> ProfileResult | None:
    """Read the result of a run; None when Scalene saw nothing of it. Raises ProfileError."""
    names, run = Names(str(done.program.root), str(Path.home()), redact_source), done.run
    document = kept_document(run.profile, names)
    if not sample_count(document) and not hot_lines(document):
        return None
    return ProfileResult(
        profile_id=new_id(),
        script=done.program.title,
        taken_at=run.began_at,
        duration_s=run.duration_s,
        profiler_version=done.program.scalene_version,
        sample_count=sample_count(document),
        payload=as_bytes(document),
        hotspots=_hotspots(run.profile, names, run.began_at),
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
    return tuple(replace(spot, file=names.path(spot.file) if spot.file else spot.file) for spot in found)
