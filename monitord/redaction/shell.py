"""Text read as a shell reads it: words with their places, quotes, and where commands end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A quote inside a word opens nothing ("it's"), but for `-p'…'` and `name='…'`, whose sign stands before it.
# Behind a letter a quote is an apostrophe, and so it stays when the word before it is hidden.
_NO_LETTER = r"(?<![A-Za-z0-9])(?<!HIDDEN\*\*\*)"
_TOKEN = re.compile(
    r"""(?P<end>\n|<<<|\|\|?|;|&&?|[()`])|(?P<word>(?:[^\s"'`|;&()\\<]++|\\.?"""
    rf"""|{_NO_LETTER}'[^']*+'?+"""
    r"""|(?<=-[A-Za-z])'[^']*+'?+|'|"(?:[^"\\]|\\.)*+"?+|<(?!<<))+)""",
    re.S,
)
_QUOTED = re.compile(
    rf"""{_NO_LETTER}(?<!\\)'([^']*+)'?+"""
    r"""|(?<=-[A-Za-z])'([^']*+)'?+|(?<!\\)"((?:[^"\\]|\\.)*+)"?+""",
    re.S,
)
_PLAIN = re.compile(
    rf"""\\(.)|{_NO_LETTER}'([^']*+)'?+"""
    r"""|(?<=-[A-Za-z])'([^']*+)'?+|"((?:[^"\\]|\\.)*+)"?+""",
    re.S,
)
# Of a text that only a shell reads, where every quote is one.
_SCRIPT_TOKEN = re.compile(
    r"""(?P<end>\n|<<<|\|\|?|;|&&?|[()`])|(?P<word>(?:[^\s"'`|;&()\\<>]++|\\.?|'[^']*+'?+"""
    r"""|"(?:[^"\\]|\\.)*+"?+|<(?!<<)|>)+)""",
    re.S,
)
_SCRIPT_PART = re.compile(r"""\\(.)|'([^']*+)'?+|"((?:[^"\\]|\\.)*+)"?+""", re.S)
_ESCAPED = re.compile(r'\\(["\\$`])')


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a command: where it stands in the text, and what it is without its quotes."""

    start: int
    end: int
    raw: str
    is_in_script: bool = False

    @property
    def value(self) -> str:
        raw = self.raw
        if '"' not in raw and "'" not in raw and "\\" not in raw:
            return raw
        if self.is_in_script:
            return _SCRIPT_PART.sub(_unquoted, raw)
        return _PLAIN.sub(lambda found: next((part for part in found.groups() if part is not None), ""), raw)

    def spelt(self, value: str) -> str:
        """Another value in this word's quotes; where those are many, in those that fit."""
        quote = self.raw[0]
        is_quoted = (
            quote in "\"'" and len(self.raw) > 1 and self.raw[-1] == quote and quote not in self.raw[1:-1]
        )
        if is_quoted:
            return f"{quote}{value}{quote}"
        if not self.is_in_script or not any(mark in value for mark in " \t\n'\"|;&()<>"):
            return value
        return f'"{escaped(value)}"' if self.raw[0] == '"' else "'" + value.replace("'", "'\"'\"'") + "'"


@dataclass(frozen=True, slots=True)
class Command:
    """The words of one simple command, and what ended it (`|`, `;`, `<<<`, …; empty at the text's end)."""

    words: tuple[Word, ...]
    end: str


def commands_in(text: str, *, is_script: bool = False) -> Iterator[Command]:
    """The simple commands of a text, in order; linear in its length, whatever it holds.

    Of a script every quote is one; elsewhere "it's" opens none.
    """
    words: list[Word] = []
    for found in (_SCRIPT_TOKEN if is_script else _TOKEN).finditer(text):
        if found.lastgroup == "word":
            words.append(Word(found.start(), found.end(), found[0], is_script))
        else:
            yield Command(tuple(words), found[0])
            words = []
    yield Command(tuple(words), "")


def quoted_in(text: str) -> Iterator[tuple[int, int, str]]:
    """Every quoted part: begin and end of what stands between the quotes, and the quote."""
    for found in _QUOTED.finditer(text):
        yield found.start(found.lastindex or 0), found.end(found.lastindex or 0), found[0].lstrip("$")[0]


def _unquoted(found: re.Match[str]) -> str:
    return unescaped(found[3]) if found[3] is not None else found[1] or found[2] or ""


def unescaped(text: str) -> str:
    """What a double-quoted text says to the next reader."""
    return _ESCAPED.sub(r"\1", text)


def escaped(text: str) -> str:
    """The reverse of `unescaped`."""
    return re.sub(r'(["\\$`])', r"\\\1", text)
