"""What to call a process on a page: "python" alone tells nobody which one; "python server.py" does.

And how it is asked for: by what the page called it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from monitord.interpreters import Started, family_of, started
from monitord.redaction.printing import printable

_SHOWN_AT_MOST = 24
_NAMELESS = "MainThread"  # what new versions of Node call the thread whose name is the process's


def display_name(process_name: str, command_line: Sequence[str]) -> str:
    """The process's own name, followed by its script or module when it is an interpreter.

    Both come from the process and may lie: this is for eyes and for finding, never for identity. Printable.
    """
    own, told = _called(process_name, command_line)
    return " ".join([printable(own), *map(_cut, told)])


def fits_name(wanted: str, process_name: str, command_line: Sequence[str] = ()) -> bool:
    """A part of what the process is called, or a shell pattern for all of it; letter case does not matter.

    Called it is by its own name, by its script or module, and as `display_name` shows it, cut or whole.
    """
    own, told = _called(process_name, command_line)
    whole = " ".join([own, *told])
    names = (
        process_name,
        *told[-1:],
        whole,
        printable(whole),
        display_name(process_name, command_line),
    )
    pattern = wanted.casefold()
    return any(
        pattern in name or fnmatch.fnmatchcase(name, pattern) for name in (name.casefold() for name in names)
    )


def kinship(process_name: str, command_line: Sequence[str]) -> tuple[str, ...]:
    """What processes that run the same program have in common: name, and what the interpreter was given."""
    found = started(process_name, command_line)
    told = (found.kind, found.what, found.search, *found.through) if found else ()
    return (process_name, *told)


def _called(process_name: str, command_line: Sequence[str]) -> tuple[str, list[str]]:
    """Its name, and the words that say what it runs, none of them cut."""
    own = process_name
    if own == _NAMELESS and command_line and family_of(_base(command_line[0])):
        own = _base(command_line[0])
    found = started(own, command_line)
    return own, _words(found) if found else []


def _words(found: Started) -> list[str]:
    """What is run, without the folders; text that was given on the command line is nobody's name."""
    through = [_base(name) for name in found.through]
    if found.kind == "module":
        return [*through, found.option, found.what]
    if found.kind == "class":
        return [*through, _class(found.what)]
    return [*through, _base(found.what)] if found.kind in ("file", "jar") else through


def _class(name: str) -> str:
    """A class without its packages where both together are too long; a source file without its folders."""
    name = _base(name)
    return name if len(name) <= _SHOWN_AT_MOST else name.rpartition(".")[2]


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _cut(word: str) -> str:
    shown = printable(word)
    return shown if len(shown) <= _SHOWN_AT_MOST else shown[: _SHOWN_AT_MOST - 1] + "…"
