"""Help: commands listed by what one is about, second names in no list, and calls that can be copied."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from monitord.cli.commands import ALIASES, COMMANDS, SECTIONS
from monitord.cli.examples import EXAMPLES

LISTED = [path for path, _, _ in COMMANDS if path not in ALIASES]


def test_the_list_of_commands_is_divided_by_what_one_is_about(here) -> None:
    """Each section has its heading, and each command of it stands below that heading, once."""
    lines = here("--help").out.split("\nOptions:")[1].split("\nExamples:")[0].splitlines()
    starts = {line[:-1]: at for at, line in enumerate(lines) if line.endswith(":")}
    assert list(starts) == list(SECTIONS)
    for title, commands in SECTIONS.items():
        below = [line.split()[0] for line in lines[starts[title] + 1 :] if line.startswith("  ")]
        words = dict.fromkeys(path.split()[0] for path, _, _ in commands if path not in ALIASES)
        assert below[: len(words)] == list(words)


@pytest.mark.parametrize(("path", "name"), ALIASES.items())
def test_a_second_name_works_and_stands_in_no_list(path, name, here) -> None:
    group, _, word = path.rpartition(" ")
    listed = re.findall(r"^  (\S+)", here(*group.split(), "--help").out, re.MULTILINE)
    assert word not in listed
    assert here(*path.split(), "--help").code == 0
    assert here(*name.split(), "--help").code == 0


@pytest.mark.parametrize("path", LISTED)
def test_every_page_of_help_ends_with_calls_that_can_be_copied(path, here) -> None:
    """That they can be typed is tested with all other hints (`tests/test_hints.py`)."""
    shown = here("help", *path.split()).out.split("\nExamples:\n")[1]
    assert EXAMPLES[path]
    for call, _purpose in EXAMPLES[path]:
        assert call in shown
        assert path in call or path.endswith(" run"), "an example of another command"


def test_help_is_asked_for_before_and_behind_a_command(here) -> None:
    for words in ([], ["storage"], ["storage", "ls"], ["recent"], ["profile"]):
        assert here("help", *words) == here(*words, "--help") == here(*words, "-h")


def test_the_first_line_of_help_says_what_the_command_does() -> None:
    """In the form of the lists: a verb, and a sentence that ends."""
    verbs = {short.split()[0] for _path, _where, short in COMMANDS} | {
        "Compare",
        "Replay",
        "Restore",
        "Run",
        "Wrap",
    }
    for path, where, _short in COMMANDS:
        module, _colon, name = where.partition(":")
        command = getattr(import_module(f"monitord.cli.{module}"), name)
        first = " ".join((command.__doc__ or "").split("\n\n")[0].split())
        assert re.match(r"\w+", first)[0] in verbs, (path, first)  # type: ignore[index]  # nothing is a failure
        assert first.endswith("."), (path, first)
