"""While nothing runs the black box sleeps: the kernel's next samples end that, a full side ring, or a stop.

Its rings are those of our own processes here: nobody has a sample in them until he is followed, so that it is
quiet also where others are busy.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitord.pipeline.failures import Failures
from monitord.stacks import box as box_module
from monitord.stacks.box import BlackBox
from monitord.stacks.lives import Lives
from monitord.stacks.opening import BoxSettings
from monitord.stacks.rings import Bell, Rings
from tests.patience import PATIENCE_S
from tests.stacks.test_box import own_rings, wait_until

pytestmark = own_rings

FOR_EVER_S = 10 * PATIENCE_S


@pytest.fixture
def own() -> Iterator[Rings]:
    with closing(Rings.open(scope="own processes")) as rings:
        yield rings


@pytest.fixture
def burner() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def box(own: Rings, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlackBox]:
    """One that has all that it wants, by these rings."""
    monkeypatch.setattr(box_module, "opened", lambda _settings: (own, Lives(own), None))
    made = BlackBox(BoxSettings(), lambda _name, _executable: True, Failures().run)
    yield made
    made.close(PATIENCE_S)


def sleeps_of(box: BlackBox) -> int:
    """How often its thread has gone to sleep, as the kernel counts."""
    assert box._thread is not None
    status = Path(f"/proc/self/task/{box._thread.native_id}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])


def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the box looks into its rings, from now on."""
    found: list[float] = []
    fresh = Rings.fresh

    def counted(rings: Rings) -> Any:
        found.append(time.monotonic())
        return fresh(rings)

    monkeypatch.setattr(Rings, "fresh", counted)
    return found


def test_a_quiet_reader_hardly_wakes(box: BlackBox) -> None:
    """Four times a second cost 0.1 % of a core."""
    box.start()
    wait_until(lambda: box._is_quiet)
    before = sleeps_of(box)
    time.sleep(6)  # 24 looks of the timer
    assert sleeps_of(box) - before <= 8


def test_a_busy_one_goes_on_by_the_timer(
    box: BlackBox, own: Rings, burner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample in the last seconds: then nothing else ends a pause, and nothing makes it longer."""
    assert own.follow(burner.pid)
    slept: list[float] = []
    monkeypatch.setattr(Rings, "wait", lambda _rings, seconds, _bell: slept.append(seconds))
    box.start()
    wait_until(lambda: burner.pid in box._seen_ns)
    told = looks(monkeypatch)
    wait_until(lambda: len(told) >= 12)
    assert slept == []


def test_the_first_samples_end_the_sleep_and_are_read(
    box: BlackBox, own: Rings, burner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_module, "_QUIET_FOR_S", FOR_EVER_S)
    box.start()
    wait_until(lambda: box._is_quiet)
    time.sleep(1)  # it has gone to sleep by now, and if not it has to be woken all the same
    assert own.follow(burner.pid)
    wait_until(lambda: burner.pid in box._seen_ns)
    wait_until(lambda: not box._is_quiet)


def test_a_stop_ends_the_sleep(box: BlackBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_module, "_QUIET_FOR_S", FOR_EVER_S)
    box.start()
    wait_until(lambda: box._is_quiet)
    time.sleep(1)
    box.close(PATIENCE_S)
    assert box._thread is not None
    assert not box._thread.is_alive()


def test_other_settings_end_the_sleep(box: BlackBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_module, "_QUIET_FOR_S", FOR_EVER_S)
    box.start()
    wait_until(lambda: box._is_quiet)
    time.sleep(1)
    box.use(BoxSettings(is_enabled=False))
    wait_until(lambda: box.status()["state"] == "off")


def test_a_sleep_that_ends_at_once_costs_no_more_than_the_timer(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU that goes away ends each of them until that is noticed."""
    slept: list[float] = []
    monkeypatch.setattr(Rings, "wait", lambda _rings, seconds, _bell: slept.append(seconds) or True)
    box.start()
    wait_until(lambda: slept)
    told = looks(monkeypatch)
    time.sleep(4)
    assert len(told) <= 20


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), MemoryError()], ids=repr)
@pytest.mark.parametrize("of", ["quiet", "busy"])
def test_a_sleep_that_fails_costs_that_sleep(
    box: BlackBox, own: Rings, monkeypatch: pytest.MonkeyPatch, of: str, error: Exception
) -> None:
    """Where there is no memory for it the thread goes on, by the timer, and ends when it is to."""
    told = looks(monkeypatch)

    def fail(*_about: Any) -> bool:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(Rings, "wait" if of == "quiet" else "rest", fail)
        failing.setattr(box_module, "_QUIET_AFTER_S", 0.0 if of == "quiet" else FOR_EVER_S)
        box.start()
        time.sleep(3)
        assert 1 <= len(told) <= 16
    count = len(told)
    wait_until(lambda: len(told) > count + 2)
    box.close(PATIENCE_S)
    assert box._thread is not None
    assert not box._thread.is_alive()


