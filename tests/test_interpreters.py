"""What an interpreter was told to run: over every interpreter and every form of its options, and by real ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.interpreters import GRAMMARS, Grammar, Started, family_of, is_python, started
from monitord.redaction.naming import display_name, kinship
from tests.patience import PATIENCE_S

INTERPRETERS = sorted(name for name, grammar in GRAMMARS.items() if not grammar.wraps)
WRAPPERS = sorted(name for name, grammar in GRAMMARS.items() if grammar.wraps)


def option_forms(grammar: Grammar) -> Iterator[list[str]]:
    """Every form of every option that is not what is run: with and without a value, joined and apart."""
    yield []
    for option in grammar.long | grammar.searches:
        yield [option, "value"]
        if option.startswith("--"):
            yield [f"{option}=value"]
    if grammar.is_single:
        yield ["-Dname=value"]
        return
    for letter in grammar.values:
        yield [f"-{letter}", "value"]
        yield [f"-{letter}value"]
    for letter in grammar.attached:
        yield [f"-{letter}value"]
    for letter in grammar.digits:
        yield [f"-{letter}7"]


def before_the_command(grammar: Grammar) -> list[str]:
    return [*sorted(grammar.starts)[:1], *["1"] * grammar.skips]


@pytest.mark.parametrize("name", INTERPRETERS)
def test_no_option_and_no_value_of_one_is_taken_for_the_script(name: str) -> None:
    """Any two options in a row, in every form, with and without the "--" that ends them."""
    grammar = GRAMMARS[name]
    forms = list(option_forms(grammar))
    for first in forms:
        for second in forms:
            for end in ([], ["--"]):
                found = started(name, [name, *first, *second, *end, "/srv/app/x.y", "--port", "80"])
                assert found is not None
                assert (found.kind, found.what) == (grammar.operand, "/srv/app/x.y"), (first, second, end)


@pytest.mark.parametrize("name", INTERPRETERS)
def test_what_an_option_says_is_run_is_found_behind_every_other_option(name: str) -> None:
    """-c, -m, -e, -jar, --eval …: with the value apart and, where options may, joined."""
    grammar = GRAMMARS[name]
    for option, kind in grammar.sources.items():
        forms = [[option, "what"]]
        if option.startswith("--"):
            forms.append([f"{option}=what"])
        for others in option_forms(grammar):
            for form in forms:
                found = started(name, [name, *others, *form, "more"])
                assert found is not None
                assert (found.kind, found.what, found.option) == (kind, "what", option), (others, form)


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_starts_another_program_is_read_through(name: str) -> None:
    """The program it starts, and what that one runs, behind every form of its own options."""
    grammar = GRAMMARS[name]
    for others in option_forms(grammar):
        words = [name, *others, *before_the_command(grammar), "/usr/bin/python3", "-W", "ignore", "app.py"]
        assert started(name, words) == Started("file", "app.py", through=("python3",)), words


@pytest.mark.parametrize(
    "executable", ["a", "pythonista", "sh2html", "", "Python3", "x" * 100_000, "-", "3.11"]
)
def test_other_programs_are_none(executable: str) -> None:
    """Nothing is guessed of a program that is not in the table."""
    assert started(executable, [executable, "x.py"]) is None


@pytest.mark.parametrize(
    ("executable", "family"),
    [
        ("python", "python"), ("python3", "python"), ("python3.13t", "python"), ("python3.11d", "python"),
        ("python3.12-dbg", "python"), ("python3.8-intel64", "python"), ("pypy3.10", "pypy"), ("nodejs", "nodejs"),
        ("node22", "node"), ("ruby3.2", "ruby"), ("perl5.36.0", "perl"), ("php8.2", "php"), ("lua5.4", "lua"),
        ("Rscript", "Rscript"), ("R", "R"), ("java", "java"), ("dash", "dash"),
    ],
)  # fmt: skip
def test_a_version_belongs_to_the_name_and_not_to_the_family(executable: str, family: str) -> None:
    """Free-threaded, debug and numbered builds are the same interpreter."""
    assert family_of(executable) == family
    assert is_python(executable) == (family in ("python", "pypy"))


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("python -W ignore app.py", "python app.py"),
        ("python3.13t -X importtime -u /srv/worker.py", "python3.13t worker.py"),
        ("python -Bum http.server 80", "python -m http.server"),
        ("python -mhttp.server", "python -m http.server"),
        ("python -c pass", "python"),
        ("python -", "python"),
        ("java -cp lib/* Main", "java Main"),
        ("java -cp lib/* com.example.billing.statements.Main", "java Main"),
        ("java -Xmx1g -jar /srv/app.jar --port 80", "java app.jar"),
        ("java -m shop/com.example.Main", "java -m shop/com.example.Main"),
        ("node --require ./tracing.js server.js", "node server.js"),
        ("MainThread --no-warnings server.js", "MainThread"),
        ("Rscript --vanilla model.R", "Rscript model.R"),
        ("R --no-echo --no-restore --file=model.R --args 3", "R model.R"),
        ("ruby -I lib bin/rails server", "ruby rails"),
        ("perl -I lib -lane print", "perl"),
        ("perl -d:NYTProf job.pl", "perl job.pl"),
        ("php -d memory_limit=1G artisan queue:work", "php artisan"),
        ("bash -euo pipefail deploy.sh", "bash deploy.sh"),
        ("bash -lc work", "bash"),
        ("deno run --allow-net --config deno.json main.ts", "deno main.ts"),
        ("bun run --cwd /srv start", "bun start"),
        ("dotnet exec --depsfile a.json App.dll", "dotnet App.dll"),
        ("uv run --with requests app.py", "uv app.py"),
        ("sudo -u web FOO=1 python -m app", "sudo python -m app"),
        ("timeout -k 5 60 nice -n 5 python x.py", "timeout nice python x.py"),
        ("uv pip install x", "uv"),
        ("env -", "env"),
    ],
)  # fmt: skip
def test_a_process_is_called_by_what_it_runs(words: str, shown: str) -> None:
    """As people would say it."""
    command_line = words.split()
    assert display_name(command_line[0], command_line) == shown


def test_node_is_called_node_whatever_its_thread_is_called() -> None:
    """New versions of Node call the process MainThread."""
    assert display_name("MainThread", ("/usr/bin/node", "server.js")) == "node server.js"
    assert display_name("MainThread", ("/srv/game", "level.dat")) == "MainThread"


def test_strangers_of_one_interpreter_are_no_kin() -> None:
    """Two mains with one class path, two scripts, two modules, two texts; options make no difference."""
    java = [("java", "-cp", "lib/*", main) for main in ("A", "B")]
    python = [
        ("python", *words) for words in (("a.py",), ("b.py",), ("-m", "a"), ("-c", "a"), ("-c", "b"), ())
    ]
    kin = {kinship(words[0], words) for words in [*java, *python]}
    assert len(kin) == len(java) + len(python)
    assert kinship("python", ("python", "-W", "ignore", "a.py", "1")) == kinship("python", ("python", "a.py"))


def test_an_endless_command_line_costs_no_more_than_its_beginning() -> None:
    """A hostile argv: a hundred thousand words, and a chain of wrappers."""
    assert started("python", ["python", *["-u"] * 100_000, "x.py"]) == Started()
    chain = started("sudo", ["sudo"] * 100_000)
    assert chain is not None
    assert len(chain.through) <= 200


REAL = {
    "python": (sys.executable, "import sys; print('here')", [
        ["-W", "ignore"], ["-Wignore"], ["-X", "dev"], ["-Xdev"], ["-uB"], ["-BW", "ignore"], ["-I"], ["-OO"],
        ["--check-hash-based-pycs", "never"], ["-s", "--"],
    ]),
    "perl": ("perl", "print 'here'", [
        ["-w"], ["-I", "lib"], ["-Ilib"], ["-MList::Util"], ["-0777"], ["-l012"], ["-T"], ["-C0"], ["-W", "--"],
    ]),
    "node": ("node", "console.log('here')", [
        ["-r", "fs"], ["--require", "fs"], ["--require=fs"], ["--title", "x"], ["--no-warnings"], ["-C", "x"],
        ["--conditions", "x"], ["--unhandled-rejections", "warn"], ["--stack-size=900"],
    ]),
    "bash": ("bash", "echo here", [
        ["-e"], ["-o", "pipefail"], ["-euo", "pipefail"], ["+e"], ["-O", "extglob"], ["--norc"], ["+o", "posix"],
        ["--rcfile", "/dev/null"], ["--"],
    ]),
    "ruby": ("ruby", "puts 'here'", [["-I", "lib"], ["-rset"], ["-W0"], ["--disable", "gems"], ["-w"]]),
    "php": ("php", "<?php echo 'here';", [["-d", "a=1"], ["-da=1"], ["-n"], ["-f"]]),
    "lua": ("lua", "print('here')", [["-W"], ["-l", "string"]]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_interpreters_read_these_options_the_same_way(name: str, tmp_path: Path) -> None:
    """Each runs the script in the word that the parser names: the script says so itself."""
    program, text, forms = REAL[name]
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    script = tmp_path / "script.txt"
    script.write_text(text)
    for form in forms:
        done = subprocess.run(
            [path, *form, str(script), "more"], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.stdout.strip() == "here", (form, done.stderr)
        assert started(name, [path, *form, str(script), "more"]) == Started(
            "file", str(script), found_option(form)
        )


def found_option(form: list[str]) -> str:
    return "-f" if form == ["-f"] else ""
