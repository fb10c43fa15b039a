"""The cheap looks from the first crossing on: kept in memory until the window decides what they are worth.

The first comes at once, further ones about every second while the window lasts, so that what is short, and
what changes on the way, is seen. A look costs 40 ms of CPU: there is one a second at most, whatever is armed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitord.capture.dumps import joined
from monitord.logs import get_logger
from monitord.model import Arming, Capture, CaptureStatus, ProcessKey, ProcessRates, Traffic, TriggerMetric
from monitord.pipeline.outcomes import refused

_LEAST_SHARE = 0.2  # of the traffic that crossed: a process that moved less is not to blame for it
_WAITING_AT_MOST = 4  # a machine where more processes cross in one tick than this has other troubles
_KEPT_AT_MOST = 64  # dumps in memory; the oldest window has had the longest time to be decided
_PACE_S = 1.0
_REST = 12  # a look that took long rests so many times as long, which keeps it below a tenth of a core
_LOOKS_AT_FULL_PACE = 10  # later ones come half as often, and again after each further five
_LOOKS_AT_MOST = 40
_BYTES_OF_ONE = 512 * 1024
_BYTES_OF_ALL = 4 * 1024 * 1024
_WITHOUT_MORE = (TriggerMetric.HANG,)  # nothing moves there


@dataclass(frozen=True, slots=True)
class FirstLook:
    """The process to blame (None: unattributed), and the dump taken of it (None: refused or impossible).

    `said` goes into the alert's reason: what was found about whose doing it is.
    """

    target: ProcessKey | None
    process_name: str
    dump: Capture | None
    said: str = ""


_TOO_MANY = f"{_WAITING_AT_MOST} first looks were waiting already"
Look = Callable[[ProcessKey, Path], Capture]
Blame = Callable[[], Traffic]


@dataclass(slots=True)
class _Watch:
    """One crossing: its first look, and all looks so far as one."""

    first: Future[FirstLook]
    wants_more: bool
    seen: FirstLook | None = None
    count: int = 1
    due_s: float = field(default_factory=lambda: time.monotonic() + _PACE_S)

    @property
    def size(self) -> int:
        return len(self.seen.dump.payload or b"") if self.seen and self.seen.dump else 0


class FirstLooks:
    """Takes dumps on threads of its own, so that neither the loop nor a running capture delays them.

    `blame` says whose the network's traffic is; it is asked only when a network rule is near its alert.
    `is_recorded`: whether stacks of a process are kept elsewhere at this moment: then no looks are repeated.
    """

    def __init__(
        self,
        look: Look,
        blame: Blame,
        folder: Path,
        *,
        is_enabled: bool = True,
        pace_s: float = _PACE_S,
        is_recorded: Callable[[ProcessKey], bool] = lambda _target: False,
    ) -> None:
        self._look = look
        self._blame = blame
        self._folder = folder
        self._is_enabled = is_enabled
        self._pace_s = pace_s
        self._is_recorded = is_recorded
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="first-look")
        self._pending: dict[tuple[str, ProcessKey | None], _Watch] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._repeater: threading.Thread | None = None

    def take(self, arming: Arming, suspect: ProcessRates | None = None) -> None:
        """Start a look at what has just crossed a threshold; returns at once.

        `suspect` stands in for a machine-wide rule, which has no target of its own.
        """
        with self._lock:
            waiting = {
                target: one.first for (_, target), one in self._pending.items() if not one.first.done()
            }
        shared = waiting.get(arming.target) if arming.target else None
        if shared is None and len(waiting) >= _WAITING_AT_MOST:
            get_logger().warning("first_look.skipped", rule=arming.rule, reason=_TOO_MANY)
            shared = _skipped(arming, _TOO_MANY)
        look = shared or self._submit(arming, suspect)
        with self._lock:
            wants_more = self._is_enabled and arming.metric not in _WITHOUT_MORE
            self._pending[arming.rule, arming.target] = _Watch(look, wants_more)
            while len(self._pending) > _KEPT_AT_MOST:
                del self._pending[next(iter(self._pending))]
        self._begin_repeating()

    def forget(self, arming: Arming) -> None:
        """Throw away what was seen, because the window broke."""
        with self._lock:
            self._pending.pop((arming.rule, arming.target), None)

    def claim(self, rule: str, target: ProcessKey | None) -> Future[FirstLook] | None:
        """The looks that belong to an alert, as one; the first may still be under way."""
        with self._lock:
            watch = self._pending.pop((rule, target), None)
        if watch is None or watch.seen is None:
            return watch.first if watch else None
        return _done(watch.seen)

    def claim_or_take(self, arming: Arming, suspect: ProcessRates | None) -> Future[FirstLook]:
        """Claim the first look, or take one now where none was taken at the crossing or it was skipped."""
        found = self.claim(arming.rule, arming.target)
        if found is not None and not (found.done() and _was_skipped(found)):
            return found
        self.take(arming, suspect)
        return self.claim(arming.rule, arming.target) or _skipped(arming, _TOO_MANY)

    def claim_of(self, target: ProcessKey | None) -> Future[FirstLook] | None:
        """What any rule has seen of a process; None: nothing."""
        with self._lock:
            rules = [rule for rule, seen in self._pending if target is not None and seen == target]
        return self.claim(rules[0], target) if rules else None

    def close(self) -> None:
        """Take no further looks; one under way is bounded by its own deadline. Their folder goes."""
        self._is_closed = True
        self._wake.set()
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._repeater is not None:
            self._repeater.join()
        with suppress(OSError):  # none was taken, or one was killed and left something
            self._folder.rmdir()

    # ------------------------------------------------------------------------------------ the first look

    def _submit(self, arming: Arming, suspect: ProcessRates | None) -> Future[FirstLook]:
        try:
            return self._executor.submit(self._first_look, arming, suspect)
        except RuntimeError as error:  # no further thread can be started: it is what is to be recorded
            get_logger().warning("first_look.skipped", rule=arming.rule, reason=str(error))
            return _skipped(arming, str(error))

    def _first_look(self, arming: Arming, suspect: ProcessRates | None) -> FirstLook:
        target, name, said = arming.target, arming.process_name, ""
        if target is None and suspect is not None:
            target, name = suspect.key, suspect.name
        if target is None and arming.metric is TriggerMetric.NETWORK:
            found = _of_the_crossing(self._blame(), arming.value)
            said, (target, name) = found.said, found.blamed or (None, name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        dump = self._look(target, self._folder) if target and self._is_enabled else None
        return FirstLook(target, name, dump, said)

    # ------------------------------------------------------------------------------------- further looks

    def _begin_repeating(self) -> None:
        if self._repeater is None and self._is_enabled:
            thread = threading.Thread(target=self._repeat, name="further-looks", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # as above; the next crossing tries again
            self._repeater = thread
        self._wake.set()

    def _repeat(self) -> None:
        """One look after the other, the one that has waited longest first."""
        while not self._is_closed:
            watch = self._next()
            if watch is None:
                self._wake.wait()
                self._wake.clear()
                continue
            pause_s = watch.due_s - time.monotonic()
            if pause_s > 0:
                self._wake.wait(min(pause_s, self._pace_s))
                self._wake.clear()
                continue
            took_s = self._look_again(watch)
            self._rest(max(self._pace_s, _REST * took_s))

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_closed and (left := end - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()

    def _next(self) -> _Watch | None:
        with self._lock:
            watches = [watch for watch in self._pending.values() if watch.wants_more]
        return min(watches, key=lambda watch: watch.due_s, default=None)

    def _look_again(self, watch: _Watch) -> float:
        """Add one look, and say when the next is due; seconds that it took."""
        began_s = time.monotonic()
        watch.due_s = began_s + self._pace_s
        if not watch.first.done():
            return 0.0
        seen = watch.seen or _result(watch.first)
        if seen is None or seen.target is None or seen.dump is None or not seen.dump.status.has_evidence:
            watch.wants_more = False
            return 0.0
        if self._is_recorded(seen.target):
            return 0.0  # the black box has its stacks, at less harm; asked again at the next turn
        try:
            again = self._look(seen.target, self._folder)
        except Exception:  # noqa: BLE001 - around one capture: what was seen so far stands
            get_logger().exception("first_look.failed", pid=seen.target.pid)
            watch.wants_more = False
            return time.monotonic() - began_s
        with self._lock:
            watch.seen = replace(seen, dump=joined(seen.dump, again))
            watch.count += 1
            slower = 2 ** max(0, -(-(watch.count - _LOOKS_AT_FULL_PACE) // 5))
            watch.due_s = began_s + self._pace_s * slower
            everything = sum(one.size for one in self._pending.values())
            watch.wants_more = (
                again.status.has_evidence
                and watch.count < _LOOKS_AT_MOST
                and watch.size < _BYTES_OF_ONE
                and everything < _BYTES_OF_ALL
            )
        return time.monotonic() - began_s


def _result(look: Future[FirstLook]) -> FirstLook | None:
    try:
        return look.result(0)
    except Exception:  # noqa: BLE001 - reported when it is claimed
        return None


def _was_skipped(look: Future[FirstLook]) -> bool:
    if look.cancelled() or look.exception() is not None:
        return True
    dump = look.result().dump
    return dump is not None and dump.profiler == "none" and dump.status is CaptureStatus.REFUSED


def _of_the_crossing(found: Traffic, crossed_bytes_per_s: float) -> Traffic:
    """The traffic, without blame for a process that moved hardly any of what crossed the threshold.

    What crossed it may be over when sockets are looked at. UDP's bytes are not counted by process: 0.
    """
    moved = {key: bytes_per_s for key, _name, bytes_per_s in found.talkers}
    if found.blamed and 0 < moved.get(found.blamed[0], 0) < _LEAST_SHARE * crossed_bytes_per_s:
        return replace(found, blamed=None, said=f"{found.said}, which is too little of it")
    return found


def _skipped(arming: Arming, reason: str) -> Future[FirstLook]:
    """A look that was not taken, and why."""
    dump = refused("dump", arming.target, reason) if arming.target else None
    return _done(FirstLook(arming.target, arming.process_name, dump))


def _done(look: FirstLook) -> Future[FirstLook]:
    done: Future[FirstLook] = Future()
    done.set_result(look)
    return done
