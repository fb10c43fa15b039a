"""When a baseline is taken, of whom, and how often: real store, real writer, this very process as the program."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.capture.program import program_id
from monitord.daemon.baselining import BaselineLimits, BaselineRecorder
from monitord.jobs import RetentionLimits
from monitord.model import (
    BASELINE_RULE,
    Capture,
    CaptureStatus,
    Hotspot,
    Incident,
    ProcessDetails,
    ProcessKey,
)
from monitord.pipeline import CaptureBudget, CaptureLimits, IncidentWorker, PendingIncidents
from monitord.recorder.retention_store import Saving
from monitord.sampling import key_of
from monitord.storage import RecentFilter, StoreReader, Writer, open_store
from monitord.storage.baselines import baseline_id
from tests.fakes import START, FakeCaptures, a_capture, a_process, an_alert, some_rates
from tests.patience import PATIENCE_S
from tests.pipeline.test_pipeline import wait_until

OFTEN = BaselineLimits(per_day=86_400)
SPOT = Hotspot("steady_work", "/srv/app.py", 3, 0.9, 0.9)
EVERY_S = 15


class Watch:
    """A daemon's parts around BaselineRecorder, and a clock of heartbeats."""

    def __init__(self, folder: Path, limits: BaselineLimits = OFTEN) -> None:
        key = key_of(os.getpid())
        assert key is not None
        self.key = key
        self.store = open_store(folder / "data")
        self.writer = Writer()
        self.saving = Saving(self.store, RetentionLimits(min_free_disk_bytes=0))
        self.pending = PendingIncidents(self.saving.save, self.writer.submit)
        self.captures = FakeCaptures()
        self.shows((SPOT,))
        self.budget = CaptureBudget(CaptureLimits())
        spool = folder / "spool"
        spool.mkdir(exist_ok=True)
        self.worker = IncidentWorker(
            self.captures, self.pending.keep, contextlib.nullcontext, spool, plan=_configured()
        )
        self.is_quiet = True
        self.is_allowed = True
        self.limits = limits
        self.baselines = self.again()
        self.second = 0.0

    def again(self) -> BaselineRecorder:
        """As after a restart."""
        self.baselines = BaselineRecorder(
            self.worker, self.budget, self.store, self.writer,
            lambda key: ProcessDetails(key, "app", 1, START, executable="/usr/bin/app"),
            lambda: self.is_quiet, lambda _name, _executable: self.is_allowed,
            limits=self.limits,
        )  # fmt: skip
        return self.baselines

    def shows(self, spots: tuple[Hotspot, ...]) -> None:
        program = program_id(self.key.pid) or ""
        profile = a_capture(target=self.key, hotspots=spots, notes={"program": program}, payload=b"evidence")
        self.captures.captures = [a_capture("context", target=self.key), profile]

    def look(self, count: int, cpu_percent: float = 5.0, **system: object) -> None:
        """So many heartbeats, 15 s apart; what they began is waited for."""
        for _ in range(count):
            rates = some_rates(self.second, [a_process(self.key, cpu_percent, name="app")], **system)
            self.baselines.note(rates)
            self.second += EVERY_S
            self.writer.submit(lambda: None).result(PATIENCE_S)
            wait_until(lambda: self.worker.is_idle)
            self.writer.submit(lambda: None).result(PATIENCE_S)

    def taken(self) -> list[str]:
        with StoreReader(self.store.data_dir) as reader:
            return [each.correlation_id for each in reader.recent(RecentFilter(baselines=True, limit=None))]

    def close(self) -> None:
        self.worker.close(5)
        self.writer.close(5)
        self.store.close()


def _configured():
    from monitord.model import CapturePlan

    return CapturePlan()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    opened = Watch(tmp_path)
    yield opened
    opened.close()


