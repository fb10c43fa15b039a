"""What to call a process on a page: "python" alone tells nobody which one; "python server.py" does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitord.redaction import printable

_INTERPRETER = re.compile(r"(?:python|pypy|node|nodejs|ruby|perl|php|java|bash|dash|sh|Rscript|lua)[\d.]*")
_SHOWN_AT_MOST = 24


def display_name(process_name: str, command_line: Sequence[str]) -> str:
    """The process's own name, followed by its script or module when it is an interpreter.

    Both come from the process and may lie: this is for eyes only, never for matching. Printable.
    """
    name = printable(process_name)
    if not _INTERPRETER.fullmatch(process_name) or len(command_line) < 2:
        return name
    words = list(command_line[1:])
    if words[0] == "-m" and len(words) > 1:
        return f"{name} -m {_cut(words[1])}"
    script = next((word for word in words if not word.startswith("-")), None)
    if script is None or words[0] in ("-c", "-e"):
        return name
    return f"{name} {_cut(script.rsplit('/', 1)[-1])}"


def _cut(word: str) -> str:
    shown = printable(word)
    return shown if len(shown) <= _SHOWN_AT_MOST else shown[: _SHOWN_AT_MOST - 1] + "…"
