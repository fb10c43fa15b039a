"""The sentence that sets an incident against its baseline."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitord.export.baseline_diff import against_baseline
from monitord.model import Hotspot
from monitord.storage.views import BaselineView, IncidentView

TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def spot(name: str, share: float, error: float = 0.02, **more: str) -> Hotspot:
    return Hotspot(name, f"/srv/{name}.py", 1, share, share, share_error=error, **more)


def a_view(now: tuple[Hotspot, ...], before: tuple[Hotspot, ...] | None) -> IncidentView:
    values = dict.fromkeys(IncidentView.__dataclass_fields__)
    values["hotspots"] = now
    values["baseline"] = None if before is None else BaselineView("b", TUESDAY, before)
    return IncidentView(**values)  # type: ignore[arg-type]  # the rest is not looked at


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (
            (spot("price_basket", 0.97), spot("parse", 0.02)),
            (spot("parse", 0.6), spot("price_basket", 0.02)),
            "price_basket took 2 % of the time in its baseline of Tuesday, 2026-11-24 09:30 UTC, 97 % now.",
        ),
        (
            (spot("price_basket", 0.97),),
            (spot("parse", 0.6),),
            "price_basket was not among the hottest functions of its baseline of Tuesday, 2026-11-24 09:30 UTC;"
            " it took 97 % now.",
        ),
        (
            (spot("wait", 0.0), spot("price_basket", 0.97)),
            (spot("wait", 0.99), spot("price_basket", 0.01)),
            "price_basket took 1 % of the time in its baseline of Tuesday, 2026-11-24 09:30 UTC, 97 % now.",
        ),
        (
            (spot("parse", 0.4),),
            (spot("parse", 0.9),),
            "parse took 90 % of the time in its baseline of Tuesday, 2026-11-24 09:30 UTC, 40 % now.",
        ),
        (
            (spot("parse", 0.63, 0.2),),
            (spot("parse", 0.5, 0.2),),
            "Its hottest functions are those of its baseline of Tuesday, 2026-11-24 09:30 UTC.",
        ),
        ((spot("parse", 0.6),), None, None),
        ((), (spot("parse", 0.6),), None),
        ((spot("parse", 0.6),), (), None),
    ],
)
def test_what_moved_most_is_said(
    now: tuple[Hotspot, ...], before: tuple[Hotspot, ...] | None, said: str | None
) -> None:
    """With both shares and the baseline's day; what chance explains is no news; without facts, nothing."""
    assert against_baseline(a_view(now, before)) == said


def test_a_function_is_found_by_its_id_wherever_its_file_lies() -> None:
    """Another checkout, another line: the same function."""
    old = replace(spot("f", 0.1, func_id="x"), file="/old/app.py")
    new = replace(spot("f", 0.9, func_id="x"), file="/new/app.py")
    assert (against_baseline(a_view((new,), (old,))) or "").startswith("f took 10 % of the time")


def test_a_hostile_name_is_made_printable() -> None:
    """Names are an attacker's bytes."""
    said = against_baseline(a_view((spot("\x1b[31m", 0.9),), (spot("b", 0.5),))) or ""
    assert "\x1b" not in said
