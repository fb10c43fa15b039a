"""What the daemon costs: unknown until there is something to speak of."""

from __future__ import annotations

import time

from monitord.daemon.selfwatch import SelfWatch


def test_what_a_start_costs_is_nobodys_cost() -> None:
    """A start burns a core; the first readings neither tell of it nor stretch the interval."""
    watch = SelfWatch()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    watch.begin()
    for _ in range(20):
        assert watch.read().cpu_percent is None
    assert watch.stretch == 1
    assert watch.cost.rss_bytes > 0
    assert not any("less often" in complaint for complaint in watch.complaints()), (
        "of its memory this process may complain"
    )
