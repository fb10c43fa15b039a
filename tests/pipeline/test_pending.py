"""What the store can't take now: held back in order, bounded, and never in the way of the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from monitord.errors import StorageError
from monitord.model import CaptureStatus, HistoryPoint, Hotspot, Incident
from monitord.pipeline import PendingIncidents
from monitord.pipeline.pending import _size as size_of
from tests.fakes import a_capture, an_alert


class SickStore:
    """A store that refuses for a while."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.saved: list[str] = []

    def save(self, incident: Incident) -> object:
        if self.refusals:
            self.refusals -= 1
            raise StorageError("database or disk is full")
        self.saved.append(incident.correlation_id)
        return None


def run_at_once(call: Callable[[], object]) -> Future[object]:
    done: Future[object] = Future()
    try:
        done.set_result(call())
    except Exception as error:  # noqa: BLE001  the shape of a real executor
        done.set_exception(error)
    return done


def an_incident(name: str, severity: float = 1.0) -> Incident:
    return Incident(name, an_alert(severity=severity), None)


def test_what_the_store_refuses_waits_and_is_saved_in_order() -> None:
    """Disk full for a while: nothing lost, nothing twice, order kept, trouble said and ended."""
    store = SickStore(refusals=2)
    pending = PendingIncidents(store.save, run_at_once)
    first, second = pending.keep(an_incident("a")), pending.keep(an_incident("b"))
    assert not first.done()
    assert (pending.trouble, pending.waiting_count) == ("database or disk is full", 2)
    pending.retry()
    assert store.saved == ["a", "b"]
    assert first.done()
    assert second.done()
    assert (pending.trouble, pending.waiting_count) == (None, 0)


def test_an_incident_that_can_never_be_saved_does_not_block_the_others() -> None:
    """A bug or hostile bytes in one of them: it is dropped, counted and said; the next one is saved."""
    store = SickStore(refusals=0)

    def save(incident: Incident) -> object:
        if incident.correlation_id == "bad":
            raise ValueError("surrogates not allowed")
        return store.save(incident)

    pending = PendingIncidents(save, run_at_once)
    bad, good = pending.keep(an_incident("bad")), pending.keep(an_incident("good"))
    assert isinstance(bad.exception(0), ValueError)
    assert good.done()
    assert (store.saved, pending.dropped, pending.waiting_count) == (["good"], 1, 0)


def test_a_backlog_that_is_too_long_drops_the_mildest_and_counts_it() -> None:
    """Bounded memory: the worst incidents are the last to go."""
    store = SickStore(refusals=99)
    pending = PendingIncidents(store.save, run_at_once, capacity=2)
    futures = [pending.keep(an_incident(name, severity)) for name, severity in (("a", 3), ("b", 1), ("c", 2))]
    assert futures[1].cancelled()
    store.refusals = 0
    pending.retry()
    assert store.saved == ["a", "c"]
    assert pending.dropped == 1


def test_what_waits_is_bounded_by_bytes_and_the_mildest_gives_up_its_evidence_first() -> None:
    """A store that refuses for hours: all incidents are kept, the worst with their evidence, within 1 MB."""
    store = SickStore(refusals=100)
    pending = PendingIncidents(store.save, run_at_once, most_bytes=1_000_000)
    kept: list[Incident] = []
    pending._save = kept.append  # type: ignore[assignment]  # what is saved at last
    pending._write = lambda _call: Future()  # type: ignore[assignment]  # nothing is written until then
    for number in range(50):
        evidence = (a_capture("dump", payload=b"x" * 100_000),)
        pending.keep(replace(an_incident(f"i{number}", severity=float(number)), captures=evidence))
    pending._drain()
    assert len(kept) == 50
    whole = [incident.correlation_id for incident in kept if incident.captures[0].payload is not None]
    assert whole == [f"i{number}" for number in range(40, 50)]
    bare = kept[0].captures[0]
    assert (bare.status, bare.reason and "too much waited" in bare.reason) == (CaptureStatus.REFUSED, True)


def test_history_and_hotspots_count_as_what_waits_in_memory() -> None:
    """Not only payloads weigh: incidents without one are made lighter as well, the mildest first."""
    at = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
    points = tuple(HistoryPoint(at, 50.0, 1 << 30) for _ in range(300))
    spots = tuple(Hotspot(f"f{number}", "a.py", number, 0.1, 0.1) for number in range(20))
    kept: dict[str, Incident] = {}
    one = replace(
        an_incident("x"), history=points, captures=(replace(a_capture(), payload=None, hotspots=spots),)
    )
    pending = PendingIncidents(SickStore(refusals=99).save, run_at_once, most_bytes=2 * size_of(one))
    for name, severity in (("mild", 1.0), ("bad", 9.0), ("middling", 5.0)):
        capture = replace(a_capture(), payload=None, hotspots=spots)
        pending.keep(replace(an_incident(name, severity), history=points, captures=(capture,)))
    pending._save = lambda incident: kept.update({incident.correlation_id: incident})
    pending.retry()
    assert list(kept) == ["mild", "bad", "middling"]
    assert (kept["mild"].history, kept["mild"].captures[0].hotspots) == ((), ())
    assert len(kept["bad"].history) == len(kept["middling"].history) == len(points)
    assert kept["bad"].captures[0].hotspots == spots
