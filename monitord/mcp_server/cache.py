"""Profiles that were asked for lately, in memory: parsing one again costs a process and a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from monitord.mcp_server.answers import ProfileAnswer
from monitord.profiling.cache import ProfileCache

_TOP = 20


class ProfileAnswers:
    """Answers by incident, from the cache and then from storage. What was deleted there is never shown."""

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
        self._cache: ProfileCache[ProfileAnswer] = ProfileCache(
            size_of=lambda answer: len(answer.model_dump_json()), clock=clock
        )

    def put(self, answer: ProfileAnswer) -> None:
        """Remember a profile that the store does not have: only here can it be asked for."""
        self._cache.put(answer)

    def get(self, incident_id: str) -> ProfileAnswer:
        """The answer, from memory if it is there."""
        found = self._cache.get(incident_id)
        if found is not None and _is_unsaved(found):
            return found
        incident_id = self._resolve(incident_id)
        found = self._cache.get(incident_id)
        if found is None:
            found = self._ask(incident_id, _TOP)
            self._cache.put(found)
        return found

    def clear(self) -> int:
        """Forget all; how many."""
        return self._cache.clear()


def _is_unsaved(answer: ProfileAnswer) -> bool:
    return answer.about.get("kept") is False
