"""The order of one pass: what is saved, of whom, in which order, and what happens when a step fails.

More than 400 lines: one list of promises, about one stage.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.errors import BusyError
from monitord.model import (
    Alert,
    Arming,
    Capture,
    CapturePlan,
    CaptureStatus,
    Demand,
    DetectionResult,
    Incident,
    ProcessKey,
    Rates,
    Traffic,
    TriggerMetric,
)
from monitord.pipeline import (
    CaptureBudget,
    CaptureLimits,
    ExcludeSelf,
    FirstLooks,
    IncidentWorker,
    Pipeline,
    Ring,
    incidents,
)
from monitord.pipeline.repeats import Rows
from tests.fakes import (
    KEY,
    START,
    FakeCaptures,
    FakeDetector,
    FakeSampler,
    a_capture,
    a_process,
    an_alert,
    some_rates,
)
from tests.patience import PATIENCE_S


class Stage:
    """A pipeline with everything real but the rooms it introduces."""

    def __init__(
        self,
        folder: Path,
        passes: Sequence[Rates],
        verdicts: Sequence[DetectionResult],
        adapt: incidents.Adapt = lambda plan, _: plan,
    ) -> None:
        self.captures = FakeCaptures([a_capture("context"), a_capture(target_cpu_percent=98.0)])
        self.saved: list[Incident] = []
        self.amended: list[tuple[str, str]] = []
        self.repeats: list[tuple[str, Alert]] = []
        self.detector = FakeDetector(verdicts)
        self.folder = folder
        self.turn: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        self.traffic = Traffic()
        self.first_looks = FirstLooks(self.captures.first_look, lambda: self.traffic, folder / "first-looks")
        self.worker = IncidentWorker(
            self.captures,
            self.save,
            lambda: self.turn(),  # noqa: PLW0108  a test may change it later
            folder,
            CapturePlan(duration_s=3),
            adapt=adapt,
            change=lambda row, reason: self.amended.append((row, reason)),
        )
        self.budget = CaptureBudget(CaptureLimits(max_per_hour=2))
        ids = iter(f"inc{number}" for number in range(100))
        self.pipeline = Pipeline(
            FakeSampler(passes),
            self.detector,
            self.first_looks,
            self.worker,
            self.budget,
            ring=Ring(300),
            new_id=lambda: next(ids),
            on_repeat=lambda row, alert: self.repeats.append((row, alert)),
        )

    def save(self, incident: Incident) -> Future[object]:
        self.saved.append(incident)
        done: Future[object] = Future()
        done.set_result(None)
        return done

    def run(self, passes: int) -> None:
        for _ in range(passes):
            self.pipeline.run_pass()
        self.close()

    def close(self) -> None:
        wait_until(lambda: self.worker.is_idle)
        self.worker.close(5)
        self.first_looks.close()


def arming(target: ProcessKey | None = KEY, metric: TriggerMetric = TriggerMetric.CPU) -> Arming:
    return Arming("cpu-hog", metric, target, "burn", 97.0, START)


def test_a_spike_becomes_an_incident_with_its_dump_first_and_its_profile_after(tmp_path: Path) -> None:
    """The dump taken at the first crossing is saved at once; the full profile follows under the same id."""
    passes = [some_rates(s, [a_process()]) for s in (0, 2, 4)]
    verdicts = [DetectionResult(armed=(arming(),)), DetectionResult(), DetectionResult(alerts=(an_alert(),))]
    stage = Stage(tmp_path, passes, verdicts)
    stage.run(3)
    first, second = stage.saved
    assert [capture.role for capture in first.captures] == ["dump"]
    assert [capture.role for capture in second.captures] == ["dump", "context", "profile"]
    assert first.correlation_id == second.correlation_id == "inc0"
    assert [point.cpu_percent for point in first.history] == [97.0, 97.0, 97.0]
    assert stage.captures.asked == [(KEY, CapturePlan(duration_s=3))]
    assert list(tmp_path.iterdir()) == [], "the spool is empty when everything is saved"


def test_a_broken_window_throws_the_dump_away(tmp_path: Path) -> None:
    """Nothing is saved of a crossing that did not last."""
    passes = [some_rates(s, [a_process()]) for s in (0, 2)]
    stage = Stage(
        tmp_path, passes, [DetectionResult(armed=(arming(),)), DetectionResult(disarmed=(arming(),))]
    )
    stage.run(2)
    assert stage.saved == []
    assert stage.first_looks.claim("cpu-hog", KEY) is None


def test_a_killed_process_keeps_what_another_rule_saw_of_it(tmp_path: Path) -> None:
    """The kernel's kill is one incident; the look was taken when its memory crossed."""
    killed = an_alert(rule="out-of-memory", metric=TriggerMetric.OOM_KILL, profiler="none")
    passes = [some_rates(s, [a_process()]) for s in (0, 2)]
    armed = DetectionResult(armed=(arming(metric=TriggerMetric.MEMORY),))
    stage = Stage(tmp_path, passes, [armed, DetectionResult(alerts=(killed,))])
    stage.run(2)
    assert [capture.role for capture in stage.saved[0].captures][:1] == ["dump"]


