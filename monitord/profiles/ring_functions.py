"""The function that a stack of the black box counts to, and the hottest of many. Pure."""

from __future__ import annotations

from collections import Counter

from monitord.profiles.idle_calls import is_background
from monitord.profiles.limits import MAX_NAME
from monitord.profiles.representation import python_or_leaf
from monitord.profiles.ring_document import Ring
from monitord.redaction import redact_name

Function = tuple[str, str | None]
"""Its name, and its file or a native one's binary; both safe to show."""


class RingFunctions:
    """The functions of one document."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._known: dict[int, Function] = {}

    def of(self, stack: int) -> Function:
        """The function that a stack's own time counts to."""
        if stack not in self._known:
            frames = self._ring.frames
            frame = frames[python_or_leaf(frames, self._ring.stacks[stack] or ())]
            place = frame.file or frame.module
            self._known[stack] = _safe(frame.name), place and _safe(place)
        return self._known[stack]

    def hottest(self, stacks: Counter[int]) -> tuple[Function, float]:
        """The function that most of these stacks count to, and its part; one that waits comes last."""
        functions: Counter[Function] = Counter()
        for stack, weight in stacks.items():
            functions[self.of(stack)] += weight
        first = min(functions, key=lambda one: (is_background(*one), -functions[one], one[0]))
        return first, functions[first] / functions.total()


def _safe(name: str) -> str:
    return redact_name(name[:MAX_NAME])
