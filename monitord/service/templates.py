"""The service files that ship with monitord, with the path of this installation filled in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitord.errors import NotFoundError, UsageError

PROGRAM = "@EXECUTABLE@"
LOG = "@LOG@"


def template(name: str) -> str:
    """Read a file such as `systemd/monitord.service`: from the wheel, else from the checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_service", package.parent):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise NotFoundError(f"cannot find {name}: it is not part of this installation; install monitord again")


def render_unit(name: str, program: Sequence[str]) -> str:
    """A systemd unit that starts `program`.

    systemd refuses quotes and backslashes in the name of a program, however they are written.
    """
    if any(char in program[0] for char in "\"'\\") or not program[0].isprintable():
        raise UsageError(f"cannot start a program at {program[0]!r} from systemd; install monitord elsewhere")
    words = [_quoted(program[0]), *(_quoted(word).replace("$", "$$") for word in program[1:])]
    return template(name).replace(PROGRAM, " ".join(words))


def render_plist(name: str, program: Sequence[str], log: Path) -> str:
    """A launchd property list that starts `program` and sends what it says to `log`."""
    import plistlib  # the daemon imports this room for its Notifier and shall not pay for an XML parser

    values = plistlib.loads(template(name).encode())
    values["ProgramArguments"] = [*program, "run"]
    values["StandardErrorPath"] = str(log)
    return plistlib.dumps(values, sort_keys=False).decode()


def _quoted(word: str) -> str:
    """One word of ExecStart=, by the rules of systemd.service(5): % doubled, quotes where needed.

    $ is doubled in arguments only: in the program's own name systemd expands nothing.
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    is_plain = escaped == word and not any(char.isspace() or char in "';" for char in word)
    return escaped if is_plain else f'"{escaped}"'