def test_a_repeat_during_a_cooldown_counts_with_the_incident_before_it(tmp_path: Path) -> None:
    """No second row, and not nothing either: the first one's id is told with what was suppressed."""
    again = an_alert(suppressed_by="cooling down for 412 s more", is_repeat=True)
    passes = [some_rates(s, [a_process()]) for s in (0, 2)]
    stage = Stage(tmp_path, passes, [DetectionResult(alerts=(an_alert(),)), DetectionResult(alerts=(again,))])
    stage.run(2)
    assert {incident.correlation_id for incident in stage.saved} == {"inc0"}
    assert stage.repeats == [("inc0", again)]
    assert (stage.pipeline.counts.alerts, stage.pipeline.counts.suppressed) == (1, 1)
    assert sum(stage.pipeline.counts.by_rule.values()) == 1


def test_one_of_a_crowd_counts_with_the_overload_that_was_told(tmp_path: Path) -> None:
    """Whoever is part of the machine's trouble is counted in its row; without that row it gets its own."""
    overload = an_alert(rule="cpu-overload", metric=TriggerMetric.CPU_PRESSURE, target=None)
    starved = an_alert(suppressed_by="2 captures an hour are taken", counts_with="cpu-overload")
    passes = [some_rates(s, [a_process()]) for s in (0, 2, 4)]
    alone = Stage(tmp_path / "alone", passes, [DetectionResult(alerts=(starved,))])
    alone.run(1)
    assert [incident.alert for incident in alone.saved][:1] == [starved]
    stage = Stage(
        tmp_path / "told", passes, [DetectionResult(alerts=(overload,)), DetectionResult(alerts=(starved,))]
    )
    stage.run(2)
    assert {incident.alert.rule for incident in stage.saved} == {"cpu-overload"}
    assert stage.repeats == [("inc0", starved)]


@pytest.mark.parametrize("is_repeat", [False, True])
def test_an_alert_over_its_rules_budget_leaves_its_row(tmp_path: Path, is_repeat: bool) -> None:
    """Whatever a limit says about its profile: who it was, a dump, the context, and the limit in words."""
    alert = an_alert(suppressed_by="this rule's limit of 6 captures an hour is reached", is_repeat=is_repeat)
    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(alert,))])
    stage.run(1)
    (incident,) = stage.saved
    assert [capture.role for capture in incident.captures] == ["dump", "context", "profile"]
    assert [capture.status.has_evidence for capture in incident.captures] == [True, True, False]
    assert incident.captures[-1].reason == alert.suppressed_by
    assert stage.captures.asked == []
    assert stage.budget.spent == []


def test_a_process_that_flaps_over_its_rules_budget_has_one_row(tmp_path: Path) -> None:
    """Each of its episodes is an alert; those within ten minutes count with the first."""
    alerts = [
        an_alert(suppressed_by="its limit", raised_at=START + timedelta(seconds=second))
        for second in (10, 40, 70, 700)
    ]
    passes = [some_rates(s, [a_process()]) for s in (10, 40, 70, 700)]
    stage = Stage(tmp_path, passes, [DetectionResult(alerts=(alert,)) for alert in alerts])
    stage.run(4)
    assert {incident.correlation_id for incident in stage.saved} == {"inc0", "inc1"}
    assert [row for row, _ in stage.repeats] == ["inc0", "inc0"]


