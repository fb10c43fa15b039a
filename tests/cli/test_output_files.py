"""`-o` means the same everywhere: a format's name, or a file whose ending names it."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import pytest
import typer

from monitord.cli.app import COMMANDS, build
from monitord.cli.usage import plainly

LISTS = {"recent": ("recent",), "events": ("events",), "hot": ("hot",)}
ANSWERS = {
    **LISTS, "show": ("show", "1"), "explain": ("explain", "1"), "status": ("status",), "doctor": ("doctor",), "rules list": ("rules", "list"),
}  # fmt: skip


@pytest.mark.parametrize("words", ANSWERS.values(), ids=ANSWERS)
def test_a_file_holds_what_stdout_would(words: tuple[str, ...], incident, here, tmp_path: Path) -> None:
    """JSON for .json, private as every file of ours, whatever the exit code; stdout stays empty."""
    file = tmp_path / "answer.json"
    answer = here(*words, "-o", str(file))
    plain = here(*words, "-o", "json")
    assert (answer.code, answer.out) == (plain.code, "")
    assert f"wrote {file}" in answer.err
    assert type(json.loads(file.read_text())) is type(json.loads(plain.out))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("words", LISTS.values(), ids=LISTS)
def test_a_list_s_file_has_the_form_of_its_ending(
    words: tuple[str, ...], incident, here, tmp_path: Path
) -> None:
    for ending in ("csv", "jsonl", "txt", "JSON"):
        file = tmp_path / f"list.{ending}"
        assert here(*words, "-o", str(file)).code == 0
        assert file.stat().st_size
    assert list(csv.DictReader((tmp_path / "list.csv").open(newline="")))
    assert all(json.loads(line) for line in (tmp_path / "list.jsonl").read_text().splitlines())
    assert "\x1b" not in (tmp_path / "list.txt").read_text()


def test_what_has_no_such_form_is_refused(incident, here, tmp_path: Path) -> None:
    for words, name in (
        (("show", "1"), "x.csv"),
        (("recent",), "x.html"),
        (("recent",), "x"),
        (("summary", "1"), "x.json"),
    ):
        answer = here(*words, "-o", str(tmp_path / name))
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("x")] == []


@pytest.mark.parametrize("end", ["/", "//", "/.", "/..", "/none/", ""])
@pytest.mark.parametrize("words", [("export", "1"), ("recent",), ("show", "1"), ("hot",)])
def test_a_folder_is_no_file(words: tuple[str, ...], end: str, incident, here, tmp_path: Path) -> None:
    """A slash at the end means a folder: a file of that name would be found by nobody."""
    folder = tmp_path / "out"
    folder.mkdir()
    answer = here(*words, "-o", f"{folder}{end}" if end else "")
    assert (answer.code, answer.out) == (2, "")
    assert "expected" in answer.err
    assert list(folder.iterdir()) == []


def test_what_never_ends_is_no_file(incident, here, tmp_path: Path) -> None:
    answer = here("recent", "-f", "-o", str(tmp_path / "x.csv"))
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "-f" in answer.err


def test_a_comparison_and_a_summary_are_files_too(incident, here, tmp_path: Path) -> None:
    assert here("summary", "1", "-o", str(tmp_path / "it.md")).code == 0
    assert (tmp_path / "it.md").read_text().startswith("**")
    assert here("summary", "1", "-o", str(tmp_path / "it.txt")).code == 0


def test_a_file_that_can_not_be_written_is_one_line(incident, here, tmp_path: Path) -> None:
    answer = here("recent", "-o", str(tmp_path / "nowhere" / "x.json"))
    assert (answer.code, answer.out) == (1, "")
    assert "make its folder first" in answer.err


def test_every_command_s_output_is_of_the_one_kind() -> None:
    """Formats that it knows, with files beside them; or, where it makes files, a text that `chosen` reads."""
    application = plainly(typer.main.get_command(build()))
    texts = set()
    for path, _, _ in COMMANDS:
        command: object = application
        for word in path.split():
            command = command.commands[word]  # type: ignore[attr-defined]  # a group of Typer's
        for parameter in command.params:  # type: ignore[attr-defined]  # a command of Typer's
            if "-o" in parameter.opts and not parameter.type_descriptor.is_choice:
                texts.add(path)
    assert texts == {"export", "compare", "profile compare"}
