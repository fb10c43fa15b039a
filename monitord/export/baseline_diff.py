"""What is new against the program's baseline, in one sentence; from the hotspots kept with both. Pure."""

from __future__ import annotations

from monitord.model import Hotspot
from monitord.redaction import printable
from monitord.storage.views import IncidentView

_WORTH_SAYING = 0.05


def against_baseline(view: IncidentView) -> str | None:
    """Name the function that rose most, else the one that fell most; None without a baseline or profile."""
    normal = view.baseline
    if normal is None or not normal.hotspots or not view.hotspots:
        return None
    when = f"of {normal.taken_at:%A, %Y-%m-%d %H:%M} UTC"
    now = {_key(spot): spot for spot in view.hotspots}
    before = {_key(spot): spot for spot in normal.hotspots}
    moved = [(now[key], _moved(before.get(key), now[key])) for key in now]
    spot, delta = max(moved, key=lambda each: (each[1] > 0, abs(each[1])))
    name, share = printable(spot.function), f"{spot.self_share * 100:.0f} %"
    if not delta:
        return f"Its hottest functions are those of its baseline {when}."
    was = before.get(_key(spot))
    if was is None:
        return f"{name} was not among the hottest functions of its baseline {when}; it took {share} now."
    return f"{name} took {was.self_share * 100:.0f} % of the time in its baseline {when}, {share} now."


def _moved(before: Hotspot | None, now: Hotspot) -> float:
    """How far the self share went beyond what so few samples explain; 0 when it did not."""
    was, error = (before.self_share, before.share_error or 0.0) if before else (0.0, 0.0)
    delta = now.self_share - was
    beyond = abs(delta) > max(_WORTH_SAYING, error + (now.share_error or 0.0))
    return delta if beyond else 0.0


def _key(spot: Hotspot) -> tuple[str, ...]:
    return (spot.func_id,) if spot.func_id else (spot.function, spot.file or spot.module or "")