def test_what_is_known_of_rows_survives_a_restart(tmp_path: Path) -> None:
    """A cooldown outlives the daemon, and so does the row that it belongs to; damage is left out."""
    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(an_alert(),))])
    stage.run(1)
    later = Rows()
    later.restore([*json.loads(json.dumps(stage.pipeline.rows.remember())), 7, ["x"], [1, "a", 2, 3, 4]])
    assert later.repeated(an_alert(suppressed_by="cooling down", is_repeat=True)) == "inc0"
    assert later.repeated(an_alert(suppressed_by="cooling down", is_repeat=True, rule="other")) is None


def test_the_budget_refuses_the_profile_but_keeps_the_incident(tmp_path: Path) -> None:
    """The third alert of the hour is kept with the reason why it has no profile."""
    passes = [some_rates(s, [a_process()]) for s in (0, 10, 20)]
    stage = Stage(tmp_path, passes, [DetectionResult(alerts=(an_alert(),))] * 3)
    for _ in range(3):
        stage.pipeline.run_pass()
        wait_until(lambda: stage.worker.is_idle)
    wait_until(lambda: any(incident.correlation_id == "inc2" for incident in stage.saved))
    stage.close()
    (third,) = [incident for incident in stage.saved if incident.correlation_id == "inc2"]
    refused = third.captures[-1]
    assert refused.status is CaptureStatus.REFUSED
    assert "2 profiles taken in the last hour" in (refused.reason or "")
    assert stage.detector.given_back == ["cpu-hog"], "the rule's own hour does not pay for it"
    assert len(stage.captures.asked) == 2


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ({"memory_available_bytes": 1 << 20}, "of its memory left"),
        ({"load_1": 100.0}, "the load is 100 on 2 CPUs"),
    ],
)
def test_a_starving_machine_is_left_alone(tmp_path: Path, system: dict[str, object], expected: str) -> None:
    """No profiler is started on a machine without memory or with a runaway load."""
    rates = some_rates(0, [a_process()], **system)
    stage = Stage(tmp_path, [rates], [DetectionResult(alerts=(an_alert(),))])
    stage.pipeline.run_pass()
    wait_until(lambda: stage.saved)
    stage.close()
    assert expected in (stage.saved[0].captures[-1].reason or "")
    assert stage.captures.asked == []


def test_a_network_alert_blames_the_busiest_talker(tmp_path: Path) -> None:
    """The interface rate fires; the per-socket counters name the process, and it is the one profiled."""
    talker = ProcessKey(99, 5)
    verdicts = [
        DetectionResult(armed=(arming(None, TriggerMetric.NETWORK),)),
        DetectionResult(alerts=(an_alert(TriggerMetric.NETWORK, target=None, process_name="network"),)),
    ]
    stage = Stage(tmp_path, [some_rates(0), some_rates(2)], verdicts)
    stage.traffic = Traffic(blamed=(talker, "sender"), said="200 MB/s by TCP with 192.0.2.7:443")
    stage.run(2)
    assert stage.saved[0].alert.target == talker
    assert stage.saved[0].alert.process_name == "sender"
    assert stage.saved[0].alert.reason.endswith("; 200 MB/s by TCP with 192.0.2.7:443")
    assert stage.captures.asked[0][0] == talker