def test_where_not_all_can_be_seen_it_stays_awake(
    box: BlackBox, own: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is busy is to be followed at the next look, and nobody who is not has a sample."""
    monkeypatch.setattr(box_module, "opened", lambda _settings: (own, Lives(own), "it may see no others"))
    monkeypatch.setattr(box_module, "_QUIET_AFTER_S", 0.0)
    told = looks(monkeypatch)
    box.start()
    wait_until(lambda: len(told) >= 4)
    assert not box._is_quiet


def test_rings_end_a_wait_with_samples_and_only_with_some(own: Rings, burner: Any) -> None:
    """What was read is no news, also where the kernel has told nobody of it yet."""
    bell = Bell()
    assert not own.wait(0.3, bell)
    assert own.follow(burner.pid)
    for _ in range(3):
        assert own.wait(PATIENCE_S, bell)
        assert own.fresh()
    own.unfollow(burner.pid)
    own.fresh()
    assert not own.wait(0.3, bell)


def test_a_sample_that_was_not_read_ends_a_wait(own: Rings, burner: Any) -> None:
    bell = Bell()
    assert own.follow(burner.pid)
    wait_until(lambda: any(pair.stacks.fresh_bytes for pair in own._pairs.values()))
    own.unfollow(burner.pid)
    for _ in range(2):
        assert own.wait(FOR_EVER_S, bell)


def test_a_side_ring_ends_a_wait_before_it_is_overrun(own: Rings) -> None:
    """Of programs too short for a sample there may be thousands."""
    news = select.poll()
    for pair in own._pairs.values():
        news.register(pair.side.fd, select.POLLIN)
    assert own.follow(os.getpid())
    deadline = time.monotonic() + PATIENCE_S
    while not news.poll(0):
        assert time.monotonic() < deadline
        subprocess.run(["/bin/true"], check=True)
    assert own.is_filling
    assert own.side_records()
    assert own.lost.side_bytes == 0


def test_a_side_ring_ends_a_pause_while_samples_do_not(own: Rings, burner: Any) -> None:
    """A storm of starts is taken in before it is overrun, however seldom the looks are."""
    bell = Bell()
    assert own.follow(burner.pid)
    wait_until(lambda: own._poll_of(bell, with_stacks=True).poll(0))  # the kernel tells of samples
    assert own._poll_of(bell, with_stacks=False).poll(0) == []
    assert own.follow(os.getpid())
    storm = threading.Thread(target=lambda: [subprocess.run(["/bin/true"], check=True) for _ in range(300)])
    storm.start()
    own.rest(FOR_EVER_S, bell)
    assert own.is_filling
    storm.join()


@pytest.mark.parametrize("is_late", [False, True])
def test_a_bell_ends_a_wait_for_rings(own: Rings, is_late: bool) -> None:
    """Whether it rang before the wait or in it; and once."""
    bell = Bell()
    ringing = threading.Timer(0.2 if is_late else 0.0, lambda: [bell.ring() for _ in range(100_000)])
    ringing.start()
    if not is_late:
        ringing.join()
    assert own.wait(FOR_EVER_S, bell)
    ringing.join()
    bell.silence()
    assert not own.wait(0.1, bell)


def test_a_bell_ends_a_pause(own: Rings) -> None:
    bell = Bell()
    bell.ring()
    own.rest(FOR_EVER_S, bell)
    assert not own.wait(0.1, bell)


def test_cpus_that_went_end_no_wait(own: Rings, burner: Any) -> None:
    """Their events hang up, which would end every wait at once."""
    bell = Bell()
    assert own.follow(burner.pid)
    cpus = own.cpus
    assert own.wait(PATIENCE_S, bell)
    own.take_cpus([])
    own.fresh()
    assert not own.wait(0.3, bell)
    own.take_cpus(cpus)
    assert own.follow(burner.pid)
    assert own.wait(PATIENCE_S, bell)
