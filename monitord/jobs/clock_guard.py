"""A clock jump never deletes: when age alone would empty the store, look again before it is done.

The rule. Each retention pass remembers its moment twice: wall clock, and seconds since boot (which no
clock setting moves) with the boot's id. A pass is *suspicious* when since the last pass of the same boot the
two clocks went apart by more than two minutes, or when more than half of everything would go because of age.
A suspicious pass deletes nothing by age; it asks for a second look. Age is judged again once
50 minutes of the same boot have gone by in which no pass was found with the clocks apart. Another boot
starts the wait anew, because nothing ties its wall clock to the one before. Deleting for size never waits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord import procfs

STATE_KEY = "retention.second_look"
BOOTS_KEY = "retention.boots"
WAIT_S = 50 * 60.0
DRIFT_S = 120.0
LARGE_SHARE = 0.5
_BOOTS_REMEMBERED = 64  # the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Uptime:
    """Seconds since boot, sleep included, and which boot: time that nobody can set."""

    boot_id: str
    boottime_s: float


@dataclass(frozen=True, slots=True)
class Moment:
    """One pass, by the wall clock and by the uptime."""

    wall: datetime
    uptime: Uptime

    def as_json(self) -> dict[str, object]:
        return {
            "wall": self.wall.isoformat(),
            "boot_id": self.uptime.boot_id,
            "boottime_s": self.uptime.boottime_s,
        }


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered between passes: the last one, and the one that asked for a second look, if any."""

    last: Moment | None = None
    asked: Moment | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "last": self.last.as_json() if self.last else None,
            "asked": self.asked.as_json() if self.asked else None,
        }


def read_remembered(state: object) -> Remembered:
    """What `as_json` gave; anything unreadable counts as nothing remembered."""
    if not isinstance(state, Mapping):
        return Remembered()
    return Remembered(last=_read_moment(state.get("last")), asked=_read_moment(state.get("asked")))


@dataclass(frozen=True, slots=True)
class Boots:
    """Boots by their id: when each began and was seen last, by the clock as it was put right at last.

    Each pass notes when this boot began by the clock of now: the time less the uptime. What that says of
    incidents raised under a wrong clock stands in `monitord.storage.incident_stock.happened_at`.
    """

    spans: Mapping[str, tuple[datetime, datetime]]

    def seen(self, now: Moment) -> Boots:
        """Return the boots with this moment noted."""
        began = now.wall - timedelta(seconds=now.uptime.boottime_s)
        others = {boot: span for boot, span in self.spans.items() if boot != now.uptime.boot_id}
        spans = dict(list(others.items())[-_BOOTS_REMEMBERED + 1 :])
        return Boots({**spans, now.uptime.boot_id: (began, now.wall)})

    def as_json(self) -> dict[str, list[str]]:
        return {boot: [moment.isoformat() for moment in span] for boot, span in self.spans.items()}


def read_boots(state: object) -> Boots:
    """What `as_json` gave; anything unreadable counts as nothing remembered."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for boot, span in state.items() if isinstance(state, Mapping) else ():
        with contextlib.suppress(ValueError, TypeError):
            began, seen_last = (datetime.fromisoformat(text) for text in span)
            if began.tzinfo is not None and seen_last.tzinfo is not None:
                spans[str(boot)] = (began, seen_last)
    return Boots(spans)


def why_not_by_age(raised: tuple[datetime, datetime] | None, now: datetime) -> str | None:
    """Why no age can be told by this clock at all: it was set back behind most of what happened already.

    `raised` is the median and the newest of the times of all incidents. A few incidents from the future were
    raised under a clock that was wrong then: the others have their age.
    """
    if raised is not None and now < raised[0]:
        return f"the clock ({now:%Y-%m-%d %H:%M}) is behind the newest incident ({raised[1]:%Y-%m-%d %H:%M})"
    return None


def judge_clock(remembered: Remembered, now: Moment, *, share_of_all: float) -> tuple[str | None, Remembered]:
    """Why nothing may be deleted by age in this pass (None: it may), and what to remember."""
    drift_s = _drift_s(remembered.last, now)
    if drift_s is not None and abs(drift_s) > DRIFT_S:
        return f"the clock was set by {drift_s:+.0f} s since the last pass", Remembered(now, asked=now)
    asked = remembered.asked
    if asked is not None and asked.uptime.boot_id == now.uptime.boot_id:
        waited_s = now.uptime.boottime_s - asked.uptime.boottime_s
        if waited_s < WAIT_S:
            return f"a second look is due in {(WAIT_S - waited_s) / 60:.0f} min", Remembered(now, asked)
        return None, Remembered(now)
    if share_of_all > LARGE_SHARE:
        reason = f"{share_of_all:.0%} of everything would go because of age: a second look comes first"
        return reason, Remembered(now, asked=now)
    return None, Remembered(now)


def read_uptime() -> Uptime:
    """Read the running machine's boot id and seconds since boot.

    Outside Linux there is no boot id to read: the wall clock less the uptime would move with the clock, so
    every process counts as a boot of its own there, which only makes the wait longer.
    """
    return Uptime(boot_id=procfs.boot_id() or _PROCESS_BOOT_ID, boottime_s=procfs.uptime_s())


_PROCESS_BOOT_ID = f"process-{time.time_ns()}"


def _drift_s(earlier: Moment | None, later: Moment) -> float | None:
    """By how much the wall clock went further than the uptime; None: another boot, nothing is known."""
    if earlier is None or earlier.uptime.boot_id != later.uptime.boot_id:
        return None
    wall_s = (later.wall - earlier.wall).total_seconds()
    return wall_s - (later.uptime.boottime_s - earlier.uptime.boottime_s)


def _read_moment(value: object) -> Moment | None:
    if not isinstance(value, Mapping):
        return None
    try:
        wall = datetime.fromisoformat(str(value["wall"]))
        boottime_s = float(value["boottime_s"])
    except (KeyError, TypeError, ValueError):
        return None
    if wall.tzinfo is None:
        return None
    return Moment(wall, Uptime(str(value["boot_id"]) if "boot_id" in value else "", boottime_s))
