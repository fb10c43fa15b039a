"""Secrets that only their place gives away: the last word of `htpasswd -b FILE USER PASSWORD`.

Forms are those of `tools.OPERANDS`. Only words of a command are read so: in a sentence they mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from monitord.redaction.logins import is_person
from monitord.redaction.tools import CARRIERS, GENERAL_FORMS, TOOLS, tool_name
from monitord.redaction.words import is_choice

_MAX_TOOLS = 8
_MAX_OPERANDS = 48
_PATH = re.compile(r"[A-Za-z]:|[\\/].*|.*[\\/].*", re.S)
_NOT_SECRET = re.compile(r"-|\*|@.*|//.*|/[a-z]{2,12}(?::.*)?|\+[a-z_]+", re.S)
_FILE = re.compile(r".*[\\/].*|[\w-]{1,80}\.[a-z]{1,5}|[a-z]{1,20}=.*", re.S)
_GENERAL_THINGS = frozenset(form[0] for form in GENERAL_FORMS)
_ASSIGNED = re.compile(r"[A-Za-z_][\w.-]*+=", re.A)


def secret_operands(argv: Sequence[str]) -> dict[int, int]:
    """Positions in `argv` that hold a secret by what stands before them → where in the word it begins."""
    found: dict[int, int] = {}
    if not _GENERAL_THINGS.isdisjoint(argv[:12]):
        for general in GENERAL_FORMS:
            for position, begin in _places(general, argv, 1):
                if not _FILE.fullmatch(argv[position]):
                    found.setdefault(position, begin)
    for at in _tool_places(argv):
        for form in TOOLS[tool_name(argv[at])].forms:
            for position, begin in _places(form, argv, at + 1):
                found.setdefault(position, begin)
    return found


def _tool_places(argv: Sequence[str]) -> Iterator[int]:
    """Where a tool is named: the first word, or any behind a carrier (or a program that nobody knows)."""
    count = 0
    may_come = True
    for at, word in enumerate(argv):
        if not may_come or count >= _MAX_TOOLS:
            return
        name = tool_name(word)
        if name in TOOLS:
            yield at
            count += 1
            may_come = name in CARRIERS
        elif at == 0:
            may_come = True


def _places(form: tuple[str, ...], argv: Sequence[str], begin: int) -> Iterator[tuple[int, int]]:
    if form[0].startswith("-") and len(form[0]) == 2:
        options = (
            word for word in argv[begin : begin + _MAX_OPERANDS] if word[:1] == "-" and word[:2] != "--"
        )
        if not any(form[0][1] in word for word in options):
            return
        form = form[1:]
    verbs_with_dash = {word for word in form if word.startswith("-")}
    operands = [
        at
        for at in range(begin, min(len(argv), begin + _MAX_OPERANDS))
        if not argv[at].startswith("-") or argv[at] in verbs_with_dash or len(argv[at]) == 1
    ]
    if form == ("S$",):
        if operands and not _NOT_SECRET.fullmatch(argv[operands[-1]]):
            yield operands[-1], 0
        return
    for start in range(len(operands)):
        matched = _matched(form, argv, operands[start:])
        if matched is not None:
            yield from matched
            return
        if form[0] in ("*", "S", "P"):
            return  # forms that begin with an operand count from the first


def _matched(
    form: Sequence[str], argv: Sequence[str], operands: Sequence[int]
) -> list[tuple[int, int]] | None:
    found: list[tuple[int, int]] = []
    for number, (element, at) in enumerate(zip(form, operands, strict=False)):
        word = argv[at]
        if element == "S":
            if assigned := _ASSIGNED.match(word):
                return [] if assigned.end() < len(word) else None
            if is_person(word) and number + 1 < len(operands):  # `net rpc user add bob S`
                if number + 1 < len(form):
                    continue
                return None
            if not _NOT_SECRET.fullmatch(word) and not is_choice(word):
                found.append((at, 0))
        elif element == "K":
            return found + _assigned(argv, operands[number:])
        elif element == "P":
            if not _PATH.fullmatch(word):
                return None
        elif element.endswith(".*"):
            if not word.lower().startswith(element[:-1]):
                return None
        elif element not in ("*", word.lower()):
            return None
    return found if len(operands) >= len(form) else None


def _assigned(argv: Sequence[str], operands: Sequence[int]) -> list[tuple[int, int]]:
    """The values of `key=value` words, but for those that say where the value lies (`key=@file`)."""
    found = []
    for at in operands:
        assigned = _ASSIGNED.match(argv[at])
        if assigned and argv[at][assigned.end() :][:1] not in ("@", "-", ""):
            found.append((at, assigned.end()))
    return found
