"""Foreign text in Markdown: shown as it is, it never becomes a link, a mention, markup or a new line.

A word that some reader of Markdown could take for more than a word stands as code; names of functions look so
anyhow. CommonMark, GitHub's and GitLab's additions to it, and what chats make of it are thought of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from monitord.redaction import printable

# Letters of any script, digits, and punctuation that means nothing, wherever it stands in a word.
_PLAIN = re.compile(r"[\w.,;:%/+()±×…–'-]+", re.UNICODE)
# Addresses, pictures (:+1:), GitLab's milestones (%1), GitHub's issues (GH-1).
_MEANT = re.compile(r"www\.|:[\w+-]+:|//|(?<!\w)%\w|\bgh-\d", re.IGNORECASE)
_BEGINS_A_BLOCK = re.compile(r"[-+=]+$|\d+[.)]$|/")  # a list, a rule, a heading; in chats a command
_TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?")
_QUOTED = re.compile(r"(?<!\S)`([^`]+)`(?=[.,;:)]*(?:\s|$))")  # two runs of backquotes must never touch
_AROUND = re.compile(r"^([(]*)(.*?)([).,;:]*)$", re.DOTALL)


def inline(text: str) -> str:
    """One line of text; words that could mean something to a reader of Markdown stand as code."""
    parts = _QUOTED.split(printable(text))  # what stands between backquotes is at the odd places
    return "".join(code(part) if at % 2 else _words(part) for at, part in enumerate(parts))


def code(text: str) -> str:
    """A text as code, whatever it holds."""
    shown = printable(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    blank = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{blank}{shown}{blank}{fence}"


def cell(text: str) -> str:
    """A cell of a table: there a bar ends a cell even in code, unless a backslash stands before it."""
    return inline(text).replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; cells are markup already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def fenced(lines: Iterable[str]) -> list[str]:
    """Lines as a block of code."""
    shown = [printable(line) for line in lines]
    fence = "`" * max(3, 1 + max((len(run) for line in shown for run in re.findall("`+", line)), default=0))
    return [fence, *shown, fence]


def _words(text: str) -> str:
    first, *others = text.split(" ")
    head = code(first) if _BEGINS_A_BLOCK.match(first) else _word(first)
    return " ".join([head, *map(_word, others)])


def _word(word: str) -> str:
    if _is_plain(word):
        return word
    before, middle, after = _AROUND.match(word).groups()  # type: ignore[union-attr]  # it matches everything
    return f"{before}{code(middle)}{after}" if middle else code(word)


def _is_plain(word: str) -> bool:
    return (
        not word
        or _TIME.fullmatch(word) is not None
        or (_PLAIN.fullmatch(word) is not None and _MEANT.search(word) is None and "_" not in word)
    )
