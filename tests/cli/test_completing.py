"""Shells complete ids, rules, plans, processes and keys: tried in the shells themselves, with hostile names."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from monitord.actions import suggestions
from monitord.cli.app import build
from monitord.cli.commands import COMMANDS
from monitord.cli.completing import source_of
from monitord.cli.usage import plainly
from monitord.storage.ids import short_id
from tests import preloaded
from tests.patience import PATIENCE_S
from tests.planting import HOSTILE

EVIL = (
    "$(touch {0})",
    "\\$(touch {0})",
    "`touch {0}`",
    "a'b\"c;touch {0}",
    "x)) ; touch {0} ((",
    "e\nvil;touch {0}",
)
BASH = """
source <(monitord completion bash)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_monitord_completion monitord
printf '%s\\n' "${COMPREPLY[@]}"
"""
# What zsh's own _arguments does with what it is given: both are evaluated once more.
ZSH = """
compdef() { : }
_files() { : }
_arguments() { local action=${1##*: :}; [[ $action == '(('* ]] && eval "answers=( ${action[3,-3]} )" && print -rl -- $answers }
source <(monitord completion zsh)
words=("$@"); CURRENT=$#
_monitord_completion
"""
FISH = """
monitord completion fish | source
complete -C "$argv"
"""


@pytest.fixture
def shell(
    environment: dict[str, str], tmp_path: Path, require_tool: Callable[[str], str]
) -> Callable[..., list[str]]:
    """Complete the last word of a command line in a real shell; what it offers."""
    program = tmp_path / "bin/monitord"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(preloaded.command("cli"))} "$@"\n')
    program.chmod(0o755)
    environment = environment | {"PATH": f"{program.parent}{os.pathsep}{environment['PATH']}"}

    def complete(name: str, *words: str) -> list[str]:
        calls = {
            "bash": ["bash", "--norc", "-c", BASH, "bash", *words],
            "zsh": ["zsh", "-f", "-c", ZSH, "zsh", *words],
            "fish": ["fish", "--no-config", "-c", FISH, "--", " ".join(words)],
        }
        require_tool(name)
        done = subprocess.run(
            calls[name], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.stderr == ""
        return [re.split(r"[\t:]", line)[0] for line in done.stdout.splitlines() if line]

    return complete


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_offer_what_there_is(name, shell, incident, here) -> None:
    """Incidents by the names that tables show, rules, plans, keys, and the commands behind `help`."""
    assert here("plan", "set", "mine", "--match-name", "x", "--duration", "5s").code == 0
    assert shell(name, "monitord", "show", "") == [short_id(incident.correlation_id)]
    assert shell(name, "monitord", "explain", "--rule", "memory-l") == ["memory-leak"]
    assert shell(name, "monitord", "help", "storage", "reb") == ["rebuild"]
    if name != "bash":
        return
    assert shell(name, "monitord", "plan", "get", "") == ["mine"]
    assert shell(name, "monitord", "config", "set", "log.") == ["log.level", "log.style"]
    assert shell(name, "monitord", "config", "get", "rules.hang.cooldown") == ["rules.hang.cooldown_s"]
    assert str(os.getpid()) in shell(name, "monitord", "capture", str(os.getpid()))
    assert shell(name, "monitord", "rec") == ["recent"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_what_a_process_is_called_is_not_run(name, shell, store, new_incident, tmp_path) -> None:
    """Neither by the shell that is given it nor by the one who then types Enter."""
    victim = tmp_path / "victim"
    for text in ("good", *EVIL):
        store.save_incident(new_incident(name=text.format(victim), user=text.format(victim)))
    assert len(shell(name, "monitord", "show", "")) == len(EVIL) + 1
    assert shell(name, "monitord", "recent", "--user", "") == ["good"]
    assert not victim.exists()


def test_every_value_and_description_is_harmless(cli, store, new_incident) -> None:
    for text in HOSTILE.values():
        store.save_incident(new_incident(name=text[:100], user=text[:100] or None))
    for words in ("monitord show ", "monitord recent --user ", "monitord recent --process "):
        answer = cli(
            _MONITORD_COMPLETE="complete_fish",
            _TYPER_COMPLETE_FISH_ACTION="get-args",
            _TYPER_COMPLETE_ARGS=words,
        )
        assert (answer.code, answer.err) == (0, "")
        for line in answer.out.splitlines():
            assert re.fullmatch(r"[A-Za-z0-9@%+,./_-]+(\t[A-Za-z0-9 ,./_?-]*)?", line, re.ASCII), line


@pytest.mark.parametrize("kind", ["no store", "damaged", "bad configuration"])
def test_a_shell_is_told_nothing_where_there_is_nothing(kind, cli, data_dir, tmp_path) -> None:
    """No message lands in the line that somebody types, and the exit code says that all is well."""
    config = tmp_path / "config.toml"
    if kind == "damaged":
        data_dir.mkdir(mode=0o700)
        (data_dir / "monitord.db").write_bytes(b"no database" * 999)
    if kind == "bad configuration":
        config.write_text("[sampling]\ninterval_s = -1\n")
    for words in (
        "show ",
        "explain --rule ",
        "plan get ",
        "config get ",
        "storage cat ",
        "events --incident ",
    ):
        line = f"monitord --config {config} {words}" if config.exists() else f"monitord {words}"
        answer = cli(_MONITORD_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split())))
        assert (answer.code, answer.err) == (0, ""), words
        assert words in ("explain --rule ", "config get ") or answer.out.strip() == "", words


def parameters() -> Iterator[tuple[str, Any]]:
    root = plainly(typer.main.get_command(build()))
    for path, _where, _summary in COMMANDS:
        command: Any = root
        for word in path.split():
            command = command.commands[word]
        yield from ((path, parameter) for parameter in command.params)


def test_every_parameter_that_names_something_kept_is_completed() -> None:
    """Whatever command has it: an incident's ID, a rule, a PID, a process, a plan, a key."""
    found = {
        (path, each.opts[-1]): source_of(each, path) for path, each in parameters() if source_of(each, path)
    }
    for path, each in parameters():
        name = each.opts[-1]
        is_argument = each.param_type_name == "argument"
        if is_argument and (each.metavar or "").strip("[].") == "ID":
            assert found.get((path, name)) is suggestions.incidents, (path, name)
        if name in ("--rule", "--pid", "--process", "--incident", "--cause", "--user"):
            assert (path, name) in found, (path, name)
    assert {path for path, _name in found} >= {
        "show",
        "plan get",
        "config set",
        "storage cat",
        "capture",
        "recent",
    }


def test_only_the_commands_that_were_typed_are_loaded(cli, store) -> None:
    """Completion starts at every key: what is not asked for is not imported."""
    code = (
        "import sys\nfrom monitord.cli import main\n"
        "try: main([])\nexcept SystemExit: pass\n"
        "print('monitord.cli.artefacts' in sys.modules, 'monitord.cli.show' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        env={**os.environ, "_MONITORD_COMPLETE": "complete_bash", "COMP_WORDS": "monitord show ", "COMP_CWORD": "2"},
    )  # fmt: skip
    assert done.stderr.split() == ["False", "True"]
