"""The manual page (troff, man(7)), made of the texts that `--help` shows: `monitord help --man`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from monitord import __version__
from monitord.cli.commands import ALIASES, GROUPS, SECTIONS
from monitord.cli.examples import EXAMPLES

_COMMON = ("config", "data_dir", "color")
_ENVIRONMENT = (
    ("MONITORD_CONFIG", "The configuration file, as --config."),
    ("MONITORD_DATA_DIR", "The data directory, as --data-dir."),
    ("MONITORD_SECTION__KEY", "One value of the configuration: MONITORD_SAMPLING__INTERVAL_S=5s."),
    ("NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM=dumb", "Whether to colour, without --color."),
    ("PAGER", "Shows lists and pages on a terminal; less without it."),
)
_FILES = (
    ("/etc/monitord/config.toml, /etc/monitord/conf.d/*.toml", "The machine's configuration."),
    ("~/.config/monitord/config.toml", "The user's own; `monitord config path` says what is read."),
    ("~/.local/state/monitord", "The data directory of a user's recorder."),
    ("/var/lib/monitord", "The data directory of the machine's service."),
)


def man_page() -> str:
    """Return the page as troff; it names no date and no machine, so that it can be compared."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    import typer

    from monitord.cli.app import build
    from monitord.cli.usage import plainly

    root = plainly(typer.main.get_command(build()))
    context = root.make_context("monitord", [], resilient_parsing=True)
    yield f'.TH MONITORD 1 "" "monitord {__version__}" "User Commands"'
    yield from (".nh", ".ad l")  # commands and keys are copied: none is divided or stretched
    yield from (".SH NAME", f"monitord \\- {_escaped(root.help).rstrip('.')}")
    yield from (".SH SYNOPSIS", ".B monitord", "[OPTIONS] COMMAND [ARGS]...")
    yield ".SH DESCRIPTION"
    yield _escaped("Options of every command may stand before its name, too:")
    yield from _options(root, context, root.params)
    yield from _examples("")
    yield ".SH COMMANDS"
    for title, commands in SECTIONS.items():
        yield f'.SS "{title}"'
        groups: set[str] = set()
        for path, _where, _summary in commands:
            group = path.partition(" ")[0] if " " in path else ""
            if group and group not in groups:
                groups.add(group)
                yield from (".PP", f".B monitord {group}", ".br", _escaped(GROUPS[group]))
            if path not in ALIASES:
                yield from _command(root, path)
    yield '.SS "Second names"'
    yield from _definitions((f"monitord {path}", f"monitord {name}") for path, name in ALIASES.items())
    yield ".SH EXIT STATUS"
    yield from _exit_codes(root.epilog)
    yield from (".SH ENVIRONMENT", *_definitions(_ENVIRONMENT))
    yield from (".SH FILES", *_definitions(_FILES))


def _command(root: Any, path: str) -> Iterator[str]:
    """A command: how it is called, what it does, its options, calls that can be copied."""
    command, context = root, root.make_context("monitord", [], resilient_parsing=True)
    for word in path.split():
        command = command.commands[word]
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (".PP", f".B monitord {_escaped(path)}", _escaped(usage), ".RS", ".PP")
    yield from (_escaped(text) for text in re.split(r"\n\s*\n", command.help))
    yield from _options(command, context, [each for each in command.params if each.name not in _COMMON])
    yield from _examples(path)
    yield ".RE"


def _options(command: Any, context: Any, params: list[Any]) -> Iterator[str]:
    records = [each.get_help_record(context) for each in params if not getattr(each, "hidden", False)]
    yield from _definitions(record for record in records if record is not None)


def _definitions(pairs: Any) -> Iterator[str]:
    for name, text in pairs:
        yield from (".TP", f".B {_escaped(name)}", _escaped(text))


def _examples(path: str) -> Iterator[str]:
    if path in EXAMPLES:
        yield from (".PP", "Examples:", *_definitions(EXAMPLES[path]))


def _exit_codes(epilog: str) -> Iterator[str]:
    """Make a list of "Exit codes: 0 ok; 1 failure; …; 129, 130 and 143 interrupted."."""
    said = epilog.partition(": ")[2].rstrip(".").split("; ")
    yield from _definitions(re.split(r" (?![\d,]|and \d)", each, maxsplit=1) for each in said)


def _escaped(text: str) -> str:
    """One line of text as troff reads it: no escape, no request, nothing outside ASCII."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    plain = plain.replace("'", "\\(aq").replace("`", "\\(ga")
    plain = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in plain)
    return f"\\&{plain}" if plain.startswith(".") else plain
