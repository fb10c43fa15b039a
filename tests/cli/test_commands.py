"""Every command is explained, documented, and says in one line what was wrong with its words."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest
import typer

from monitord.cli.app import COMMANDS, build
from monitord.cli.commands import ALIASES
from monitord.errors import MonitordError

ROOT = Path(__file__).parents[2]
PATHS = [path for path, _, _ in COMMANDS]
ROOTED = [[], *({path.split()[0]: [path.split()[0]] for path in PATHS if " " in path}).values()]


@functools.cache
def application() -> object:
    return typer.main.get_command(build())


def command_of(path: str) -> object:
    command = application()
    for word in path.split():
        command = command.commands[word]  # type: ignore[attr-defined]  # a group of Typer's
    return command


@pytest.mark.parametrize("path", PATHS)
def test_every_command_has_help(path, here) -> None:
    answer = here(*path.split(), "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: monitord {path}")
    for option in ("--config", "--data-dir", "--color"):
        assert option in answer.out
    assert answer.err == ""


def test_the_list_of_commands_names_each_and_the_exit_codes(here) -> None:
    answer = here("--help")
    for path, _, summary in COMMANDS:
        word = path.split()[0]
        is_listed = re.search(rf"^  {word} ", answer.out, re.MULTILINE) is not None
        assert is_listed == (path not in ALIASES or " " in path), word
        assert " " in path or path in ALIASES or summary in answer.out, "a summary must fit its line"
    text = " ".join(answer.out.split())
    for code in (
        "0 ok",
        "1 failure",
        "3 not found",
        "4 not permitted",
        "5 the daemon",
        "6 configuration",
        "75 busy",
        "130",
    ):
        assert code in text


@pytest.mark.parametrize("path", PATHS)
def test_every_command_and_each_of_its_options_stands_in_the_manual(path) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"monitord {path}" in page
    section = page.split(f"### `{path}`", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    common = {"--config", "--data-dir", "--color", "--help"}
    options = {
        name for parameter in command_of(path).params for name in parameter.opts if name.startswith("--")
    }
    assert [name for name in sorted(options - common) if name not in section] == []


USAGE = [
    *([*path.split(), "--no-such-option"] for path in PATHS),
    ["no-such-command"],
    ["rules", "no-such-command"],
    ["show"],
    ["keep"],
    ["delete"],
    ["capture"],
    ["capture", "x"],
    ["capture", "0"],
    ["capture", "1", "--duration", "soon"],
    ["capture", "1", "--duration", "9h"],
    ["capture", "1", "--rate", "0"],
    ["capture", "1", "--profiler", "gdb"],
    ["recent", "-n", "0"],
    ["recent", "-n", "many"],
    ["recent", "-S", "soon"],
    ["recent", "-S", "now", "-U", "1h"],
    ["recent", "--metric", "vibes"],
    ["recent", "--pid", "0"],
    ["recent", "-o", "xml"],
    ["recent", "--json", "-o", "csv"],
    ["show", "1", "--json", "-o", "table"],
    ["compare", "1", "2", "--json", "-o", "table"],
    ["recent", "-f", "--json"],
    ["show", "1", "extra"],
    ["export", "1", "-o", "json", "--format", "csv"],
    ["export", "1", "-o", "table"],
    ["summary", "1", "-o", "html"],
    ["open", "1", "--page", "x"],
    ["capture", "1", "--again", "1"],
    ["capture", "--again", "1", "--within", "soon"],
    ["export", "--bundle", "-o", "-"],
    ["export", "1", "-o", "incident.xml"],
    ["export", "1", "-o", "incident.csv", "--format", "json"],
    ["export", "-o", "-", "--format", "xml"],
    ["export", "-S", "now", "-U", "1h", "-o", "-"],
    ["export", "1", "-S", "1h", "-o", "-"],
    ["explain", "--pid", "0"],
    ["rules", "test"],
    ["completion"],
    ["completion", "powershell"],
    ["service", "uninstall", "--purge"],
    ["--color", "sometimes", "recent"],
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_words_end_with_2_and_one_line(words, here) -> None:
    answer = here(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("monitord: ")
    assert "Value error" not in answer.err, "the words of a library"
    assert answer.err.count("\n") == 1


NOT_FOUND = [
    ["show", "1"],
    ["show", "abcdef"],
    ["export", "1", "-o", "-"],
    ["export", "-S", "1h", "-o", "-"],
    ["keep", "1"],
    ["delete", "1", "--yes"],
    ["db", "check"],
    ["db", "upgrade"],
    ["db", "vacuum"],
    ["retention", "run"],
    ["status"],
    ["capture", "4194305"],
    ["explain", "--pid", "4194305"],
    ["explain", "--rule", "no-such-rule"],
    ["rules", "test", "{rules}"],
]


@pytest.mark.parametrize("words", NOT_FOUND, ids=" ".join)
def test_what_is_not_there_ends_with_3_and_says_what_to_type(words, here, data_dir, tmp_path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nname = "a"\nmetric = "cpu"\nabove = 90\n')
    answer = here(*(word.format(rules=rules) for word in words))
    lines = answer.err.splitlines()
    assert answer.code == 3
    assert answer.out == ""
    assert [line for line in lines if not line.startswith(("monitord: ", "rebuilding"))] == []
    assert not data_dir.exists(), "asking makes nothing"


@pytest.mark.parametrize(
    "words", [["show", "999"], ["show", "zzzz"], ["show", "no such"], ["show", "1\n2"], ["keep", "9"]]
)
def test_an_unknown_id_ends_with_3(words, here, store, new_incident) -> None:
    store.save_incident(new_incident())
    answer = here(*words)
    assert (answer.code, answer.err.count("\n")) == (3, 1)


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("has_store", [True, False])
def test_events_of_an_unknown_incident_are_no_empty_list(form, has_store, here, request) -> None:
    """An empty list is for a store that is not there: a program would take it for an incident without events."""
    if has_store:
        request.getfixturevalue("incident")
    answer = here("events", "--incident", "wrong", "-o", form)
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)


def test_an_ambiguous_prefix_names_the_candidates(here, store, new_incident) -> None:
    """Five incidents can't begin with five different letters when there are only so many."""
    ids = [store.save_incident(new_incident())[0].correlation_id for _ in range(30)]
    first = next(name[0] for name in ids if sum(other[0] == name[0] for other in ids) > 1)
    answer = here("show", first)
    assert answer.code == 2
    name = next(name for name in ids if name.startswith(first))
    assert name[:8] in answer.err or "more" in answer.err


