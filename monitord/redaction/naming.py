"""What to call a process on a page: "python" alone tells nobody which one; "python server.py" does.

And how it is asked for: by what the page called it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from monitord.redaction.printing import printable

_INTERPRETER = re.compile(r"(?:python|pypy|node|nodejs|ruby|perl|php|java|bash|dash|sh|Rscript|lua)[\d.]*t?")
_SHOWN_AT_MOST = 24


def display_name(process_name: str, command_line: Sequence[str]) -> str:
    """The process's own name, followed by its script or module when it is an interpreter.

    Both come from the process and may lie: this is for eyes and for finding, never for identity. Printable.
    """
    option, script = _script(process_name, command_line)
    return " ".join(filter(None, (printable(process_name), option, _cut(script))))


def fits_name(wanted: str, process_name: str, command_line: Sequence[str] = ()) -> bool:
    """A part of what the process is called, or a shell pattern for all of it; letter case does not matter.

    Called it is by its own name, by its script or module, and as `display_name` shows it, cut or whole.
    """
    option, script = _script(process_name, command_line)
    whole = " ".join(filter(None, (process_name, option, script)))
    names = (process_name, script, whole, printable(whole), display_name(process_name, command_line))
    pattern = wanted.casefold()
    return any(
        pattern in name or fnmatch.fnmatchcase(name, pattern) for name in (name.casefold() for name in names)
    )


def _script(process_name: str, command_line: Sequence[str]) -> tuple[str, str]:
    """What an interpreter runs: "-m" and a module, or "" and a file's name; both empty if unknown."""
    words = list(command_line[1:])
    if not _INTERPRETER.fullmatch(process_name) or not words:
        return "", ""
    if words[0] == "-m" and len(words) > 1:
        return "-m", words[1]
    script = next((word for word in words if not word.startswith("-")), None)
    if script is None or words[0] in ("-c", "-e"):
        return "", ""
    return "", script.rsplit("/", 1)[-1]


def _cut(word: str) -> str:
    shown = printable(word)
    return shown if len(shown) <= _SHOWN_AT_MOST else shown[: _SHOWN_AT_MOST - 1] + "…"
