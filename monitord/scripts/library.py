"""Profiles by id: those of this process in memory first, then the kept ones; and what becomes of them."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.errors import NotFoundError, UsageError
from monitord.model import (
    Alert,
    Capture,
    CaptureStatus,
    Incident,
    ProcessDetails,
    ProfileRecord,
)
from monitord.profiles.scalene_document import from_bytes, hot_lines, sample_count
from monitord.redaction import redact_argv
from monitord.scripts.cache import ProfileCache
from monitord.scripts.result import ProfileResult
from monitord.scripts.run import ScriptRun
from monitord.storage import RecentFilter, StoreReader
from monitord.storage.ids import short_id

RULE = "profile"
_FORMAT = "scalene"
_MAX_BYTES = 64 << 20
Save = Callable[[Incident], object]


class ProfileLibrary:
    """The profiles of one data directory and of this process's memory."""

    def __init__(self, data_dir: Path, cache: ProfileCache[ProfileResult] | None = None) -> None:
        self._data_dir = data_dir
        self.cache = cache if cache is not None else ProfileCache[ProfileResult]()

    def get(self, profile_id: str) -> ProfileResult:
        """A profile by its id, or a kept one by what `monitord show` takes; raises NotFoundError."""
        if (found := self.cache.get(profile_id)) is not None:
            return found
        with StoreReader(self._data_dir) as reader:
            try:
                record = reader.find(profile_id)
            except NotFoundError as error:
                shown = str(error).replace("incident", "profile").replace("recent`", "profile list`")
                raise NotFoundError(shown) from error
            return _kept(reader, record)

    def kept(self, limit: int | None = 20) -> list[ProfileRecord]:
        """Return the rows of the kept profiles of scripts, newest first; none where there is no store."""
        try:
            with StoreReader(self._data_dir) as reader:
                return reader.recent(RecentFilter(limit=limit, rule=RULE))
        except NotFoundError:
            return []

    def keep(self, done: ScriptRun, save: Save) -> ProfileResult:
        """Save a profile as a capture like any other; `save` makes room within the budget."""
        if done.result is None:
            raise NotFoundError(f"cannot keep a profile of {done.program.title}: there is none")
        save(incident_of(done, done.result))
        result = replace(done.result, is_kept=True)
        if self.cache.get(result.profile_id) is not None:
            self.cache.put(result)
        return result

    def older_than(self, max_age_days: float, now: datetime | None = None) -> list[ProfileRecord]:
        """Return the rows of kept profiles that are older and not pinned; none where there is no store."""
        if not 0 <= max_age_days <= 36_500:
            raise UsageError(f"invalid age: {max_age_days} days, expected 0 to 36500")
        until = (now or datetime.now(UTC)) - timedelta(days=max_age_days)
        try:
            with StoreReader(self._data_dir) as reader:
                return reader.recent(RecentFilter(limit=None, rule=RULE, until=until, pinned=False))
        except NotFoundError:
            return []


def incident_of(done: ScriptRun, result: ProfileResult) -> Incident:
    """Shape the profile as an incident asked for by hand: nothing was crossed, so it weighs
    nothing.
    """
    target, began_at, ended_at = done.run.target, done.run.began_at, datetime.now(UTC)
    how = f"ended with status {result.exit_status}" if result.ended == "exited" else "was ended then"
    status = CaptureStatus.PARTIAL if result.ended == "stopped" else CaptureStatus.OK
    user = getpass.getuser()
    capture = Capture(
        role="profile", profiler="scalene", status=status, started_at=began_at,
        duration_s=result.duration_s, target=target, profiler_version=result.profiler_version,
        reason=None if status is CaptureStatus.OK else "the script was ended early", format=_FORMAT,
        payload=result.payload, sample_count=result.sample_count, target_cpu_percent=result.cpu_percent,
        hotspots=result.hotspots,
    )  # fmt: skip
    return Incident(
        correlation_id=result.profile_id,
        alert=replace(
            Alert.unraised(RULE, target, result.script, result.cpu_percent, began_at),
            raised_at=ended_at,
            reason=f"profiled by {user} with `monitord profile`; it ran {result.duration_s:.1f} s and {how}",
        ),
        process=ProcessDetails(
            key=target, name=result.script, parent_pid=0, started_at=began_at, user=user,
            executable=done.program.python,
            command_line=tuple(redact_argv([result.script, *done.program.arguments])),
        ),
        captures=(capture,),
    )  # fmt: skip


def _kept(reader: StoreReader, record: ProfileRecord) -> ProfileResult:
    view = reader.incident(record.correlation_id)
    found = [one for one in view.captures if one.format == _FORMAT and one.artefact_key]
    if not found or found[0].artefact_key is None:
        raise NotFoundError(
            f"cannot find a profile of Scalene in incident {short_id(record.correlation_id)};"
            f" `monitord show {short_id(record.correlation_id)}` says what it has"
        )
    best = found[0]
    payload = reader.payload(found[0].artefact_key, _MAX_BYTES)
    document = from_bytes(payload)
    return ProfileResult(
        profile_id=view.correlation_id, script=view.process_name, taken_at=best.captured_at,
        duration_s=float(best.duration_seconds), profiler_version=best.profiler_version or "",
        sample_count=sample_count(document), payload=payload, hotspots=view.hotspots,
        lines=hot_lines(document),
        ended="exited" if best.status is CaptureStatus.OK else "stopped",
        cpu_percent=best.target_cpu_percent or 0.0,
        peak_bytes=round(float(document.get("max_footprint_mb") or 0) * 1024 * 1024) or None, is_kept=True,
    )  # fmt: skip
