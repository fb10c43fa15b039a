"""A recorder whose `[notify]` changes while a sender is at it, and what it keeps while none can be started."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from monitord.storage.artefacts.monitor import AlertLevel, StorageAlert
from tests.notify.servers import Receiver, receiving
from tests.notify.test_sender import Recorder, an_incident, recorder, webhook
from tests.servers import wait_until

__all__ = ["recorder"]


def test_what_is_told_after_a_reload_goes_to_whom_it_names_also_while_a_message_is_under_way(
    recorder: Recorder,
) -> None:
    """The sender that runs knows the old receivers: it ends with what it is at, however much comes."""
    with receiving(Receiver(hold=threading.Event())) as old, receiving(Receiver()) as new:
        recorder.configure(webhook(old.url), fold_s=0, deadline_s=60)
        supervisor = recorder.started()
        supervisor.settled(recorder.save(an_incident()))
        wait_until(lambda: bool(old.got), "first try")
        recorder.configure(webhook(new.url), fold_s=0)
        supervisor.use(30.0)
        name = recorder.save(an_incident())
        supervisor.settled(name)
        assert old.hold is not None
        old.hold.set()
        recorder.settle(supervisor)
    assert len(old.got) == 1
    assert name in [body["id"] for body in new.bodies()]
    assert supervisor.trouble is None


def test_a_reload_that_mends_the_configuration_waits_for_no_pause(recorder: Recorder) -> None:
    recorder.configure("name = 7")
    supervisor = recorder.started()
    recorder.settle(supervisor)
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url))
        supervisor.settled(recorder.save(an_incident()))
        supervisor.use(30.0)
        recorder.settle(supervisor)
        assert len(place.got) == 1


def test_a_thousand_incidents_push_no_trouble_of_the_storage_out(recorder: Recorder) -> None:
    """While no sender can be started the recorder keeps a few lines: of the storage nobody else tells."""
    alert = StorageAlert("space", AlertLevel.CRITICAL, "no room", "free some", datetime.now(UTC))
    recorder.configure("name = 7")
    supervisor = recorder.started()
    recorder.settle(supervisor)
    supervisor.storage(alert)
    for number in range(1000):
        supervisor.settled(f"incident{number}")
    assert len(supervisor._untold) <= 64
    with receiving(Receiver()) as place:
        recorder.configure(webhook(place.url))
        supervisor.use(30.0)
        recorder.settle(supervisor)
    assert [body["kind"] for body in place.bodies()] == ["storage"]
