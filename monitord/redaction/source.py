"""Lines of Python source without what their strings and comments say: names, calls and operators stay.

A secret in a program is a literal, whatever the name beside it. So no rule judges it: every string and bytes
literal goes, also where a line is the middle of one, and so do comments and numbers that may be keys.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from monitord.redaction.words import HIDDEN, is_sensitive

MAX_LINE = 2000
_MAX_NESTING = 20
_OPENING = re.compile(
    r"(?P<comment>#[^\n]*+)|(?P<prefix>(?<![A-Za-z0-9_])[A-Za-z]{1,3}+)?(?P<quote>\"\"\"|'''|\"|')"
)
_REST = {
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*', re.S),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*", re.S),
    '"': re.compile(r'(?:[^"\\\n]|\\.)*+', re.S),
    "'": re.compile(r"(?:[^'\\\n]|\\.)*+", re.S),
}
_LITERAL = {  # of an f-string: up to its quote or to an expression
    '"""': re.compile(r'(?:[^"\\{}]|\\.|"(?!"")|\{\{|\}\})*', re.S),
    "'''": re.compile(r"(?:[^'\\{}]|\\.|'(?!'')|\{\{|\}\})*", re.S),
    '"': re.compile(r'(?:[^"\\{}\n]|\\.|\{\{|\}\})*+', re.S),
    "'": re.compile(r"(?:[^'\\{}\n]|\\.|\{\{|\}\})*+", re.S),
}
_IN_EXPRESSION = re.compile(
    r"[{}()\[\]:]|(?P<prefix>(?<![A-Za-z0-9_])[A-Za-z]{1,3}+)?(?P<quote>\"\"\"|'''|\"|')"
)
_FORMAT_TEXT = re.compile(r"[^{}\"'\n]*+")
_FORMAT = re.compile(
    r".?[<>=^]?[-+ ]?z?#?0?[0-9]{0,3}[,_]?(?:\.[0-9]{0,3})?[a-zA-Z%]?|(?:%[-#]?[A-Za-z%]|[-:/., T])*"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_KEY_NUMBER = re.compile(r"(?<![\w.])(?:0[xX][0-9a-fA-F_]{8,}+|0[oObB][0-7_]{12,}+|[0-9][0-9_]{15,}+)(?!\w)")
_NUMBER = re.compile(r"(?<![\w.])(?:0[xX][0-9a-fA-F_]{4,}+|[0-9][0-9_]{3,}+)(?![\w.])")
PYTHON_WORDS = frozenset((*keyword.kwlist, *keyword.softkwlist, "print", "exec"))

Span = tuple[int, int]


def source_line(text: str, number: int) -> str | None:
    """One line of a whole Python text (from 1), stripped, as it may be kept; None when there is none."""
    begin = 0
    for _ in range(number - 1):
        begin = text.find("\n", begin) + 1
        if not begin:
            return None
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    return safe_part(text, begin, min(end, begin + MAX_LINE))


def safe_part(text: str, begin: int, end: int) -> str:
    """What stands between two places, its literals replaced, its comment cut."""
    done: list[str] = []
    copied = begin
    for (start, stop), is_comment in literals(text, end):
        if stop <= begin or start >= end:
            continue
        first, last = max(start, begin), end if is_comment else min(stop, end)
        done.append(text[copied:first])
        if not is_comment:
            done.append(text[first:last] if last - first < 2 and first > begin else HIDDEN)
        copied = last
    done.append(text[copied:end])
    return without_numbers("".join(done).strip())


def literals(text: str, end: int) -> Iterator[tuple[Span, bool]]:
    """What stands inside quotes, and comments, in order; of what begins before `end`."""
    at = 0
    while (found := _OPENING.search(text, at, end)) is not None:
        if found["comment"] is not None:
            yield found.span(), True
            at = found.end()
            continue
        spans, at = _string(text, found.end(), found["prefix"] or "", found["quote"], 0)
        for span in spans:
            yield span, False


def _string(text: str, at: int, prefix: str, quote: str, nesting: int) -> tuple[list[Span], int]:
    """The parts of one literal that are text, and where what follows it begins."""
    if "f" not in prefix.lower() and "t" not in prefix.lower():
        rest = _REST[quote].match(text, at)
        stop = rest.end() if rest else at
        return [(at, stop)], stop + (len(quote) if text.startswith(quote, stop) else 0)
    spans: list[Span] = []
    while True:
        literal = _LITERAL[quote].match(text, at)
        stop = literal.end() if literal else at
        if stop > at:
            spans.append((at, stop))
        if text.startswith("{", stop) and nesting < _MAX_NESTING:
            inner, at = _expression(text, stop + 1, nesting + 1)
            spans += inner
        elif text.startswith(quote, stop):
            return spans, stop + len(quote)
        elif text.startswith("}", stop):
            at = stop + 1
        else:  # a broken one: nothing of it is code for sure
            end = text.find("\n", stop) if len(quote) == 1 else len(text)
            end = len(text) if end < 0 else end
            return [*spans, (stop, end)], end


def _expression(text: str, at: int, nesting: int) -> tuple[list[Span], int]:
    """The literals inside `{…}` of an f-string and the text of its format, and where it goes on."""
    spans: list[Span] = []
    depth = 1
    while depth and (found := _IN_EXPRESSION.search(text, at)) is not None:
        at = found.end()
        if found[0] == ":" and depth == 1:
            inner, at = _format(text, at, nesting)
            return spans + inner, at
        if found["quote"] is None:
            depth += (found[0] in "{([") - (found[0] in "})]")
        else:
            inner, at = _string(text, at, found["prefix"] or "", found["quote"], nesting)
            spans += inner
    return spans, at if not depth else len(text)


def _format(text: str, at: int, nesting: int) -> tuple[list[Span], int]:
    """What stands between an expression's colon and its `}`: kept if it is no more than a format."""
    spans: list[Span] = []
    while (literal := _FORMAT_TEXT.match(text, at)) is not None:
        if not _FORMAT.fullmatch(literal[0]):
            spans.append(literal.span())
        at = literal.end()
        if not text.startswith("{", at) or nesting >= _MAX_NESTING:
            break
        inner, at = _expression(text, at + 1, nesting + 1)
        spans += inner
    return spans, at + 1 if text.startswith("}", at) else at


def without_numbers(line: str) -> str:
    line = _KEY_NUMBER.sub(HIDDEN, line)
    if any(is_sensitive(name) for name in _NAME.findall(line) if name != "HIDDEN"):
        line = _NUMBER.sub(HIDDEN, line)
    return line
