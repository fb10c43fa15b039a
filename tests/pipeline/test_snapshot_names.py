"""A snapshot of many programs tells functions before code that has no name."""

from __future__ import annotations

from monitord.model import Hotspot
from monitord.pipeline.snapshots import _with_names_first
from tests.fakes import a_capture


def test_functions_come_before_code_without_a_name_each_in_the_order_of_their_shares() -> None:
    spots = tuple(
        Hotspot(name, None, None, share, share, kind="native", func_id=func_id)
        for name, share, func_id in (
            ("[dash]", 0.4, None), ("[unknown]", 0.3, None), ("load_orders", 0.2, "1"), ("[weird] name", 0.1, "2"),
        )
    )  # fmt: skip
    found = _with_names_first(a_capture("before", hotspots=spots)).hotspots
    assert [spot.function for spot in found] == ["load_orders", "[weird] name", "[dash]", "[unknown]"]