@pytest.mark.parametrize("words", [["run"], ["config", "show"], ["config", "validate"], ["rules", "list"], ["explain"],
                                   ["capture", "1"]], ids=" ".join)  # fmt: skip
def test_a_wrong_configuration_ends_with_6_and_the_line(words, here, tmp_path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[sampling]\ninterval_s = -1\n")
    answer = here("--config", str(file), *words)
    assert answer.code == 6
    assert f"{file}:2" in answer.err
    assert answer.err.count("\n") == 1


def test_options_stand_before_or_after_the_command(here, tmp_path) -> None:
    before = here("--data-dir", str(tmp_path / "a"), "recent", "--json")
    after = here("recent", "--json", "--data-dir", str(tmp_path / "a"))
    both = here("--data-dir", str(tmp_path / "b"), "recent", "--json", "--data-dir", str(tmp_path / "a"))
    assert before == after == both
    assert str(tmp_path / "a") in before.err


def test_a_directory_that_is_not_ours_alone_is_refused(here, store, new_incident, data_dir, tmp_path) -> None:
    store.save_incident(new_incident())
    link = tmp_path / "link"
    link.symlink_to(data_dir)
    assert here("recent", "--data-dir", str(link)).code == 4
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (open_to_all / "data").mkdir(mode=0o700)
    answer = here("recent", "--data-dir", str(open_to_all / "data"))
    assert (answer.code, f"{open_to_all} can be written by others" in answer.err) == (4, True)
    data_dir.chmod(0o770)
    answer = here("recent")
    assert (answer.code, answer.err.count("\n")) == (4, 1)
    assert "chmod 700" in answer.err


def test_a_bug_shows_its_trace(here, monkeypatch) -> None:
    """Anything that is not a MonitordError is ours to mend: it must not be dressed up as the user's."""
    from monitord.cli import app

    def broken(context: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app, "_function", lambda _where: broken)
    monkeypatch.setattr(app, "_command", app._command.__wrapped__)  # not one that an earlier call built
    with pytest.raises(ZeroDivisionError):
        app.main(["version"])


def test_config_init_writes_a_file_that_is_valid(here, tmp_path) -> None:
    file = tmp_path / "new" / "config.toml"
    assert here("config", "init", "--config", str(file)).out == f"{file}\n"
    assert here("config", "validate", str(file)).code == 0
    assert here("config", "init", "--config", str(file)).code == 6
    assert here("config", "init", "--config", str(file), "--force").code == 0
    assert here("config", "path", "--config", str(file)).out == f"{file}\n"


def test_config_show_says_where_values_come_from(here, tmp_path, monkeypatch) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[capture]\nrate_hz = 50\n")
    monkeypatch.setenv("MONITORD_CAPTURE__DURATION_S", "7")
    shown = json.loads(here("config", "show", "--origin", "--json", "--config", str(file)).out)
    assert shown["capture.rate_hz"] == {"value": 50, "origin": f"{file}:2"}
    assert shown["capture.duration_s"] == {"value": 7.0, "origin": "environment MONITORD_CAPTURE__DURATION_S"}
    assert shown["sampling.interval_s"]["origin"] == "default"
    assert f"{file}:2" in here("config", "show", "--origin", "--config", str(file)).out
    assert json.loads(here("config", "show", "--json", "--config", str(file)).out)["capture"]["rate_hz"] == 50


def test_the_schema_is_json(here) -> None:
    assert json.loads(here("config", "schema").out)["title"] == "monitord configuration"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_this_program(shell, here) -> None:
    answer = here("completion", shell)
    assert answer.code == 0
    assert "_MONITORD_COMPLETE" in answer.out


def test_completion_answers(cli) -> None:
    """What the bash script asks for when one types `monitord re<TAB>`."""
    answer = cli(_MONITORD_COMPLETE="complete_bash", COMP_WORDS="monitord re", COMP_CWORD="1")
    assert "recent" in answer.out.split()
    answer = cli(_MONITORD_COMPLETE="complete_bash", COMP_WORDS="monitord recent --me", COMP_CWORD="2")
    assert "--metric" in answer.out.split()


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_version(words, here) -> None:
    assert re.fullmatch(r"monitord \d+\.\d+\S*\n", here(*words).out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start"], "did you mean `monitord service start`?"),
        (["restart"], "did you mean `monitord service restart`?"),
        (["stauts"], "did you mean 'status'"),
        (["profile", "job.py", "--fast"], "put -- before the script's own options"),
        (["recent", "--limit", "0"], "invalid --limit: expected 1 or more"),
        (["capture", "abc"], "invalid PID: expected a whole number"),
        (["show"], "missing argument 'ID'; see `monitord show --help`"),
        (["hot", "--limmit", "3"], "unknown option --limmit; did you mean --limit?"),
        (["--no-pager", "recent"], "unknown option --no-pager; options of a command stand after its name"),
        (["recent", "--zz"], "unknown option --zz; see `monitord recent --help`"),
        (["hot", "--function"], "option '--function' requires an argument; see `monitord hot --help`"),
        (
            ["--color", "never", "db", "check", "--output"],
            "requires an argument; see `monitord db check --help`",
        ),
    ],
)
def test_a_mistyped_call_is_answered_with_what_was_meant(words, said, here) -> None:
    answer = here(*words)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert said in answer.err


