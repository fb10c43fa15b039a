"""The budget holds at every moment between two incidents too, not only when one is saved."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from monitord.jobs import RetentionLimits
from monitord.model import Incident
from monitord.recorder.retention_store import Saving
from monitord.storage import new_correlation_id, open_store
from tests.fakes import START, a_capture, a_process, an_alert, some_rates

BUDGET_BYTES = 2_000_000


def incident(number: int) -> Incident:
    """One of evidence that no compression makes smaller; some are milder, some worse."""
    alert = an_alert(raised_at=START + timedelta(seconds=number), severity=1.0 + number % 7)
    evidence = a_capture(payload=os.urandom(60_000))
    return Incident(new_correlation_id(), alert, None, (), (evidence,), "boot")


def test_the_store_stays_in_its_budget_whatever_is_written_in_between(tmp_path: Path) -> None:
    """A full store, incident after incident, and between them the memory of the limits and history."""
    store = open_store(tmp_path / "data")
    saving = Saving(store, RetentionLimits(max_total_bytes=BUDGET_BYTES, min_free_disk_bytes=0))
    seen = []
    for number in range(40):
        saving.save(incident(number))
        seen.append(store.usage().total_bytes)
        for _ in range(8):
            store.set_state("detection.memory", {"cooldowns": os.urandom(12_000).hex()})
            seen.append(store.usage().total_bytes)
        saving.add_history([some_rates(number, [a_process()])])
        seen.append(store.usage().total_bytes)
    store.close()
    assert max(seen) <= BUDGET_BYTES
    assert max(seen) > BUDGET_BYTES * 0.7, "the store must have been full for this to say anything"
