"""The cheap look at the first crossing: kept in memory until the window decides what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from monitord.logs import get_logger
from monitord.model import Arming, Capture, ProcessKey, ProcessRates, TriggerMetric
from monitord.pipeline.outcomes import refused

_WAITING_AT_MOST = 4  # a machine where more processes cross in one tick than this has other troubles
_KEPT_AT_MOST = 64  # dumps in memory; the oldest window has had the longest time to be decided


@dataclass(frozen=True, slots=True)
class FirstLook:
    """Who is to blame (None: unattributed), and the dump taken of it (None: refused or impossible)."""

    target: ProcessKey | None
    process_name: str
    dump: Capture | None


_TOO_MANY = f"{_WAITING_AT_MOST} first looks were waiting already"
Look = Callable[[ProcessKey, Path], Capture]
Blame = Callable[[], list[tuple[ProcessKey, str, float]]]


class FirstLooks:
    """Takes dumps on a thread of its own, so that neither the loop nor a running capture delays them.

    `blame` names the busiest network talkers; it is asked only when a network rule is near its alert.
    """

    def __init__(self, look: Look, blame: Blame, folder: Path, *, is_enabled: bool = True) -> None:
        self._look = look
        self._blame = blame
        self._folder = folder
        self._is_enabled = is_enabled
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="first-look")
        self._pending: dict[tuple[str, ProcessKey | None], Future[FirstLook]] = {}

    def take(self, arming: Arming, suspect: ProcessRates | None = None) -> None:
        """Start a look at what has just crossed a threshold; returns at once.

        `suspect` stands in for a machine-wide rule, which has no target of its own.
        """
        under_way = {target: future for (_, target), future in self._pending.items() if not future.done()}
        shared = under_way.get(arming.target) if arming.target else None
        if shared is None and len(under_way) >= _WAITING_AT_MOST:
            get_logger().warning("first_look.skipped", rule=arming.rule, reason=_TOO_MANY)
            shared = _skipped(arming)
        look = shared or self._executor.submit(self._first_look, arming, suspect)
        self._pending[arming.rule, arming.target] = look
        while len(self._pending) > _KEPT_AT_MOST:
            del self._pending[next(iter(self._pending))]

    def forget(self, arming: Arming) -> None:
        """The window broke: what was seen is thrown away."""
        self._pending.pop((arming.rule, arming.target), None)

    def claim(self, rule: str, target: ProcessKey | None) -> Future[FirstLook] | None:
        """The look that belongs to an alert; it may still be under way."""
        return self._pending.pop((rule, target), None)

    def close(self) -> None:
        """Take no further looks; one under way is bounded by its own deadline."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _first_look(self, arming: Arming, suspect: ProcessRates | None) -> FirstLook:
        target, name = arming.target, arming.process_name
        if target is None and suspect is not None:
            target, name = suspect.key, suspect.name
        if target is None and arming.metric is TriggerMetric.NETWORK:
            target, name, _ = next(iter(self._blame()), (None, name, 0.0))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        dump = self._look(target, self._folder) if target and self._is_enabled else None
        return FirstLook(target, name, dump)


def _skipped(arming: Arming) -> Future[FirstLook]:
    """A look that was not taken, and why."""
    dump = refused("dump", arming.target, _TOO_MANY) if arming.target else None
    done: Future[FirstLook] = Future()
    done.set_result(FirstLook(arming.target, arming.process_name, dump))
    return done