@pytest.mark.parametrize("path", PATHS)
def test_help_speaks_no_programming_language(path, here) -> None:
    """No types, no ranges as formulas, no brackets in brackets."""
    text = here(*path.split(), "--help").out
    for word in (
        "range>",
        "<str>",
        "<int>",
        "<path>",
        "<float>",
        "list[",
        "<=x",
        "x>=",
        "[[",
        "The other end",
    ):
        assert word not in text.split("Options:")[-1] if word == "[[" else word not in text


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_choice_is_told_with_the_option_the_value_and_the_choices(path, here) -> None:
    """Of every option of every command that takes one of some words."""
    params = [param for param in command_of(path).params if param.type_descriptor.is_choice]
    for param in params:
        if param.param_type_name == "option":
            answer = here(*path.split(), param.opts[-1], "zz")
            said = f"invalid {param.opts[-1]} 'zz', expected one of '"
            assert (answer.code, said in answer.err, answer.err.count("\n")) == (2, True, 1), answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["config", "validate", "{}"],
        ["rules", "test", "{}"],
        ["--config", "{}", "rules", "list"],
        ["run", "--config", "{}"],
    ],
)
def test_a_missing_file_is_named_with_what_to_type(words, here, tmp_path) -> None:
    """A file that was named is not replaced by the advice to write the user's own."""
    missing = str(tmp_path / "no such.toml")
    answer = here(*(word.format(missing) for word in words))
    assert (answer.code, answer.err.count("\n")) == (6, 1)
    assert answer.err.startswith(f"monitord: cannot read {missing}: no such file; ")
    assert (f"`monitord config init --config '{missing}'`" in answer.err) == (words[0] != "rules")


@pytest.mark.parametrize("words", ROOTED)
def test_no_line_of_the_lists_of_commands_is_cut(words, here, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = here(*words, "--help").out.splitlines()
    assert [line for line in lines if line.endswith("...") and not line.startswith("Usage")] == []


def test_help_and_manual_tell_the_same_exit_codes(here) -> None:
    """They are those of the errors, and of being ended."""
    codes = {0, 2, 129, 130, 143, 141, *(each.exit_code for each in _errors(MonitordError))}
    manual = (ROOT / "docs/cli.md").read_text().split("## Exit codes")[1].split("Every failure")[0]
    told = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", manual, re.MULTILINE) for code in row.split(",")
    }
    shown = here("--help").out.split("Exit codes:")[1]
    assert told == codes
    assert {int(code) for code in re.findall(r"\b\d+\b", shown)} == codes - {141}


def _errors(kind: type[MonitordError]) -> set[type[MonitordError]]:
    return {kind}.union(*(_errors(each) for each in kind.__subclasses__()))
