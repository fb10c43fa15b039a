"""How much leaks and how much is hidden in vain, over command lines after the manuals of some 200 tools."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from monitord.redaction import Redactor, SecondScan, redact_argv, redact_text
from monitord.redaction.tools import TOOLS
from tests.redaction import places
from tests.redaction.command_lines import innocent, with_secret

SEEDS = range(5)


def test_at_most_1_percent_of_command_lines_leak() -> None:
    lines = [each for seed in SEEDS for each in with_secret(seed)]
    leaks = [
        line
        for line, planted, argv in lines
        if any(secret in word for word in redact_argv(argv) for secret in planted)
    ]
    print(f"{len(leaks)} of {len(lines)} command lines leak")
    assert len(leaks) <= 0.01 * len(lines), sorted(set(leaks))


def test_at_most_1_percent_leak_when_a_shell_runs_them() -> None:
    """The same lines as one argument of `sh -c`, and inside a quoted text."""
    import shlex

    lines = [each for seed in SEEDS for each in with_secret(seed)]
    leaks = [
        line
        for line, planted, argv in lines
        if any(secret in word for word in redact_argv(["sh", "-c", shlex.join(argv)]) for secret in planted)
    ]
    print(f"{len(leaks)} of {len(lines)} command lines in a shell leak")
    assert len(leaks) <= 0.01 * len(lines), sorted(set(leaks))


def test_at_most_2_percent_of_innocent_lines_change() -> None:
    lines = [argv for seed in SEEDS for argv in innocent(seed)]
    changed = [argv for argv in lines if redact_argv(argv) != tuple(argv)]
    print(f"{len(changed)} of {len(lines)} innocent command lines change")
    assert len(changed) <= 0.02 * len(lines), changed


def test_at_most_2_percent_of_innocent_lines_change_as_text() -> None:
    lines = [" ".join(argv) for argv in innocent(0)]
    changed = [line for line in lines if redact_text(line) != line]
    print(f"{len(changed)} of {len(lines)} innocent texts change")
    assert len(changed) <= 0.02 * len(lines), changed


def test_the_second_scan_leaves_innocent_lines_alone() -> None:
    lines = innocent(0)
    changed = [argv for argv in lines if SecondScan().words(argv) != argv]
    print(f"the second scan changes {len(changed)} of {len(lines)} innocent command lines")
    assert len(changed) <= 0.02 * len(lines), changed


def test_the_second_scan_alone_finds_what_is_long_or_issued() -> None:
    lines = [each for each in with_secret(0) if "%T" in each[0]]
    left = [
        line
        for line, planted, argv in lines
        if any(p in w for w in SecondScan().words(argv) for p in planted)
    ]
    print(f"the second scan alone leaves {len(left)} of {len(lines)}")
    assert len(left) <= 0.1 * len(lines), left


def test_an_export_hides_no_innocent_line_either() -> None:
    """Hosts and addresses get their stand-ins; no word is hidden."""
    redactor = Redactor(key=b"k" * 32)
    lines = innocent(0)
    hidden = [argv for argv in lines if "***HIDDEN***" in " ".join(redactor.words(argv))]
    print(f"an export hides something in {len(hidden)} of {len(lines)} innocent command lines")
    assert len(hidden) <= 0.02 * len(lines), hidden


@pytest.mark.parametrize("kind", places.PLACES)
def test_at_most_1_percent_leak_from_tools_that_nobody_knows(kind: str) -> None:
    """Every place of the kind, with a secret of every look, as it stands and as the argument of a shell."""
    tried, leaks = 0, []
    for line in places.lines(places.PLACES[kind]):
        for look, secret in places.secrets(seed=7).items():
            argv = places.planted(line, look, secret)
            if argv is None:
                continue
            for words in (argv, ["sh", "-c", shlex.join(argv)]):
                tried += 1
                shown = " ".join(redact_argv(words))
                if any(part in shown for part in secret.split(" ") if len(part) > 3):
                    leaks.append((line, look, shown))
    print(f"{len(leaks)} of {tried} command lines of tools that nobody knows leak, {kind}")
    assert len(leaks) <= 0.01 * tried, leaks


def test_what_a_machine_made_is_hidden_wherever_a_tool_that_nobody_knows_takes_it() -> None:
    for line in places.lines(places.MACHINE_MADE):
        for look in ("hex", "uuid"):
            secret = places.secrets(seed=7)[look]
            argv = places.planted(line, look, secret)
            assert argv is not None
            assert secret not in " ".join(redact_argv(argv)), line


def _of_the_tables(secret: str) -> Iterator[list[str]]:
    """Each option and each form of the tables with this secret in its place."""
    spelt = {"secret": "{o} {s}", "attached": "{o}{s}", "login": "{o} fred:{s}"}
    words = {"S": secret, "S$": secret, "*": "x1", "K": f"name={secret}", "P": "//h/s"}
    for name, tool in TOOLS.items():
        for verb, options in [("", tool.options), *tool.with_verb.items()]:
            for option, manner in options.items():
                if manner in spelt:
                    yield [name, *verb.split(), *spelt[manner].format(o=option, s=secret).split(), "x1"]
        for form in tool.forms:
            yield [name, *(words.get(word, word.replace(".*", ".x1")) for word in form)]


@pytest.mark.parametrize("secret", ["dragon", "Sunshine2024", "19283746", "bhqzkxwvpl"])
def test_every_option_and_form_of_the_tables_hides_what_stands_in_its_place(secret: str) -> None:
    left = [argv for argv in _of_the_tables(secret) if any(secret in word for word in redact_argv(argv))]
    assert not left


@pytest.mark.parametrize("line", places.lines(places.INNOCENT))
def test_what_stands_in_such_a_place_and_is_no_secret_is_kept(line: str) -> None:
    words = shlex.split(line)
    assert redact_argv(words) == tuple(words)
