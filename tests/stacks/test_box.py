"""The black box on real processes: what it has of them, what it costs, and that nothing stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from monitord import procfs
from monitord.capture.consent import Consent
from monitord.model import ProcessKey
from monitord.pipeline.failures import Failures
from monitord.stacks.box import SPAN_NS, BlackBox, now_ns
from monitord.stacks.lives import Lives
from monitord.stacks.opening import BoxSettings
from monitord.stacks.reader import PythonReader
from monitord.stacks.rings import Rings, Scope
from tests.patience import PATIENCE_S

PROGRAM = """
import time
def price_basket(seconds):
    while time.process_time() < seconds:
        for number in range(10000): number * number
"""
Make = Callable[..., BlackBox]


def grants(scope: Scope) -> bool:
    """Whether the kernel grants us these rings."""
    try:
        Rings.open(scope=scope).close()
    except OSError:
        return False
    return True


machine_rings = pytest.mark.skipif(
    not grants("machine"), reason="needs rings of the whole machine: root, or CAP_PERFMON"
)
own_rings = pytest.mark.skipif(
    not grants("own processes"), reason="needs rings of our own processes: perf_event_paranoid 2"
)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def make(failures: Failures) -> Iterator[Make]:
    made: list[BlackBox] = []

    def box(
        permits: Callable[[str, str | None], bool] = lambda _name, _executable: True, **settings: Any
    ) -> BlackBox:
        made.append(BlackBox(BoxSettings(**settings), permits, failures.run))
        made[-1].start()
        return made[-1]

    yield box
    for one in made:
        one.close(PATIENCE_S)


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", PROGRAM + code]))
        return started[-1]

    yield run
    for one in started:
        one.kill()
        one.wait()


def is_on(box: BlackBox) -> bool:
    return box.status()["state"] == "on"


def taken(box: BlackBox, key: ProcessKey) -> dict[str, Any] | None:
    found = box.take(key, now_ns() - SPAN_NS, now_ns())
    return None if found is None else json.loads(found.payload)


def names(told: dict[str, Any] | None) -> set[str]:
    return set() if told is None else {frame[0] for frame in told["frames"]}


def key_of(process: subprocess.Popen[bytes]) -> ProcessKey:
    key = procfs.key_of(process.pid)
    assert key is not None
    return key


@machine_rings
def test_what_a_python_ran_is_there_while_it_lives_and_when_it_is_gone(make: Make, start: Any) -> None:
    box = make()
    wait_until(lambda: is_on(box))
    process = start("price_basket(2)")
    key = key_of(process)
    wait_until(lambda: "price_basket" in names(taken(box, key)))
    process.wait()
    told = taken(box, key)
    assert "price_basket" in names(told)
    assert told is not None
    (ended,) = {one["ended_ns"] is not None for one in told["processes"] if one["pid"] == key.pid}
    assert ended
    (ended_ns,) = {one["ended_ns"] for one in told["processes"] if one["pid"] == key.pid and one["ended_ns"]}
    assert box.ended_ns(key) == ended_ns


@machine_rings
def test_of_who_has_its_pid_but_not_its_start_there_is_nothing(make: Make, start: Any) -> None:
    """A pid is given again: the other process' samples are no evidence of this one."""
    box = make()
    wait_until(lambda: is_on(box))
    key = key_of(start("price_basket(60)"))
    wait_until(lambda: taken(box, key))
    earlier = ProcessKey(key.pid, key.start_ticks - 500)
    later = ProcessKey(key.pid, key.start_ticks + 500)
    assert taken(box, earlier) is None
    assert taken(box, later) is None


