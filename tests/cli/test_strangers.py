"""What a stranger meets who types what is nearly right: the reason, what was expected, and the next step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer

from monitord.cli.app import COMMANDS, build
from monitord.cli.usage import plainly
from monitord.config.settings import FileSettings, RuleSettings

ROOT = Path(__file__).parents[2]
SECTIONS = {
    name: type(getattr(FileSettings(), name)) for name in FileSettings.__struct_fields__ if name != "rules"
}
CHOICES = [
    (f"[{name}]\n", key, get_args(kind))
    for name, section in SECTIONS.items()
    for key, kind in get_type_hints(section).items()
    if get_args(kind) and all(isinstance(word, str) for word in get_args(kind))
] + [
    (
        "[[rules]]\n" + ('name = "x"\nabove = 1\n' + ('metric = "cpu"\n' if key != "metric" else "")),
        key,
        get_args(kind),
    )
    for key, kind in get_type_hints(RuleSettings).items()
    if get_args(kind) and all(isinstance(word, str) for word in get_args(kind))
]


def options() -> list[tuple[str, object]]:
    """Every parameter of every command, as the command line shows it."""
    found, application = [], plainly(typer.main.get_command(build()))
    for path, _, _ in COMMANDS:
        command: object = application
        for word in path.split():
            command = command.commands[word]  # type: ignore[attr-defined]  # a group of Typer's
        found += [(path, each) for each in command.params]  # type: ignore[attr-defined]  # a command of Typer's
    return found


@pytest.mark.parametrize(
    ("head", "key", "words"), CHOICES, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_key_of_few_words_names_them_all(head, key, words, here, tmp_path) -> None:
    """Whatever section it stands in: 'invalid enum value' says nothing of what would do."""
    file = tmp_path / "monitord.toml"
    file.write_text(f'{head}{key} = "nearly"\n')
    answer = here("config", "validate", "--config", str(file))
    assert answer.code == 6
    assert f"{key}: expected one of {', '.join(words)}, got 'nearly'" in answer.err


def test_no_path_is_refused_before_the_command_looks() -> None:
    """Where it is opened the answer has its own words and exit code: 4 for what is not permitted."""
    assert [
        (path, each.name)
        for path, each in options()
        if each.type_descriptor.is_path and each.type_descriptor.parameter_info.readable
    ] == []  # type: ignore[attr-defined]


def test_no_choice_of_an_option_is_wider_than_a_screen() -> None:
    """A list without blanks is broken within its words; it stands in the help, which wraps."""
    wide = {
        (path, each.name)
        for path, each in options()
        if each.type_descriptor.is_choice
        and not each.metavar
        and sum(len(word) + 1 for word in each.type_descriptor.choices) > 41  # type: ignore[attr-defined]
    }
    assert wide == set()


@pytest.mark.parametrize("words", [("show",), ("plan", "set"), ()])
def test_help_may_be_typed_as_a_command(words, here) -> None:
    assert here("help", *words).out == here(*words, "--help").out


def test_no_hint_relies_on_what_sudo_finds() -> None:
    """What pipx or uv installed is not on root's PATH, and would be refused: `line_for_all` knows what works."""
    typed = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "monitord").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"sudo monitord service install", line)
    ]
    assert typed == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("profile", "show", "zz"), 3, "cannot find profile 'zz'; `monitord profile list` lists"),
        (("plan", "set", "x", "--duration", "1h"), 2, "invalid duration 3600: expected 0.5 to 300 s"),
        (("export", "-o", "/nowhere/x.json"), 1, "make its folder first"),
        (("--data-dir", "EMPTY", "storage", "ls"), 3, "cannot find artefacts in "),
        (("--config", "BROKEN", "status"), 3, "and nobody could: invalid BROKEN: not TOML: "),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(words, code, said, here, incident, tmp_path) -> None:
    (tmp_path / "empty").mkdir(mode=0o700)
    (tmp_path / "broken.toml").write_text("x = [")
    places = {"EMPTY": tmp_path / "empty", "BROKEN": tmp_path / "broken.toml"}
    answer = here(*(str(places.get(word, word)) for word in words))
    assert (answer.code, answer.err.count("\n")) == (code, 1)
    assert said.replace("BROKEN", str(places["BROKEN"])) in answer.err


def test_tidying_that_removed_no_incident_says_so(here, incident) -> None:
    answer = here("retention", "run")
    assert "no incident had to go" in answer.out


def test_an_event_of_a_capture_is_told_in_words(here, incident) -> None:
    out = here("events", "--type", "capture").out
    assert "profile by py-spy: ok" in out
    assert "profile by perf: permission denied (kernel.perf_event_paranoid is 4)" in out
    assert "profiler=" not in out
