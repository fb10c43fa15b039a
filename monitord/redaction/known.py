"""Known words in a text, found in one walk over it however many there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile


@dataclass(slots=True)
class _Edge:
    text: str
    below: dict[str, _Edge] = field(default_factory=dict)
    is_end: bool = False


class KnownWords:
    """A radix tree of words: adding one costs its length, finding them the text's, whatever their number.

    `whole_words`: only where no letter or digit stands beside them. Of two words the longer one is found.
    """

    def __init__(self, *, whole_words: bool) -> None:
        self._whole_words = whole_words
        self._root: dict[str, _Edge] = {}
        self._starts: re.Pattern[str] | None = None

    def add(self, word: str) -> None:
        """Know one more word, which is not empty."""
        if word[0] not in self._root:
            self._starts = None
        below, rest = self._root, word
        while rest:
            edge = below.get(rest[0])
            if edge is None:
                edge = below[rest[0]] = _Edge(rest)
            common = _common(edge.text, rest)
            if common < len(edge.text):
                lower = _Edge(edge.text[common:], edge.below, edge.is_end)
                edge.text, edge.below, edge.is_end = edge.text[:common], {lower.text[0]: lower}, False
            rest = rest[common:]
            edge.is_end = edge.is_end or not rest
            below = edge.below

    def replace(self, text: str, by: Callable[[str], str]) -> str:
        """The text with what `by` gives for each known word in its place."""
        if not self._root:
            return text
        if self._starts is None:
            beside = r"(?<![A-Za-z0-9])" if self._whole_words else ""
            self._starts = re.compile(f"{beside}[{''.join(map(re.escape, sorted(self._root)))}]")
        done: list[str] = []
        copied = position = 0
        while found := self._starts.search(text, position):
            start = found.start()
            position = start + 1
            if end := self._end(text, start):
                done += [text[copied:start], by(text[start:end])]
                copied = position = end
        return "".join([*done, text[copied:]])

    def _end(self, text: str, at: int) -> int:
        """Where the longest known word that begins here ends; 0 if none does."""
        end, below = 0, self._root
        while at < len(text) and (edge := below.get(text[at])) and text.startswith(edge.text, at):
            at += len(edge.text)
            if edge.is_end and not (self._whole_words and _is_alphanumeric(text[at : at + 1])):
                end = at
            below = edge.below
        return end


def _common(one: str, other: str) -> int:
    """How many characters two words begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _is_alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()