@pytest.mark.parametrize(("moved", "is_blamed"), [(1e6, False), (150e6, True), (0.0, True)])
def test_a_talker_is_blamed_for_traffic_only_when_it_moved_enough_of_it(
    tmp_path: Path, moved: float, is_blamed: bool
) -> None:
    """A burst may be over when sockets are looked at, and a quiet talker the busiest; UDP's bytes are not known."""
    talker = ProcessKey(99, 5)
    crossing = replace(arming(None, TriggerMetric.NETWORK), value=700e6)
    alert = an_alert(TriggerMetric.NETWORK, target=None, process_name="network")
    verdicts = [DetectionResult(armed=(crossing,)), DetectionResult(alerts=(alert,))]
    stage = Stage(tmp_path, [some_rates(0), some_rates(2)], verdicts)
    stage.traffic = Traffic(((talker, "sender", moved),), (talker, "sender"), "some MB/s by TCP")
    stage.run(2)
    assert stage.saved[0].alert.target == (talker if is_blamed else None)
    assert "some MB/s by TCP" in stage.saved[0].alert.reason


def test_an_unattributed_network_alert_is_kept_without_a_capture(tmp_path: Path) -> None:
    """When nobody can be blamed nobody is: the incident has no target, and its reason says why."""
    verdicts = [
        DetectionResult(armed=(arming(None, TriggerMetric.NETWORK),)),
        DetectionResult(alerts=(an_alert(TriggerMetric.NETWORK, target=None, process_name="unattributed"),)),
    ]
    stage = Stage(tmp_path, [some_rates(0), some_rates(2)], verdicts)
    stage.traffic = Traffic(said="it was UDP")
    stage.run(2)
    assert [incident.alert.target for incident in stage.saved] == [None]
    assert stage.saved[0].alert.reason.endswith("; it was UDP")
    assert stage.captures.asked == []


def test_low_memory_blames_the_heaviest_process(tmp_path: Path) -> None:
    """A machine-wide rule looks at whoever holds most of the memory."""
    alert = an_alert(TriggerMetric.FREE_MEMORY, target=None, process_name="machine")
    stage = Stage(tmp_path, [some_rates(0)], [DetectionResult(alerts=(alert,))])
    stage.run(1)
    assert stage.saved[0].alert.process_name == "whale"
    assert stage.captures.asked[0][0] == ProcessKey(77, 1)


def test_low_memory_blames_nobody_who_is_merely_the_largest(tmp_path: Path) -> None:
    """Where the memory is not in processes the largest of them is as small as it is."""
    alert = an_alert(TriggerMetric.FREE_MEMORY, target=None, process_name="no single process")
    full = some_rates(0, memory_total_bytes=1 << 50, memory_available_bytes=0)
    stage = Stage(tmp_path, [full], [DetectionResult(alerts=(alert,))])
    stage.run(1)
    assert (stage.saved[0].alert.target, stage.captures.asked) == (None, [])
    assert stage.saved[0].alert.process_name == "no single process"


def test_a_starved_profile_is_no_late_one(tmp_path: Path) -> None:
    """On a crowded machine a burner gets a fraction of a core; what it waited for is no part of its use."""
    alert = an_alert(waited_percent=70.0)
    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(alert,))])
    stage.captures.captures = [a_capture(target_cpu_percent=22.0), a_capture(target_cpu_percent=3.0)]
    stage.run(1)
    assert [capture.late for capture in stage.saved[1].captures] == [False, False, True]


def test_a_machine_where_memory_is_not_known_is_not_short_of_it() -> None:
    """Unknown is no reason to refuse a capture."""
    system = some_rates(0, memory_total_bytes=0, memory_available_bytes=0).system
    assert CaptureBudget(CaptureLimits()).refusal(START, system) is None


def test_evidence_taken_after_the_spike_is_labelled_late(tmp_path: Path) -> None:
    """A profile during which the target was idle is never shown as the spike."""
    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(an_alert(),))])
    stage.captures.captures = [a_capture("context"), a_capture(target_cpu_percent=3.0)]
    stage.run(1)
    assert [capture.late for capture in stage.saved[1].captures] == [False, False, True]


