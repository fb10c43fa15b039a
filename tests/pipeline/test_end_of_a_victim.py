"""When a process that the kernel killed ended: what the black box says of it goes to who explains the kill."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.model import Incident, ProcessKey, TriggerMetric
from monitord.pipeline import Causes
from tests.fakes import KEY, an_alert
from tests.pipeline.test_causes import Room


@pytest.mark.parametrize("ago_s", [0.5, None])
@pytest.mark.parametrize("metric", [TriggerMetric.OOM_KILL, TriggerMetric.CPU_PRESSURE])
def test_when_a_victim_ended_goes_to_the_explainer_of_a_kill_alone(
    tmp_path: Path, metric: TriggerMetric, ago_s: float | None
) -> None:
    """Before the alert was raised, by two clocks; nothing where the black box has no record of it."""
    alert, room = an_alert(metric), Room()

    def ended_ns(target: ProcessKey) -> int | None:
        assert target == alert.target
        since_s = (datetime.now(UTC) - alert.raised_at).total_seconds()
        return None if ago_s is None else _now_ns() - int((since_s + ago_s) * 1e9)

    causes = Causes(room.observe, room.explain, tmp_path / "causes", ended_ns=ended_ns)
    causes.explained(Incident("inc", alert, None), (None, causes.observe(metric, KEY)), tmp_path / "inc")
    causes.close()
    ((_incident, (_before, after)),) = room.explained
    box = json.loads(after or b"").get("box")
    if metric is not TriggerMetric.OOM_KILL or ago_s is None:
        assert box is None
    else:
        assert box["ended_before_s"] == pytest.approx(ago_s, abs=0.2)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
