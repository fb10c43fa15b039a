"""One line on stderr when nothing records, or when the answer may be incomplete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.cli.terminal import say
from monitord.cli.when import moment_of
from monitord.export.units import age, span
from monitord.redaction import printable

_SILENT_AFTER_INTERVALS = 30
_SILENT_AFTER_LEAST_S = 60.0
_LONGEST_REASON = 200


def silent_for_s(told: Mapping[str, Any], now: datetime) -> float | None:
    """How long a recorder that runs has reported nothing; None while that is normal."""
    taken = moment_of(told.get("taken_at"))
    if taken is None:
        return None
    silent_s = (now - taken).total_seconds()
    interval_s = told.get("interval_s")
    intervals_s = _SILENT_AFTER_INTERVALS * float(interval_s if isinstance(interval_s, int | float) else 0)
    return silent_s if silent_s > max(_SILENT_AFTER_LEAST_S, intervals_s) else None


def trouble(told: Mapping[str, Any] | None, now: datetime) -> tuple[str, str] | None:
    """What keeps answers from being whole: its kind and a line; None while all is well."""
    if told is None or not told["is_running"]:
        taken = moment_of((told or {}).get("taken_at"))
        last = f" (the last look was {age(taken, now)})" if taken else ""
        return "off", f"nobody records here{last}; start it with `monitord service start` or `monitord run`"
    if "unreadable" in told:
        return (
            "unreadable",
            f"the recorder (pid {told.get('pid') or 'unknown'}) cannot tell how it is: {told['unreadable']}",
        )
    silent_s = silent_for_s(told, now)
    if silent_s is not None:
        return "silent", (
            f"the recorder (pid {told.get('pid') or 'unknown'}) has reported nothing for {span(silent_s)};"
            " see `monitord service logs`"
        )
    reasons = [str(each) for each in told.get("degraded") or ()]
    if not reasons:
        return None
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    reason = printable(reasons[0])[:_LONGEST_REASON]
    return reasons[0], f"the recorder is degraded: {reason}{more}; see `monitord status`"


class RecorderWatch:
    """Says a trouble once, and once more when it becomes another one."""

    def __init__(self, data_dir: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._told: str | None = None

    def tell(self) -> None:
        """Look, and say what is new."""
        from monitord.recorder.status import read_status

        found = trouble(read_status(self._data_dir), self._clock())
        kind = found[0] if found else None
        if found and kind != self._told:
            say(f"monitord: {found[1]}")
        self._told = kind
