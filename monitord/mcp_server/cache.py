"""Profiles that were asked for lately, in memory: parsing one again costs a process and a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from monitord.mcp_server.answers import ProfileAnswer

_MOST, _TTL_S, _TOP = 100, 3600.0, 20


class ProfileAnswers:
    """Answers by incident; bounded in number and age. What was deleted from the store is never shown."""

    def __init__(
        self,
        resolve: Callable[[str], str],
        ask: Callable[[str, int], ProfileAnswer],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resolve` gives an incident's whole id for a beginning, and raises when there is none now."""
        self._resolve = resolve
        self._ask = ask
        self._lock = threading.Lock()
        self._answers: TTLCache[str, ProfileAnswer] = TTLCache(_MOST, _TTL_S, timer=clock)
        self._unsaved: TTLCache[str, ProfileAnswer] = TTLCache(_MOST, _TTL_S, timer=clock)

    def put(self, answer: ProfileAnswer) -> None:
        """Remember a profile that the store does not have: only here can it be asked for."""
        with self._lock:
            self._unsaved[answer.profile_id] = answer

    def get(self, incident_id: str) -> ProfileAnswer:
        """The answer, from memory if it is there."""
        with self._lock:
            unsaved = self._unsaved.get(incident_id)
        if unsaved is not None:
            return unsaved
        incident_id = self._resolve(incident_id)
        with self._lock:
            found = self._answers.get(incident_id)
        if found is None:
            found = self._ask(incident_id, _TOP)
            with self._lock:
                self._answers[incident_id] = found
        return found

    def clear(self) -> int:
        """Forget all; how many."""
        with self._lock:
            count = len(self._answers) + len(self._unsaved)
            self._answers.clear()
            self._unsaved.clear()
        return count
