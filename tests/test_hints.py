"""Every command that a message, a fix, a page or the manual tells somebody to type is one that can be typed."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from typer.exceptions import TyperException

from monitord.cli.app import COMMANDS, _with_default, build
from monitord.cli.usage import plainly
from monitord.errors import MonitordError

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
SOURCES = sorted((ROOT / "monitord").rglob("*.py"))
TICKED = re.compile(r"`(?:sudo )?(?:\$ )?(monitord(?: [^`]*)?)`")
BARE = re.compile(r"^(?:.*(?::|→|with:) )?(?:sudo )?(monitord [a-z][^`]*)$")
ENDS = re.compile(r"\s+(?:&$|(?:&&|\||>|<|;|#|->|→)\s+.*$)", re.DOTALL)
NAMES = {path.split()[0] for path, _, _ in COMMANDS}


def texts(path: Path) -> Iterator[str]:
    """The string constants of a source file, what is filled in standing as 1; docstrings too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in joined for part in ast.walk(node) if part is not node}
    for node in joined:
        text = ""
        for part in node.values:
            # An option that may follow a word ("install{' --system' if …}") is left out.
            filled = "" if text[-1:].isalnum() else "1"
            text += str(part.value) if isinstance(part, ast.Constant) else filled
        yield text
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def commands() -> Iterator[tuple[str, str]]:
    """(where it stands, the command)."""
    for path in SOURCES:
        for text in texts(path):
            bare = (
                [each for each in BARE.findall(text) if each.split()[1] in NAMES] if "\n" not in text else []
            )
            found = TICKED.findall(text) or bare
            yield from ((str(path.relative_to(ROOT)), each) for each in found)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.splitlines()]
        bare = [each for line in lines if (each := line.strip().removeprefix("$ ").removeprefix("sudo "))]
        yield from ((page.name, each) for each in bare if each.startswith("monitord "))
        prose = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        yield from ((page.name, " ".join(each.split())) for each in TICKED.findall(prose))


def words_of(command: str) -> list[str]:
    """What would be typed: the first of alternatives, without the brackets of what may be left out."""
    plain = ENDS.sub("", command).replace("…", "").replace("...", "")
    plain = re.sub(r"[\[\]]", " ", plain)
    words = [re.split(r"(?<=\w)\|", word)[0] for word in shlex.split(plain)[1:]]
    return ["1" if re.fullmatch(r"N|PID|X|HOURS|DAYS|\{\w+\}", word) else word for word in words if word]


application = functools.cache(lambda: plainly(typer.main.get_command(build())))


def parse(words: list[str]) -> None:
    """Read the words as the command line does, and do nothing."""
    command = application()
    context = command.make_context("monitord", list(_with_default(words)), resilient_parsing=False)
    while getattr(command, "commands", None) and (rest := [*context._protected_args, *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


FOUND = sorted(set(commands()))


def test_enough_was_found() -> None:
    """Else the pattern is wrong, not the commands right."""
    assert len({said for _where, said in FOUND}) > 100


@pytest.mark.parametrize(("where", "said"), FOUND, ids=[f"{where}: {said}"[:90] for where, said in FOUND])
def test_what_is_said_to_be_typed_can_be(where: str, said: str) -> None:
    """Its commands, options and values are those of the real command line."""
    words = words_of(said)
    if not words or words[0] in ("COMMAND", "1"):
        return
    with suppress(typer.Exit, MonitordError):  # --help and --version end at once
        try:
            parse(words)
        except TyperException as error:
            # A command's name alone names it; what it needs besides is not said there.
            if type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
                pytest.fail(error.format_message())
