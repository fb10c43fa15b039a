"""What the screen can do: its width, its colours, its pager. Data on stdout, everything else on stderr.

Colour only where a person looks (NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM=dumb and --color are heard);
the pager only on a terminal, and `less` goes away by itself when one screen is enough.
"""

from __future__ import annotations

import codecs
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitord.ownership import is_privileged, why_untrusted
from monitord.redaction import printable

_OURS = re.compile(r"(\x1b\[[0-9;]*m|^\r|\r?\n)")
"""What may move a terminal: the colours of `Style`, ends of lines, and a return before a message."""
_DRAWN = "▁▂▃▄▅▆▇█▏▎▍▌▋▊▉·…–›→±×"
_PLAIN = str.maketrans(_DRAWN, "_.-=+*#@.:-=+*# ~->>~x")
LABEL = 10  # columns of a label
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Style:
    """Wraps text in colours, or leaves it alone."""

    colour: bool = False

    def paint(self, text: str, *names: str) -> str:
        """`names` are keys like bold, dim, red, green, yellow, cyan."""
        if not self.colour or not names or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def wants_colour(mode: str, env: Mapping[str, str], is_terminal: bool) -> bool:
    """`mode` is always, never or auto; see https://no-color.org and https://bixense.com/clicolors."""
    if mode != "auto":
        return mode == "always"
    if env.get("NO_COLOR"):
        return False
    if any(env.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and env.get("TERM") != "dumb"


def width() -> int:
    """Columns to fill: COLUMNS, the terminal's, or 80; 120 when piped, so that lines stay whole."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 120, 24)).columns


def say(line: str) -> None:
    """Print a message for people to stderr. A closed or full stderr is ignored."""
    try:
        print(_shown(line), file=sys.stderr, flush=True)  # noqa: T201 - the one place that writes to stderr
    except OSError:
        # Python keeps the line, tries again at the end, and would end with a status of its own.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process


def open_missing_streams() -> None:
    """Give standard streams that were closed by the caller (`>&-`) back their numbers.

    The next file opened would take them, and what is written to stdout or stderr would land in it. Nothing is
    read from them; writing to stdout fails, as it does when it is closed.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for the life of the process


def stdout_trouble(error: OSError | None = None) -> OSError | None:
    """Why stdout can't be written, given what failed; None where it can. What waits for it is dropped."""
    try:
        sys.stdout.flush()
        if error is not None:
            os.write(sys.stdout.fileno(), b"\n")  # an unbuffered stream has forgotten that it failed
    except OSError as trouble:
        # Python flushes once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return trouble
    return None


def emit(text: str) -> None:
    """Write text to stdout; what a terminal would obey, or the locale can't say, is shown escaped.

    What we draw ourselves has a plain character instead, as wide.
    """
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(_encoded(text, encoding).decode(encoding))


def _encoded(text: str, encoding: str) -> bytes:
    shown = _shown(text)
    try:
        return shown.encode(encoding)
    except UnicodeEncodeError:
        return shown.translate(_PLAIN).encode(encoding, "backslashreplace")


def emit_json(value: object) -> None:
    """Write a value to stdout as JSON."""
    from monitord.export.encoding import json_text

    emit(json_text(value) + "\n")


def _shown(text: str) -> str:
    """The last fence before a screen: whatever was forgotten to be made printable is so here."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(part if at % 2 else printable(part) for at, part in enumerate(_OURS.split(text)))


def emit_bytes(content: bytes) -> None:
    """Write a file's content to stdout, as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def page(lines: Iterable[str], *, allowed: bool = True) -> None:
    """Show lines, through the pager when a person is looking."""
    command = shlex.split(os.environ.get("PAGER", "less")) if allowed and sys.stdout.isatty() else []
    tool = shutil.which(command[0]) if command and command[0] != "cat" else None
    if tool is not None and is_privileged() and why_untrusted(Path(tool)) is not None:
        tool = None  # PATH or PAGER of a user, kept by su or sudo
    text = "".join(f"{line}\n" for line in lines)
    if tool is None:
        emit(text)
        return
    encoding = sys.stdout.encoding or "utf-8"
    is_utf_8 = codecs.lookup(encoding).name == "utf-8"
    env = {"LESS": "FRX", **({"LESSCHARSET": "utf-8"} if is_utf_8 else {}), **os.environ}
    with subprocess.Popen([tool, *command[1:]], stdin=subprocess.PIPE, env=env) as pager:
        try:
            pager.communicate(_encoded(text, encoding))
        except (BrokenPipeError, KeyboardInterrupt):
            pass  # the reader has seen enough


def display_width(text: str) -> int:
    """Columns that `text` takes: wide East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def cut(text: str, columns: int) -> str:
    """Cut a text to at most `columns`, the loss shown as "…"."""
    if display_width(text) <= columns:
        return text
    kept, used = "", 0
    for char in text:
        used += _char_width(char)
        if used > columns - 1:
            break
        kept += char
    return kept + "…" if columns > 0 else ""


def cut_left(text: str, columns: int) -> str:
    """Cut a text to at most `columns`, its end kept: the end of a path says more than its beginning."""
    if display_width(text) <= columns:
        return text
    kept = text[-max(columns, 1) :]
    while kept and display_width(kept) > columns - 1:
        kept = kept[1:]
    return "…" + kept if columns > 0 else ""


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Fill with blanks to `columns`, counted as they are seen."""
    blank = " " * max(0, columns - display_width(text))
    return blank + text if right else text + blank


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most `columns` (but 2), broken at blanks where there are any; what eyes see is counted."""
    columns = max(columns, 2)  # one wide character
    lines, line, used = [], "", 0
    for word in text.split(" "):
        needed = display_width(word)
        if line and used + 1 + needed <= columns:
            line, used = f"{line} {word}", used + 1 + needed
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, columns)
        lines += whole
        used = display_width(line)
    return [*lines, line]


def fact(label: str, text: str, columns: int, indent: str = "  ", label_wide: int = LABEL) -> Iterator[str]:
    """A label and what there is to say, wrapped beside it."""
    head = f"{indent}{label:<{label_wide}} "
    for line in wrap(printable(text), columns - len(head)):
        yield head + line
        head = " " * len(head)


def _pieces(word: str, columns: int) -> Iterator[str]:
    """A word in parts of at most `columns`."""
    start = used = 0
    for at, char in enumerate(word):
        wide = _char_width(char)
        used += wide
        if used > columns:
            yield word[start:at]
            start, used = at, wide
    yield word[start:]


@functools.lru_cache(maxsize=1024)
def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