def test_of_who_may_not_be_attached_to_nothing_is_asked(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most that have a sample have one, and end: only who was attached to is read then."""
    reader = PythonReader(lambda _name, _executable: True)
    pid = start("price_basket(60)").pid
    asked: list[int] = []
    stat_of = procfs.stat_of
    monkeypatch.setattr(procfs, "stat_of", lambda *of: (asked.append(of[0]), stat_of(*of))[1])
    assert reader.stack_of(pid, pid, float("inf")) is None
    assert (asked, reader.looked_count) == ([], 0)
    wait_until(lambda: reader.stack_of(pid, pid, 0.0))
    wait_until(lambda: reader.stack_of(pid, pid, float("inf")))


@machine_rings
def test_who_may_not_be_profiled_leaves_nothing(make: Make, start: Any) -> None:
    """Neither its Python stacks nor what the ring has of it."""
    box = make(Consent(deny=(os.path.realpath(sys.executable),)).permits)
    wait_until(lambda: is_on(box))
    process = start("price_basket(2)")
    key = key_of(process)
    process.wait()
    assert taken(box, key) is None
    assert len(box._stacks) == 0 or all(pid != key.pid for _, pid, _, _ in box._stacks.since(0, now_ns()))


@machine_rings
@pytest.mark.parametrize("denied", ["/no/such/program", "nobody", os.path.realpath(sys.executable)])
def test_after_a_loss_a_program_is_told_by_proc_or_not_at_all(denied: str, make: Make, start: Any) -> None:
    """What was lost may have told that the process runs another program, which is denied, by now."""
    box = make(Consent(deny=(denied,)).permits)
    wait_until(lambda: is_on(box))
    living, ended = start("price_basket(60)"), start("price_basket(1)")
    keys = [key_of(one) for one in (living, ended)]
    ended.wait()
    is_permitted = denied in ("/no/such/program", "nobody")
    wait_until(lambda: (taken(box, keys[1]) is not None) == is_permitted)
    wait_until(lambda: (taken(box, keys[0]) is not None) == is_permitted)
    lives = box._lives
    assert isinstance(lives, Lives)
    lives._lost_ns = now_ns()
    assert taken(box, keys[1]) is None, "it is gone, and nobody knows for certain what it ran"
    assert (taken(box, keys[0]) is not None) == is_permitted


@pytest.fixture
def stranger() -> Iterator[None]:
    """Somebody who burns and is no child of ours, as far as a box can know that begins now."""
    words = "timeout 300 sh -c 'while :; do :; done' >/dev/null 2>&1 & echo $!"
    started = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=True)
    yield
    os.killpg(int(started.stdout), signal.SIGKILL)  # timeout leads a group of its own


@machine_rings
def test_a_machine_is_told_without_the_box_itself(make: Make, start: Any, stranger: None) -> None:
    """Everybody who ran is in it, but never the recorder: it would be the hottest of a quiet machine."""
    box = make()
    wait_until(lambda: is_on(box))
    process = start("price_basket(60)")
    busy = time.process_time() + 0.5
    while time.process_time() < busy:
        pass

    def machine() -> set[int]:
        found = box.take_machine(now_ns() - SPAN_NS, now_ns())
        return set() if found is None else {one["pid"] for one in json.loads(found.payload)["processes"]}

    wait_until(lambda: os.getpid() not in (found := machine()) and found)
    assert os.getpid() not in machine()
    assert process.pid not in machine()  # we started it, too


@machine_rings
def test_the_rings_are_opened_anew_when_the_settings_change(make: Make) -> None:
    box = make()
    wait_until(lambda: is_on(box))
    box.use(BoxSettings(is_enabled=False))
    wait_until(lambda: not is_on(box))
    assert "switched off" in str(box.status()["reason"])
    box.use(BoxSettings(rate_hz=29))
    wait_until(lambda: is_on(box))
    assert box.status()["rate_hz"] == 29


@machine_rings
def test_a_process_that_keeps_its_reader_waiting_is_left_alone_and_the_box_goes_on(
    make: Make, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory of a process can be such that a reader waits as long as the process likes."""
    waiting: set[int] = set()
    stack_of = PythonReader.stack_of
    key = key_of(start("price_basket(60)"))

    def hung(reader: PythonReader, pid: int, tid: int, least_age_s: float) -> Any:
        if pid == key.pid and pid not in reader.refused:
            waiting.add(pid)
            time.sleep(PATIENCE_S)
        return stack_of(reader, pid, tid, least_age_s)

    monkeypatch.setattr(PythonReader, "stack_of", hung)
    monkeypatch.setattr("monitord.stacks.box._HANGS_AFTER_S", 1.0)
    box = make()
    wait_until(lambda: waiting)
    other = key_of(start("price_basket(60)"))

    def goes_on() -> bool:
        box.tend(())
        return "price_basket" in names(taken(box, other))

    wait_until(goes_on)
    assert key.pid in box._reader.refused
    box._thread = None  # one thread sleeps on in this test; the recorder's end would take it along


@machine_rings
def test_a_box_that_fails_costs_nothing_but_itself(
    make: Make, failures: Failures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted and told, tried again, and an incident's question gets no answer instead of an error."""

    def broken(_rings: Rings) -> dict[tuple[int, int], int]:
        raise OSError("the ring is broken")

    monkeypatch.setattr(Rings, "fresh", broken)
    box = make()
    wait_until(lambda: failures.counts.get("black box", 0) >= 3)
    assert "the ring is broken" in failures.complaints()[0]
    assert box.take(ProcessKey(os.getpid(), 1), 0, now_ns()) is None


def refuse(monkeypatch: pytest.MonkeyPatch, *scopes: Scope) -> None:
    """Let the kernel's no be tried without taking rights from the whole test run; to an ordinary user it says it itself."""
    scopes = tuple(scope for scope in scopes if grants(scope))
    granted = Rings.open

    def opened(rate_hz: int, size: int, scope: Any) -> Rings:
        if scope in scopes:
            raise PermissionError(13, "Permission denied")
        return granted(rate_hz, size, scope)

    monkeypatch.setattr(Rings, "open", opened)


@pytest.mark.parametrize("scope", ["own processes", "dumps"])
def test_with_fewer_rights_busy_processes_that_it_is_told_of_are_recorded_and_that_is_said(
    scope: str, make: Make, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rings on some processes where there are none of the machine; else /proc is asked who runs."""
    refuse(monkeypatch, "machine", *(["own processes"] if scope == "dumps" else []))
    box = make()
    wait_until(lambda: is_on(box))
    status = box.status()
    assert status["scope"] == scope
    assert "the kernel grants no ring" in str(status["reason"])
    assert "Permission denied; `monitord doctor` has the fix" in str(status["reason"])
    told_of, other = key_of(start("price_basket(60)")), key_of(start("price_basket(60)"))

    def told() -> dict[str, Any] | None:
        box.tend([told_of.pid])
        return taken(box, told_of)

    wait_until(lambda: "price_basket" in names(told()))
    found = told()
    assert found is not None
    assert found["scope"] == scope
    assert str(status["reason"]) in found["notes"]
    assert taken(box, other) is None


def test_where_nothing_can_be_had_it_says_so_and_has_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "machine", "own processes")
    monkeypatch.setattr("monitord.stacks.opening.is_linux", lambda: False)
    box = make()
    wait_until(lambda: box.status()["reason"])
    assert box.status()["state"] == "off"
    assert "Permission denied" in str(box.status()["reason"])
    assert box.take(ProcessKey(os.getpid(), 1), 0, now_ns()) is None


@machine_rings
def test_five_hundred_forks_and_four_thousand_threads_leave_it_bounded(make: Make, start: Any) -> None:
    """Tables of who was seen have an end, and so has what is kept."""
    box = make()
    wait_until(lambda: is_on(box))
    storm = start(
        "import os\nfor n in range(500):\n    pid = os.fork()\n    if not pid: os._exit(0)\n    os.waitpid(pid, 0)"
    )
    threads = start(
        "import threading\ngate = threading.Event()\nwaiting = [threading.Thread(target=gate.wait, daemon=True) for n in range(2000)]\n"
        "[one.start() for one in waiting]\nprice_basket(60)"
    )
    assert storm.wait(PATIENCE_S) == 0
    key = key_of(threads)
    wait_until(lambda: "price_basket" in names(taken(box, key)))
    assert len(box._seen_ns) <= 8192
    assert len(box._reader._processes) <= 1024
    assert box._stacks.bytes_held < 1 << 20