def test_a_capture_by_hand_in_progress_is_told_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One capture at a time on a data directory, whoever asked first."""

    @contextlib.contextmanager
    def taken() -> Iterator[None]:
        raise BusyError("a capture asked for by hand is running (pid 7)")
        yield

    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(an_alert(),))])
    stage.turn = taken
    monkeypatch.setattr(incidents, "_TURN_WAIT_S", 0.3)
    stage.run(1)
    assert "pid 7" in (stage.saved[1].captures[-1].reason or "")


def test_a_profiler_that_raises_does_not_stop_the_next_incident(tmp_path: Path) -> None:
    """Around one capture everything is caught; what was seen before it is already saved."""
    stage = Stage(
        tmp_path, [some_rates(s, [a_process()]) for s in (0, 2)], [DetectionResult(alerts=(an_alert(),))] * 2
    )
    calls: list[int] = []

    def explode(target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]:
        calls.append(1)
        raise RuntimeError("profiler adapter bug")

    stage.captures.capture = explode  # type: ignore[method-assign]
    stage.pipeline.run_pass()
    wait_until(lambda: stage.worker.current is None and calls)
    stage.pipeline.run_pass()
    wait_until(lambda: len(calls) == 2)
    stage.close()
    assert {incident.correlation_id for incident in stage.saved} == {"inc0", "inc1"}
    assert stage.saved[-1].captures[-1].reason == "RuntimeError: profiler adapter bug"


def test_refused_captures_are_taken_when_their_turn_comes_the_worst_first(tmp_path: Path) -> None:
    """Five at once: nobody is refused while its episode lasts, and the order is that of severity."""
    crowd = [ProcessKey(1000 + number, 1) for number in range(5)]
    alerts = [an_alert(target=key, severity=float(key.pid)) for key in crowd]
    stage = Stage(
        tmp_path,
        [some_rates(0), some_rates(1)],
        [DetectionResult(alerts=(alerts[0],)), DetectionResult(alerts=tuple(alerts[1:]))],
    )
    stage.budget.limits = CaptureLimits(max_per_hour=100)
    hold_back = threading.Event()
    stage.captures.on_capture = lambda: hold_back.wait(PATIENCE_S)
    stage.pipeline.run_pass()
    wait_until(lambda: stage.captures.asked)
    stage.pipeline.run_pass()
    wait_until(lambda: len({one.alert.target for one in stage.saved if len(one.captures) > 1}) == 4)
    hold_back.set()
    stage.close()
    assert [target.pid for target, _ in stage.captures.asked] == [1000, 1004, 1003, 1002, 1001]
    assert sorted(key.pid for key in stage.captures.described) == [1001, 1002, 1003, 1004], (
        "context comes at once"
    )
    final = {incident.alert.target: incident for incident in stage.saved}
    roles = [[capture.role for capture in incident.captures] for incident in final.values()]
    assert all(sorted(each) == ["context", "dump", "profile"] for each in roles)


def test_what_is_over_when_its_turn_comes_is_not_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row says how it went, and the hour's budgets get back what was not used."""
    monkeypatch.setattr(incidents, "_STALE_S", 0.0)
    first, second = ProcessKey(1000, 1), ProcessKey(1001, 1)
    verdicts = [DetectionResult(alerts=(an_alert(target=key),)) for key in (first, second)]
    stage = Stage(tmp_path, [some_rates(0), some_rates(1), some_rates(2)], [*verdicts, DetectionResult()])
    hold_back = threading.Event()
    stage.captures.on_capture = lambda: hold_back.wait(PATIENCE_S)
    stage.pipeline.run_pass()
    wait_until(lambda: stage.captures.asked)
    stage.pipeline.run_pass()
    stage.detector.over.add(("cpu-hog", second))
    hold_back.set()
    wait_until(lambda: stage.worker.is_idle)
    stage.run(1)
    assert "the spike ended while its capture waited" in (stage.saved[-1].captures[-1].reason or "")
    assert len(stage.captures.asked) == len(stage.budget.spent) == 1
    assert stage.detector.given_back == ["cpu-hog"]


def squeezed_out(saved: Sequence[Incident]) -> list[ProcessKey | None]:
    """Whose last saved row says that worse alerts took the places in the queue."""
    final = {incident.alert.target: incident for incident in list(saved)}
    said = "captures of worse alerts were already waiting"
    return [key for key, one in final.items() if one.captures and said in (one.captures[-1].reason or "")]


