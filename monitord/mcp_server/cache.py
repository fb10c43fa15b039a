"""Profiles that were asked for lately, in memory: parsing one again costs a process and a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from monitord.export.evidence import Comparable
from monitord.mcp_server.answers import ProfileAnswer
from monitord.model import Hotspot
from monitord.scripts.cache import ProfileCache

_TOP = 20


@dataclass(frozen=True, slots=True)
class Held:
    """An answer in memory, and the document it was made of where nothing else has it."""

    answer: ProfileAnswer
    document: bytes = b""

    @property
    def profile_id(self) -> str:
        return self.answer.profile_id

    @property
    def comparable(self) -> Comparable:
        """The profile as one side of a comparison."""
        names = {field.name for field in fields(Hotspot)}
        spots = (
            Hotspot(**{name: held for name, held in spot.items() if name in names})
            for spot in self.answer.functions
        )
        return Comparable(self.profile_id, "scalene", None, self.document, tuple(spots))


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
        self._cache: ProfileCache[Held] = ProfileCache(
            size_of=lambda held: len(held.answer.model_dump_json()) + len(held.document), clock=clock
        )

    def put(self, answer: ProfileAnswer, document: bytes) -> None:
        """Remember a profile that the store does not have: only here can it be asked for."""
        self._cache.put(Held(answer, document))

    def unsaved(self, profile_id: str) -> Held | None:
        """A profile that only this memory has."""
        found = self._cache.get(profile_id)
        return found if found is not None and _is_unsaved(found.answer) else None

    def get(self, incident_id: str) -> ProfileAnswer:
        """The answer, from memory if it is there."""
        if (unsaved := self.unsaved(incident_id)) is not None:
            return unsaved.answer
        incident_id = self._resolve(incident_id)
        found = self._cache.get(incident_id)
        if found is None:
            found = Held(self._ask(incident_id, _TOP))
            self._cache.put(found)
        return found.answer

    def clear(self) -> int:
        """Forget all; how many."""
        return self._cache.clear()


def _is_unsaved(answer: ProfileAnswer) -> bool:
    return answer.about.get("kept") is False