def test_a_steady_program_gets_a_baseline_once(watch: Watch) -> None:
    """By the short plan, found by the program's id, out of the usual list; never a second time."""
    watch.look(12)
    (taken,) = watch.taken()
    ((target, plan),) = watch.captures.asked
    assert (target, plan.duration_s, plan.rate_hz) == (watch.key, 3.0, 20)
    assert baseline_id(watch.store.state, program_id(os.getpid()) or "") == taken
    assert watch.store.fetch_recent(10) == []
    watch.look(100)
    assert watch.taken() == [taken]
    assert len(watch.captures.asked) == 1
    assert watch.budget.spent == [], "the hour's budget of captures is for alerts"


@pytest.mark.parametrize(
    "why", ["armed", "busy", "starving", "lately", "idle", "deny list", "disabled", "incomplete"]
)
def test_none_is_taken_when_it_would_be_wrong(tmp_path: Path, why: str) -> None:
    """Something armed, a busy or starving machine, a capture just now, nothing at work, no consent, off."""
    watch = Watch(tmp_path, BaselineLimits(per_day=0) if why == "disabled" else OFTEN)
    watch.is_quiet = why != "armed"
    watch.is_allowed = why != "deny list"
    system: dict[str, object] = {
        "busy": {"machine_percent": 80.0}, "starving": {"memory_available_bytes": 1 << 20},
    }.get(why, {})  # fmt: skip
    if why == "lately":
        watch.budget.spent.append(START)
    if why == "incomplete":
        watch.baselines.note(some_rates(0, is_complete=False))
    else:
        watch.look(15, 0.2 if why == "idle" else 5.0, **system)
    assert watch.captures.asked == []
    watch.close()


def test_the_day_has_so_many_and_a_restart_does_not_begin_anew(tmp_path: Path) -> None:
    """Four a day: six hours apart, however often the daemon starts."""
    watch = Watch(tmp_path, BaselineLimits(per_day=4))
    watch.look(60)
    assert len(watch.captures.asked) == 1, "ten minutes after the start"
    watch.store.delete_incidents(watch.taken())  # so that one is missing again
    for _ in range(3):
        watch.again()
        watch.look(200)
    assert len(watch.captures.asked) == 1
    watch.close()


def test_one_whose_evidence_is_gone_is_taken_anew_and_replaces_it(watch: Watch) -> None:
    """The newest stays alone."""
    watch.look(12)
    (first,) = watch.taken()
    watch.store.drop_evidence([first])
    watch.look(12)
    (second,) = watch.taken()
    assert second != first


def test_a_profile_that_shows_nothing_is_not_kept_nor_tried_again(watch: Watch) -> None:
    """A program that sleeps has no hot function; a day later it may be tried again."""
    watch.shows(())
    watch.look(40)
    assert len(watch.captures.asked) == 1
    assert watch.taken() == []


def test_a_refused_one_leaves_no_incident(watch: Watch) -> None:
    """A plan that says never, a target that went: nothing is kept of it."""
    watch.captures.captures = [a_capture(target=watch.key, status=CaptureStatus.REFUSED, payload=None)]
    watch.look(12)
    assert watch.taken() == []
    assert watch.store.fetch_recent(5) == []


def test_a_baseline_goes_before_any_incident(watch: Watch, tmp_path: Path) -> None:
    """When room is needed the baseline's evidence goes first, though it is the newest."""
    payload = os.urandom(400_000)
    manual = an_alert(rule="manual", severity=0.0, raised_at=START - timedelta(hours=1))
    watch.saving.save(Incident("manual-1", manual, None, captures=(_big(payload),)))
    baseline = an_alert(rule=BASELINE_RULE, severity=-1.0, raised_at=START)
    watch.saving.save(Incident("baseline-1", baseline, None, captures=(_big(payload),)))
    limits = RetentionLimits(max_total_bytes=watch.store.usage().total_bytes - 300_000, min_free_disk_bytes=0)
    from monitord.jobs import RetentionManager

    report = RetentionManager(watch.store, replace(limits, process_share=1.0)).make_room(0, START)
    assert report.dropped_evidence == ("baseline-1",)


def _big(payload: bytes) -> Capture:
    return a_capture(target=ProcessKey(4242, 1), payload=payload)