def test_a_queue_that_is_full_squeezes_out_the_mildest(tmp_path: Path) -> None:
    """Twenty rows at once: one is captured, sixteen wait, and the mildest say why they have no profile."""
    crowd = [ProcessKey(1000 + number, 1) for number in range(20)]
    alerts = tuple(an_alert(target=key, severity=float(key.pid)) for key in crowd)
    stage = Stage(tmp_path, [some_rates(0)], [DetectionResult(alerts=alerts)])
    stage.budget.limits = CaptureLimits(max_per_hour=100)
    hold_back = threading.Event()
    stage.captures.on_capture = lambda: hold_back.wait(PATIENCE_S)
    stage.pipeline.run_pass()
    # A row alone is no place in the queue: it is stored before its incident lines up.
    wait_until(lambda: len(squeezed_out(stage.saved)) >= 3)
    hold_back.set()
    stage.close()
    assert {incident.alert.target for incident in stage.saved} == set(crowd)
    refused = squeezed_out(stage.saved)
    assert 3 <= len(refused) <= 4
    assert crowd[-1] not in refused
    assert len(stage.captures.asked) == len(stage.budget.spent) == 20 - len(refused)


def test_in_a_flood_every_row_comes_at_once_and_the_worst_gets_its_evidence_first(tmp_path: Path) -> None:
    """While the first look of the first hangs, the others have their rows; the worst, which came last, is next."""
    crowd = [ProcessKey(1000 + number, 1) for number in range(8)]
    alerts = tuple(an_alert(target=key, severity=float(key.pid)) for key in crowd)
    stage = Stage(tmp_path, [some_rates(0)], [DetectionResult(alerts=alerts)])
    reads, may_go_on = [], threading.Event()

    def read(capture: Capture, _folder: Path) -> Capture:
        reads.append(capture.target)
        may_go_on.wait(PATIENCE_S)
        return capture

    stage.captures.read = read  # type: ignore[method-assign]
    stage.pipeline.run_pass()
    wait_until(lambda: len(reads) == 1)
    others = {key for key in crowd if key != reads[0]}
    wait_until(lambda: {one.alert.target for one in stage.saved} >= others - {crowd[0]})
    assert all(not one.captures for one in stage.saved)
    assert set(stage.worker.pending) >= {one.correlation_id for one in stage.saved[:1]}
    may_go_on.set()
    stage.close()
    evidenced = [one.alert.target for one in stage.saved if one.captures]
    assert list(dict.fromkeys(evidenced))[1] == max(others, key=lambda key: key.pid)
    assert stage.worker.pending == ()


def test_a_flood_is_one_row_that_counts_and_names(tmp_path: Path) -> None:
    """Three hundred alerts in one pass, more in the next: twenty rows and one, and every alert in its counts."""
    crowd = [ProcessKey(1000 + number, 1) for number in range(300)]
    alerts = [an_alert(target=key, severity=1e6 / key.pid, process_name=f"p{key.pid}") for key in crowd]
    more = [an_alert(target=ProcessKey(5000 + n, 1), rule="memory", severity=1.0) for n in range(7)]
    decoyed = an_alert(target=ProcessKey(9, 1), process_name="the real one", severity=1e9)
    verdicts = [
        DetectionResult(alerts=tuple(alerts)),
        DetectionResult(alerts=(decoyed, *more)),
        DetectionResult(),
    ]
    stage = Stage(tmp_path, [some_rates(0), some_rates(6), some_rates(7)], verdicts)
    stage.run(3)
    rows = {incident.correlation_id: incident for incident in stage.saved}
    assert len(rows) == 22
    assert rows["inc20"].alert.target == crowd[20], "the worst of those that share it"
    assert any(one.alert.process_name == "the real one" for one in rows.values()), "decoys hide nobody"
    ((row, reason),) = stage.amended
    assert row == "inc20"
    assert "286 further alerts share this row (279 of cpu-hog, 7 of memory; worst: p1021 (pid 1021)" in reason
    counts = stage.pipeline.counts
    assert counts.alerts - 1 + counts.folded == 300 + 7 + 1
    assert sum(counts.by_rule.values()) == counts.alerts


