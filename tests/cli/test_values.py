"""Words become values without the library's checker, and just those that it would make of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

from monitord.cli.app import build
from monitord.cli.usage import plainly
from monitord.cli.values import NotPlainError, plain_value

TEXTS = (
    "", "0", "1", "5", "007", "+5", "-1", " 5 ", "5 ", "1_000", "٣", "1.5", "1e3", "nan", "inf", "99999999999", "9" * 400,
    "0.1", ".5", "5.", "json", "JSON", "csv", "auto", "cpu", "text", "true", "no", "/tmp", "/nowhere/at/all", "-", "ä", "\udcff", "a\0b",
)  # fmt: skip


def parameters(command: Any) -> Iterator[Any]:
    for child in getattr(command, "commands", {}).values():
        yield from parameters(child)
    yield from command.params


ALL = list(parameters(plainly(typer.main.get_command(build()))))


def told(kind: Any) -> str:
    """What its values depend on."""
    limits = ("min", "max", "clamp", "exists", "file_okay", "dir_okay", "readable", "writable", "parser")
    return repr((kind.annotation, *(getattr(kind.parameter_info, name) for name in limits)))


KINDS = {told(each.type_descriptor): each for each in ALL if each.type_descriptor.annotation is not bool}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_the_one_that_the_library_makes(kind: str) -> None:
    """Or it is left to the library; what that refuses is never given."""
    parameter = KINDS[kind]
    asked = parameter.type_descriptor
    theirs = type(parameter).get_runtime_param(parameter)
    context = typer.Context(typer.core.TyperCommand("any"))
    is_list = parameter.multiple or parameter.nargs == -1
    for text in TEXTS:
        given = [text] if is_list else text
        try:
            ours = plain_value(asked.annotation, asked.parameter_info, given)
        except NotPlainError:
            continue
        try:
            expected = theirs.coerce(given, param=parameter, ctx=context)
        except TyperException as error:
            pytest.fail(f"{parameter.name} took {text!r}: {error.format_message()}")
        assert (ours, type(ours)) == (expected, type(expected)), (parameter.name, text)


def test_no_default_needs_the_library() -> None:
    for each in ALL:
        kind = each.type_descriptor
        default = each.default() if callable(each.default) else each.default
        if default is not None and kind.annotation is not bool:
            plain_value(kind.annotation, kind.parameter_info, default)


@pytest.mark.parametrize(
    "words",
    ["recent -n 5 -o json", "show 1", "hot --pid 3", "events --type note -o x.csv", "config get rules", "storage verify", "metrics serve --help", "--help"],
)  # fmt: skip
def test_an_answer_waits_for_no_checker(words: str, tmp_path: Path) -> None:
    """It took 60 of 300 ms."""
    code = (
        "import sys\nfrom monitord.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    print('pydantic' in sys.modules, file=sys.stderr)"
    )
    call = [*words.split(), "--data-dir", str(tmp_path)]
    ended = subprocess.run([sys.executable, "-c", code, *call], capture_output=True, text=True, cwd=tmp_path)
    assert ended.stderr.splitlines()[-1] == "False", ended.stderr


def test_a_library_that_asks_otherwise_converts_by_itself(tmp_path: Path) -> None:
    """What is hooked into is not part of Typer's interface: without it every word has the value that it has now."""
    code = (
        "import sys\nfrom monitord.cli import main, usage, values\n"
        "asked = values.convert_plainly\n"
        "class Older:\n"
        "    def __init__(self, parameter): self.__dict__['of'] = parameter\n"
        "    def __getattr__(self, name):\n"
        "        if name == 'get_runtime_param': raise AttributeError(name)\n"
        "        return getattr(self.of, name)\n"
        "    def __setattr__(self, name, value): raise AssertionError(f'{name} is set')\n"
        "usage.convert_plainly = lambda parameter: asked(Older(parameter))\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n    print(ended.code, 'pydantic' in sys.modules, file=sys.stderr)"
    )
    for words in ("recent -n 5 -o json", "recent -n no", "hot --pid 3", "config get sampling -o json"):
        call = [*words.split(), "--data-dir", str(tmp_path)]
        plain = subprocess.run([sys.executable, "-m", "monitord", *call], capture_output=True, text=True)
        other = subprocess.run([sys.executable, "-c", code, *call], capture_output=True, text=True)
        *said, last = other.stderr.splitlines()
        assert (other.stdout, said) == (plain.stdout, plain.stderr.splitlines())
        assert last == f"{plain.returncode} True"  # it was the library that converted


class _Word(StrEnum):
    ONE = "one"


def test_a_letter_case_that_does_not_matter_is_the_librarys_to_know() -> None:
    """None of our options has that; one that comes is not misread."""
    info = typer.models.OptionInfo(case_sensitive=False)
    with pytest.raises(NotPlainError):
        plain_value(_Word, info, "one")
    assert plain_value(_Word, info, _Word.ONE) is _Word.ONE
