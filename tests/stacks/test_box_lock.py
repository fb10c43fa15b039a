"""Nobody waits for the black box: not the recorder's loop for its lock, and its lock for no process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from monitord import procfs
from monitord.pipeline.failures import Failures
from monitord.stacks import lives
from monitord.stacks.box import BlackBox, now_ns
from monitord.stacks.lives import Lives
from monitord.stacks.opening import BoxSettings
from monitord.stacks.reader import PythonReader
from monitord.stacks.readings import PythonStacks
from monitord.stacks.rings import Lost, Scope
from tests.burners import burn_command
from tests.patience import PATIENCE_S
from tests.stacks.test_box import machine_rings, refuse, wait_until


class WatchedLock:
    """A lock that knows who took it and who holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.holder: int | None = None
        self.takers: set[int] = set()

    def acquire(self, timeout: float = -1) -> bool:
        self.takers.add(threading.get_ident())
        is_held = self._lock.acquire(timeout=timeout)
        if is_held:
            self.holder = threading.get_ident()
        return is_held

    def release(self) -> None:
        self.holder = None
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_about: object) -> None:
        self.release()


@pytest.fixture
def lock() -> WatchedLock:
    return WatchedLock()


@pytest.fixture
def box(lock: WatchedLock) -> Iterator[BlackBox]:
    made = BlackBox(BoxSettings(), lambda _name, _executable: True, Failures().run)
    made._lock = lock  # type: ignore[assignment]  # it does what a lock does
    yield made
    made.close(PATIENCE_S)


@pytest.mark.parametrize("refused", [(), ("machine",), ("machine", "own processes")])
def test_what_the_loop_asks_of_the_box_takes_no_lock(
    refused: tuple[Scope, ...], box: BlackBox, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An incident reads the whole box under it, which may take a second."""
    refuse(monkeypatch, *refused)
    box.start()
    wait_until(lambda: box.status()["state"] == "on")
    key = procfs.key_of(1)
    assert key is not None
    for _ in range(3):
        box.watch(1)
        box.tend([1])
        box.status()
        box.is_recording(key)
        box.use(BoxSettings())
    assert threading.get_ident() not in lock.takers


@machine_rings
def test_nobody_is_asked_about_himself_under_the_lock(
    box: BlackBox, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process can keep who reads its maps waiting for half a second, and there may be hundreds of those."""
    asked: list[bool] = []
    read_within = procfs.read_within

    def read(path: str, seconds: float, cap_bytes: int) -> bytes | None:
        asked.append(lock.holder == threading.get_ident())
        return read_within(path, seconds, cap_bytes)

    monkeypatch.setattr(lives.procfs, "read_within", read)
    seen: list[bool] = []
    see = BlackBox._see
    monkeypatch.setattr(
        BlackBox,
        "_see",
        lambda self, *given: (seen.append(lock.holder == threading.get_ident()), see(self, *given)),
    )
    loop = "import os\nwhile True: [os.waitpid(os.fork() or os._exit(sum(range(3000000))), 0) for _ in '1']"
    process = subprocess.Popen([sys.executable, "-c", loop])  # older than the box: its children tell of it
    try:
        box.start()
        wait_until(lambda: asked)
    finally:
        process.kill()
        process.wait()
    assert not any(asked)
    assert all(seen)


def test_a_look_that_waits_for_the_lock_blames_no_process(
    box: BlackBox, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that keeps its reader waiting is left alone for ever; one that does not, must not be."""
    monkeypatch.setattr("monitord.stacks.box._HANGS_AFTER_S", 0.2)
    box.start()
    wait_until(lambda: box.status()["state"] == "on")
    with lock:
        wait_until(lambda: time.monotonic() - box._beat_s > 1.0)
        box.tend(())
    assert box._turn == 1
    assert not box._reader.refused


@machine_rings
def test_processes_that_keep_their_readers_waiting_cost_python_stacks_and_nothing_else(
    box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can have a few of those: who ran is still recorded, and what is missing is said."""
    is_over = threading.Event()

    def hung(_reader: PythonReader, _pid: int, _tid: int, _least_age_s: float) -> None:
        is_over.wait()

    monkeypatch.setattr(PythonReader, "stack_of", hung)
    monkeypatch.setattr("monitord.stacks.box._HANGS_AFTER_S", 0.1)
    processes = [
        subprocess.Popen(burn_command(60), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    box.start()
    try:

        def is_told() -> bool:
            box.tend(())
            return "no more Python stacks" in str(box.status()["reason"])

        wait_until(is_told)
        turn = box._turn
        seen_ns = now_ns()
        wait_until(lambda: box._seen_ns.get(processes[0].pid, 0) > seen_ns)
        box.tend(())
        assert (box.status()["state"], box._turn) == ("on", turn)
        target = procfs.key_of(processes[0].pid)
        assert target is not None
        found = box.take(target, 0, now_ns())
        assert found is not None
        assert "no more Python stacks" in found.payload.decode()
    finally:
        is_over.set()
        for process in processes:
            process.kill()
            process.wait()


def test_how_much_is_held_is_told_while_stacks_are_added() -> None:
    """The loop asks without the lock."""
    kept, is_over, problems = PythonStacks(), threading.Event(), []

    def ask() -> None:
        while not is_over.is_set():
            try:
                assert kept.bytes_held >= 0
            except RuntimeError as error:
                problems.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for n in range(6000):
            kept.add(n, 1, 1, ((f"f{n}", "/srv/app.py", n),))
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(before)
    assert problems == []


def test_of_a_process_with_thousands_of_mappings_only_its_code_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many lines took a tenth of a second, once for each process that ran."""
    data = b"".join(b"%x000-%x000 rw-p 00000000 08:01 7 /x\n" % (n, n + 1) for n in range(4096, 20_000))
    code = b"".join(b"%x000-%x000 r-xp 00001000 08:01 7 /a b/x\n" % (n, n + 1) for n in range(30_000, 31_000))
    looked: list[bytes] = []
    mappings = lives.mappings
    monkeypatch.setattr(lives, "mappings", lambda maps: (looked.append(maps), mappings(maps))[1])
    found = list(lives._code_in(data + code + b"7ff000-7ff001 r-xp 00000000 00:00 0 [vdso]"))
    assert looked[0].count(b"\n") < 256
    assert len(found) == 256
    assert found[0] == lives.Code(30_000 << 12, 30_001 << 12, 0x1000, found[0].device, 7, "/a b/x")


def test_what_proc_says_of_a_process_is_remembered_under_the_lock(lock: WatchedLock) -> None:
    class NoRings:
        lost = Lost()

        def side_records(self) -> list[tuple[int, int, bytes]]:
            return []

    known = Lives(NoRings())  # type: ignore[arg-type]  # all that is asked of them
    assert known.note(1, lock)  # type: ignore[arg-type]  # it does what a lock does
    assert lock.takers
    assert known.of(1)[0].name
    assert (known.of(1)[0].began_ns or 0) < now_ns()