@pytest.mark.parametrize("way", ["refused", "not wanted", "unattributed"])
def test_a_profile_that_was_never_tried_costs_no_budget(tmp_path: Path, way: str) -> None:
    """Consent, a rule without profiler, an alert without culprit: the hour's budget stays whole."""
    alert = {
        "refused": an_alert(),
        "not wanted": an_alert(profiler="none"),
        "unattributed": an_alert(TriggerMetric.NETWORK, target=None),
    }[way]
    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(alert,))])
    stage.captures.captures = [a_capture(status=CaptureStatus.REFUSED)]
    stage.run(1)
    assert stage.budget.spent == []
    assert stage.saved


def test_stopping_does_not_wait_for_a_capture_by_hand(tmp_path: Path) -> None:
    """SIGTERM while the turn is somebody else's: the incident says why it has no profile, at once."""
    asked = threading.Event()

    @contextlib.contextmanager
    def taken() -> Iterator[None]:
        asked.set()
        raise BusyError("a capture asked for by hand is running (pid 7)")
        yield

    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(an_alert(),))])
    stage.turn = taken
    stage.pipeline.run_pass()
    assert asked.wait(PATIENCE_S)
    stage.worker.close(PATIENCE_S)
    assert stage.saved[-1].captures[-1].reason == "the daemon was stopping"


def test_a_first_look_too_many_is_told(tmp_path: Path) -> None:
    """More crossings in one tick than looks can wait: the dump is missing, its reason is not."""
    hold_back = threading.Event()

    def slow(target: ProcessKey, folder: Path) -> Capture:
        assert hold_back.wait(PATIENCE_S)
        return a_capture("dump", target=target)

    looks = FirstLooks(slow, list, tmp_path)
    crowd = [ProcessKey(1000 + number, 1) for number in range(5)]
    for key in crowd:
        looks.take(arming(key))
    last = looks.claim("cpu-hog", crowd[-1])
    assert last is not None
    dump = last.result(0).dump
    assert dump is not None
    assert (dump.status, dump.reason) == (CaptureStatus.REFUSED, "4 first looks were waiting already")
    hold_back.set()
    looks.close()


def test_monitord_never_reports_itself() -> None:
    """Neither the daemon nor a profiler's grandchild is seen, also when its parent has ended; others are."""
    daemon, supervisor, tool, other = (ProcessKey(pid, 1) for pid in (10, 11, 12, 13))
    family = [
        a_process(tool, parent_pid=supervisor.pid),
        a_process(supervisor, parent_pid=daemon.pid),
        a_process(daemon, parent_pid=1),
    ]
    orphan, reused = a_process(tool, parent_pid=1), a_process(ProcessKey(11, 99), parent_pid=1)
    stranger = a_process(other, parent_pid=1)
    later = replace(some_rates(2, [orphan, reused]), exited=(supervisor,))
    passes = [some_rates(0, [*family, stranger]), later]
    sampler = ExcludeSelf(FakeSampler(passes), daemon.pid)
    seen = [[process.key for process in sampler.look(Demand()).processes] for _ in passes]
    assert seen == [[other], [reused.key]]


def test_stopping_ends_the_capture_under_way(tmp_path: Path) -> None:
    """SIGTERM reaches the profiler, and its result is saved before the worker ends."""
    stage = Stage(tmp_path, [some_rates(0, [a_process()])], [DetectionResult(alerts=(an_alert(),))])
    running, ended = threading.Event(), threading.Event()

    def slow(target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]:
        running.set()
        assert ended.wait(PATIENCE_S)
        return [a_capture(status=CaptureStatus.PARTIAL)]

    stage.captures.capture = slow  # type: ignore[method-assign]
    stage.captures.stop = ended.set  # type: ignore[method-assign]
    stage.pipeline.run_pass()
    assert running.wait(PATIENCE_S)
    stage.worker.close(PATIENCE_S)
    assert stage.saved[-1].captures[-1].status is CaptureStatus.PARTIAL


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
