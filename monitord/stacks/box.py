"""The black box: what every process ran lately, in the kernel's ring, and the Python stacks of the hottest.

One thread wakes four times a second, reads what is new in the ring, and the Python stacks of the few threads
that ran most. What is newly hot makes it wake twice as often, unless its allowance of CPU is spent.
While nothing runs, it sleeps until a CPU has a few samples. Whatever fails in it costs the box alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from typing import TYPE_CHECKING

from monitord import procfs
from monitord.logs import get_logger
from monitord.model import ProcessKey
from monitord.stacks.asking import AskedLives, Asking
from monitord.stacks.heat import PAUSE_S, Allowance, Heat
from monitord.stacks.lives import Lives
from monitord.stacks.opening import BoxSettings, opened
from monitord.stacks.reader import Permits, PythonReader
from monitord.stacks.readings import PythonFrame, PythonStacks
from monitord.stacks.rings import Bell, Rings

if TYPE_CHECKING:
    from monitord.stacks.document import Document
    from monitord.stacks.taking import Taking

SPAN_NS = 100_000_000_000  # how far back evidence goes at most
_NS_PER_S = 1_000_000_000
_NS_PER_TICK = _NS_PER_S // procfs.TICKS_PER_S
_NOTED_CAP = 256
_SEEN_CAP = 8192
_IDLE_S = 4.0  # while nothing runs, what was started is taken in so seldom, or when the ring fills
# Without a sample for so long nothing runs: then a few samples of a CPU end its sleep, or this time.
_QUIET_AFTER_S, _QUIET_FOR_S = 2.0, 2.0
_RESTS_S = 60.0  # without rings
_FAILURES_UNTIL_ANEW = 240
_HANGS_AFTER_S = 5.0
_THREADS_CAP = 4
_NO_PYTHON = (
    f"no more Python stacks: {_THREADS_CAP} threads wait for memory of processes; start monitord again"
)
_LOCK_S = 2.0
_PARENTS_AT_MOST = 16  # that are asked in one look
_NICE = -10  # where there is a right to it
_WATCHED_CAP = 16
_FRESH_NS = _NEW_NS = 2 * _NS_PER_S
_SWITCHED_OFF = "it is switched off (black_box.enabled, or capture.consent)"


class BlackBox:
    """`attempt(step, call)` runs a step whose failure is counted and told; it gives None then.

    `permits`: see PythonReader. All but `close` may be called from any thread, and before `start`.
    """

    def __init__(
        self,
        settings: BoxSettings,
        permits: Permits,
        attempt: Callable[[str, Callable[[], bool]], bool | None],
    ) -> None:
        self._settings = settings
        self.permits = permits
        self._attempt = attempt
        self._own_pid = os.getpid()
        self._lock = threading.Lock()  # of the rings, the lives and the stacks
        self._bell = Bell()
        self._is_closing = False
        self._wants_rings = settings.is_enabled
        self._rings: Rings | Asking | None = None
        self._lives: Lives | AskedLives | None = None
        self._why_less: str | None = None
        self._why_off = "" if settings.is_enabled else _SWITCHED_OFF
        self._opened_ns = 0
        self._heat = Heat()
        self._reader = PythonReader(permits)
        self._stacks = PythonStacks()
        self._noted: dict[int, None] = {}  # the first asked first
        self._seen_ns: dict[int, int] = {}  # the least lately seen first
        self._watched_ns: dict[int, int] = {}  # until when
        self._read_ns: dict[int, tuple[int, int]] = {}  # first and last read, of the last few seconds
        self._allowance = Allowance()
        self._cpu_s = self._watched_s = 0.0
        self._thread: threading.Thread | None = None
        self._turn = self._failed = 0
        self._beat_s = self._ran_s = self._kept_up_s = 0.0  # the last look, with a sample, with side records
        self._is_quiet = False
        self._reading = 0  # the process whose memory is being read; 0: none
        self._reads_python = True
        self._busy: tuple[int, ...] = ()
        self._wants_everybody_asked = False

    # ------------------------------------------------------------------------------- beginning and end

    def start(self) -> None:
        """Begin to record. Raises RuntimeError when the machine gives no thread."""
        self._turn += 1
        self._beat_s = time.monotonic()
        thread = threading.Thread(target=self._run, args=(self._turn,), name="black-box", daemon=True)
        thread.start()
        self._thread = thread

    def use(self, settings: BoxSettings) -> None:
        """Go on with these settings: rings are opened anew if they differ, and everybody is asked anew."""
        self._wants_everybody_asked = True
        if settings != self._settings:
            self._settings = settings
            self._wants_rings = True
            self._bell.ring()

    def watch(self, pid: int) -> None:
        """Read this process' stacks first for a while: it may soon be the target of an alert."""
        self._watched_ns = {one: at_ns for one, at_ns in self._watched_ns.items() if at_ns > now_ns()}
        if len(self._watched_ns) < _WATCHED_CAP:
            self._watched_ns = {**self._watched_ns, pid: now_ns() + SPAN_NS}

    def tend(self, busy: Iterable[int]) -> None:
        """To be called now and then, with the busiest processes: these are followed where not all can be.

        A process can keep who reads its memory waiting for ever: then it is left alone from now on, and
        another thread goes on.
        """
        is_late = self._rings is not None and time.monotonic() - self._beat_s > _HANGS_AFTER_S
        if is_late and (pid := self._reading):  # else it waits for us, or the whole machine stood still
            self._leave_behind(pid)
        self._busy = tuple(busy)

    def _leave_behind(self, pid: int) -> None:
        get_logger().warning("black_box.hangs", pid=pid)
        self._reader = PythonReader(self.permits, refused={*self._reader.refused, pid})
        self._reads_python = self._turn < _THREADS_CAP
        self.start()

    def close(self, within_s: float) -> None:
        """Stop, and give the rings back."""
        self._is_closing = True
        self._bell.ring()
        if self._thread is not None:
            self._thread.join(within_s)
        if self._lock.acquire(timeout=within_s):
            try:
                self._close_rings()
            finally:
                self._lock.release()

    def _close_rings(self) -> None:
        rings, self._rings, self._lives = self._rings, None, None
        if rings is not None:
            rings.close()

    # -------------------------------------------------------------------------------------- the thread

    def _run(self, turn: int) -> None:
        # A few milliseconds a second, which on a crowded machine must not come too late.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._is_closing and turn == self._turn:
            self._beat_s = began_s = time.monotonic()
            self._is_quiet = False
            used_s = time.thread_time()
            if self._wants_rings:
                self._wants_rings = False
                self._attempt("black box", self._open)
            if self._rings is not None and not self._attempt("black box", lambda: self._look(turn)):
                self._wants_rings = self._failed_often()
            used_s = time.thread_time() - used_s
            self._allowance.spend(used_s)
            self._cpu_s += used_s
            if turn == self._turn and not self._is_closing:
                try:
                    self._rest()
                except (OSError, MemoryError):  # poll(2) takes memory; the thread must neither end nor spin
                    time.sleep(PAUSE_S)
            self._watched_s += time.monotonic() - began_s

    def _failed_often(self) -> bool:
        """Whether the rings are worth being opened anew."""
        self._failed += 1
        return self._failed % _FAILURES_UNTIL_ANEW == 0

    def _rest(self) -> None:
        """Until the next look is due. After a sleep the timer goes on, whatever ended it."""
        self._reading, rings = 0, self._rings
        if rings is None:
            self._bell.wait(_RESTS_S)
        elif self._is_quiet and isinstance(rings, Rings):
            if rings.wait(_QUIET_FOR_S, self._bell):
                self._ran_s = time.monotonic()
        elif isinstance(rings, Rings):
            is_new = any(now_ns() - first_ns < _NEW_NS for first_ns, _last_ns in self._read_ns.values())
            rings.rest(self._allowance.pause_s(is_new=is_new), self._bell)
        else:  # without rings each look is a sample
            self._bell.wait(self._allowance.pause_s(is_new=False))

    def _open(self) -> bool:
        """Open the rings: of the machine; where that is refused, of our own user's processes."""
        settings = self._settings
        with self._lock:
            self._close_rings()
            if not settings.is_enabled:
                self._why_off = _SWITCHED_OFF
                self._stacks = PythonStacks()  # nobody may be profiled: nothing is kept either
                return True
            try:
                self._rings, self._lives, self._why_less = opened(settings)
            except OSError as error:
                self._why_off = f"the kernel grants no ring: {error.strerror or error}"
                get_logger().warning("black_box.off", reason=self._why_off)
                return True
            self._why_off, self._opened_ns, self._ran_s = "", now_ns(), self._beat_s
            self._noted.clear()
            scope = self._rings.scope
        get_logger().info("black_box.on", scope=scope, reason=self._why_less or "", rate_hz=settings.rate_hz)
        return True

    def _look(self, turn: int) -> bool:
        """What ran since the last look, and the Python of those that ran most."""
        reader = self._reader
        if self._wants_everybody_asked:
            self._wants_everybody_asked = False
            reader.forget()
        self._reading = 0
        with self._lock:
            if (rings := self._rings) is None or (lives := self._lives) is None:
                return True
            self._follow(rings)
            fresh, now_s = rings.fresh(), self._beat_s
            if fresh:
                self._ran_s = now_s
            # Where not all can be seen, who is busy is to be followed soon: nothing wakes for that.
            self._is_quiet = now_s - self._ran_s >= _QUIET_AFTER_S and self._why_less is None
            if not fresh and now_s - self._kept_up_s < _IDLE_S and not rings.is_filling:
                return True  # nobody ran; who lived where can wait
            self._kept_up_s = now_s
            unknown = lives.keep_up({pid for pid, _tid in fresh})
            self._see(fresh, now_ns())
        for pid in unknown[:_PARENTS_AT_MOST]:
            lives.note(pid, self._lock)
        if not self._reads_python:
            return True
        watched = self._watched_ns
        at_most = self._allowance.at_most
        chosen = self._heat.choose(fresh, (0, self._own_pid), watched, at_most, reader.is_without_python)
        for (pid, tid), is_hot in chosen.items():
            least_age_s = self._allowance.least_age_s(pid in watched) if is_hot else inf
            if is_hot:
                self._note(pid)
            looked_count, self._reading = reader.looked_count, pid
            stack = reader.stack_of(pid, tid, least_age_s)
            if reader.looked_count > looked_count:
                self._allowance.attached()
            if turn != self._turn:
                return True  # it kept us waiting, and another thread has taken over
            self._reading = 0
            if stack is not None:
                self._keep(pid, tid, stack)
        return True

    def _follow(self, rings: Rings | Asking) -> None:
        """Where not all can be seen: who was busy at the last pass."""
        busy, self._busy = self._busy, ()
        for pid in busy if self._why_less is not None else ():
            rings.follow(pid)

    def _keep(self, pid: int, tid: int, stack: tuple[PythonFrame, ...]) -> None:
        at_ns = now_ns()
        with self._lock:
            self._stacks.add(at_ns, pid, tid, stack)
        recent = {one: read for one, read in self._read_ns.items() if at_ns - read[1] < _FRESH_NS}
        first_ns, _ = recent.get(pid, (at_ns, at_ns))
        self._read_ns = {**recent, pid: (first_ns, at_ns)}

    def _see(self, fresh: Mapping[tuple[int, int], int], at_ns: int) -> None:
        """Remember who ran: the ring has something of each, for as long as evidence goes back."""
        seen_ns = self._seen_ns
        for pid, _tid in fresh:
            seen_ns.pop(pid, None)
            seen_ns[pid] = at_ns
        while len(seen_ns) > _SEEN_CAP or (seen_ns and seen_ns[next(iter(seen_ns))] < at_ns - SPAN_NS):
            del seen_ns[next(iter(seen_ns))]

    def _note(self, pid: int) -> None:
        """Remember who a hot process is while it can be asked; of younger ones than the rings these tell."""
        if pid in self._noted:
            return
        self._noted[pid] = None
        while len(self._noted) > _NOTED_CAP:
            del self._noted[next(iter(self._noted))]
        key = procfs.key_of(pid)
        is_older = key is not None and key.start_ticks * _NS_PER_TICK <= self._opened_ns
        rings, lives = self._rings, self._lives
        has_gaps = rings is not None and rings.lost.side_bytes > 0
        if lives is not None and (is_older or has_gaps):
            lives.note(pid, self._lock)

    # ------------------------------------------------------------------------------------- what it has

    def is_recording(self, target: ProcessKey) -> bool:
        """Whether Python stacks of it are being kept at this moment."""
        return now_ns() - self._read_ns.get(target.pid, (0, 0))[1] < _FRESH_NS

    def take(
        self, target: ProcessKey, since_ns: int, until_ns: int, crossed_ns: int | None = None
    ) -> Document | None:
        """What the target and its descendants ran in that time, also those that ended; at most 100 s of it.

        `crossed_ns`: when what fired the alert began. None: nothing ran. Raises OSError where the ring can't
        be read.
        """
        with self._held():
            taking = self._taking(max(since_ns, until_ns - SPAN_NS), until_ns)
            return taking.of_target(target, crossed_ns) if taking is not None else None

    def take_machine(self, since_ns: int, until_ns: int, pattern: str = "*") -> Document | None:
        """What everybody with a name like this ran in that time, but monitord itself. As `take`."""
        with self._held():
            taking = self._taking(max(since_ns, until_ns - SPAN_NS), until_ns)
            return taking.of_machine(self._own_pid, pattern) if taking is not None else None

    def starters(self, since_ns: int, until_ns: int) -> dict[str, object] | None:
        """Who started which programs in that time, as JSON-able values; None where not all can be seen."""
        with self._held():
            lives, rings = self._lives, self._rings
            sees_all = rings is not None and rings.scope == "machine"
            return lives.told_starters(since_ns, until_ns) if sees_all and isinstance(lives, Lives) else None

    def ended_ns(self, target: ProcessKey) -> int | None:
        """When it ended, by the kernel's record; None: not known, or not yet."""
        with self._held():
            lives, began_ns = self._lives, target.start_ticks * _NS_PER_TICK
            return lives.ended_ns(target.pid, began_ns) if isinstance(lives, Lives) else None

    def _taking(self, since_ns: int, until_ns: int) -> Taking | None:
        from monitord.stacks.taking import Taking  # an alert's worth of code

        if self._rings is None or self._lives is None:
            return None
        return Taking(
            self._rings, self._lives, self._stacks, since_ns, until_ns,
            seen=[pid for pid, at_ns in self._seen_ns.items() if at_ns >= since_ns],
            failures=tuple(self._reader.failures), permits=self.permits, notes=tuple(self._notes()),
        )  # fmt: skip

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The lock. Its holder may wait for a process; nobody waits for that for ever."""
        if not self._lock.acquire(timeout=_LOCK_S):
            raise TimeoutError("cannot read the black box: it waits for a process")
        try:
            yield
        finally:
            self._lock.release()

    def _notes(self) -> list[str]:
        found = self._limits()
        found += [f"a Python of an unknown version: {words}" for words in self._reader.unknown_versions]
        found += self._rings.lost.in_words() if self._rings is not None else []
        return found

    @property
    def why_off(self) -> str:
        """Why nothing is recorded; empty while something is."""
        return "" if self._rings is not None else self._why_off or "it has not begun yet"

    def _limits(self) -> list[str]:
        """Why it has less than all."""
        found = [] if self._why_less is None else [self._why_less]
        return found if self._reads_python else [*found, _NO_PYTHON]

    def status(self) -> dict[str, object]:
        """How it is, in the words of status.json."""
        counts, rings = self._reader.counts, self._rings
        is_on = rings is not None
        kept_ns = min(SPAN_NS, now_ns() - self._opened_ns) if is_on else 0
        return {
            "state": "on" if is_on else "off",
            "scope": rings.scope if rings is not None else None,
            "reason": ("; ".join(self._limits()) or None) if is_on else self._why_off,
            "rate_hz": rings.rate_hz if rings is not None else self._settings.rate_hz,
            "kept_s": kept_ns // _NS_PER_S,
            "python_stacks": len(self._stacks),
            "bytes_held": self._stacks.bytes_held,
            "read": counts["read"],
            "lost": rings.lost.records if rings is not None else 0,
            "unreadable": counts["unreadable"],
            "impossible": counts["impossible"],
            "unknown_versions": list(self._reader.unknown_versions),
            "own_cpu_percent": round(100 * self._cpu_s / self._watched_s, 4) if self._watched_s else None,
        }


def now_ns() -> int:
    """By the clock of a process' start, which goes on in suspend."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
