"""What the papers name exists, and the tree holds nothing that belongs to one machine."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from monitord.cli.app import COMMANDS, build
from monitord.config import load

ROOT = Path(__file__).parents[1]
FOLDERS = (
    ".ci", ".github", "benchmarks", "docs", "examples", "launchd", "migrations", "monitord", "systemd", "tests",
)  # fmt: skip
PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
LONGEST_MODULE_LINES = 400
LONGEST_DECISION_LINES = 40

# Put together here, so that this file does not hold what it looks for.
OF_ONE_MACHINE = [
    "".join(parts)
    for parts in (
        ("/wo", "rk/"), ("/tmp/", "venv"), ("/ro", "ot/."), ("/opt/", "pypi"), ("/ho", "me/agent"),
        ("py", "pi.org"), ("python", "hosted.org"), ("index", "-url"), ("npm", "js.org"),
    )
]  # fmt: skip

# Each stands for a plain word: "whoever opens it" for "the reader", "is no key" for "is not a key".
DIALECT = [
    re.compile(pattern)
    for pattern in (
        r"\b[Ww]hoever\b", r"(?<!here )(?<!ere's )\b(?:is|are|was|were) no (?!longer\b|more than\b)",
        r"\bat the (?:least|most)\b", r"\blikewise\b", r"\bput aside\b", r"\b(?:[Oo]f|[Bb]y) whom\b",
        r"\b[Ww]ho (?:asks|has gone)\b", r"\b(?:that|what) (?:is|are) none\b", r"\bof its own accord\b",
        r"\bheeds?\b", r"\bnevertheless\b", r"\bfellows\b", r"\bkin\b", r"\bput down to\b", r"\bnone at the\b",
        r"\bno time that\b", r"\bwrong words\b", r"\bnothing had to\b", r"\bthan is good\b",
    )
]  # fmt: skip
SPOKEN = ("monitord", "migrations", "examples", "systemd", "launchd")

paper = pytest.mark.parametrize("page", PAPERS, ids=lambda page: page.relative_to(ROOT).as_posix())


def files() -> Iterator[Path]:
    """Every file that is part of the project, whatever else lies in the checkout."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def code_of(page: Path) -> tuple[list[str], list[str]]:
    """The texts in backticks, and the lines of the fenced blocks that somebody would type."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return spans, [re.sub(r"^\$ ", "", line) for line in lines]


def exists(name: str) -> bool:
    """From the top of the checkout, or from the package, as the decisions name modules."""
    return (ROOT / name).exists() or (ROOT / "monitord" / name).exists()


@paper
def test_files_that_are_named_exist(page: Path) -> None:
    """A name in backticks that begins like a path of ours, or ends like a module or a page, is one."""
    tops = {path.name for path in (ROOT, ROOT / "monitord") for path in path.iterdir()}
    missing = []
    for span in code_of(page)[0]:
        for word in span.split():
            if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", word):
                continue
            is_ours = "/" in word and word.split("/")[0] in tops
            is_alone = "/" not in word and word.endswith((".py", ".md"))
            if (is_ours and not exists(word)) or (is_alone and not any(f.name == word for f in files())):
                missing.append(word)
    assert missing == []


@paper
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@paper
def test_names_are_in_the_files_that_are_said_to_hold_them(page: Path) -> None:
    """Where a page says `NAME` in `file`, the file has it."""
    text = " ".join(page.read_text(encoding="utf-8").split())
    pairs = re.findall(r"`(\w+)` (?:or `\w+` )?(?:in|\() ?`([\w./-]+\.\w+)`", text)
    wrong = [(name, file) for name, file in pairs if name not in (ROOT / file).read_text(encoding="utf-8")]
    assert wrong == []


def misnamed(call: str) -> str | None:
    """The command that a text names and that the table of commands does not know."""
    commands = {"help", *(path for path, _, _ in COMMANDS)}
    groups = {path.split()[0] for path in commands if " " in path}
    found = re.match(r"(?:sudo )?(?:\.venv/bin/)?monitord ([a-z]+)(?: ([a-z][a-z-]*)\b)?", call)
    if found is None or found[1] in commands or (found[1] in groups and found[2] is None):
        return None
    both = f"{found[1]} {found[2]}"
    return None if both in commands else both


@paper
def test_commands_that_are_named_exist(page: Path) -> None:
    """Every `monitord …` that somebody could copy is a command; every `make …` is a target."""
    spans, lines = code_of(page)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = [found[1] for text in (*spans, *lines) if (found := re.match(r"make ([a-z]+)", text))]
    assert [name for text in (*spans, *lines) if (name := misnamed(text))] == []
    assert [target for target in made if target not in targets] == []


@paper
def test_options_that_are_shown_with_a_command_are_its_own(page: Path) -> None:
    spans, lines = code_of(page)
    strange = []
    for call in (*spans, *lines):
        found = re.match(r"(?:sudo )?monitord ([a-z]+)((?: [a-z]+)?)(.*)", call.split(" #")[0].split(";")[0])
        path = next((p for p, _, _ in COMMANDS if found and p in (found[1] + found[2], found[1])), None)
        if found and path:
            named = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", found[2] + found[3]))
            strange += [(path, option) for option in sorted(named - options_of(path))]
    assert strange == []


@functools.cache
def application() -> object:
    return typer.main.get_command(build())


@functools.cache
def options_of(path: str) -> set[str]:
    """With both dashes: long and short names of everything the command takes."""
    command: object = application()
    for word in path.split():
        command = command.commands[word]  # type: ignore[attr-defined]  # a group of Typer's
    params = command.params  # type: ignore[attr-defined]  # a command of Typer's
    return {"-h", "--help", *(name for param in params for name in param.opts)}


@paper
def test_configuration_that_is_shown_is_accepted(page: Path, tmp_path: Path) -> None:
    """Every block of TOML can be pasted into the configuration file."""
    for block in re.findall(
        r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        file = tmp_path / "config.toml"
        file.write_text(block, encoding="utf-8")
        assert load(file, env={}).sources == (file,)


def test_a_wrong_command_would_be_found() -> None:
    assert [misnamed(f"monitord {words}") for words in ("recent -n 5", "db", "db check", "--version")] == [
        None
    ] * 4
    assert misnamed("monitord recents") == "recents None"
    assert misnamed("sudo monitord db repair") == "db repair"


@pytest.mark.parametrize("folder", ["monitord", "migrations", "tests", "benchmarks", "examples"])
def test_a_long_module_says_at_its_top_why(folder: str) -> None:
    """Past 400 lines a module is divided, or its opening words say why it is not."""
    too_long = []
    for path in (ROOT / folder).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > LONGEST_MODULE_LINES:
            opening = ast.get_docstring(ast.parse(text)) or ""
            if f"{LONGEST_MODULE_LINES} lines" not in opening:
                too_long.append(path.relative_to(ROOT).as_posix())
    assert too_long == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No path of one machine, no address of a package registry: they would rot, and tell too much."""
    found = []
    for path in files():
        text = path.read_bytes().decode(errors="replace")
        found += [(path.relative_to(ROOT).as_posix(), word) for word in OF_ONE_MACHINE if word in text]
    assert found == []


def test_every_sentence_is_plain_english() -> None:
    """No page, message, docstring or comment speaks a dialect that an engineer has to read twice."""
    sources = [path for path in files() if path.relative_to(ROOT).parts[0] in SPOKEN]
    found = []
    for path in [*PAPERS, *(path for path in sources if path.suffix in (".py", ".toml", ".in", ".service"))]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            told = [word[0] for pattern in DIALECT if (word := pattern.search(line))]
            found += [f"{path.relative_to(ROOT).as_posix()}:{number}: {word}" for word in told]
    assert found == []


def test_decisions_are_short_and_numbered_once() -> None:
    """One page each: a title that is the decision, then the reasons."""
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert numbers == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        lines = page.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# "), page.name
        assert len(lines) <= LONGEST_DECISION_LINES, page.name
