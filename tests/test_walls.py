"""Walls between the rooms that no import shows: who opens another process's files, and who writes SQL."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "monitord"
OF_A_PROCESS = re.compile(r"/proc/(\{|\d)")
# Run as scripts, isolated, so that they can import nothing of ours.
ISOLATED = {"capture/java_names.py", "supervision/supervisor.py"}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Each file of ours, parsed once for all tests."""
    return [
        (path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text that is no docstring, with `{}` where a value is put in."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said | inner:
            yield node.lineno, node.value


def spelled_paths(tree: ast.AST) -> list[int]:
    """Lines where a path of another process is put together; also `Path("/proc", pid)`."""
    lines = [line for line, text in texts(tree) if OF_A_PROCESS.search(text)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) > 1:
            first = node.args[0]
            if isinstance(first, ast.Constant) and first.value in ("/proc", "/proc/"):
                lines.append(node.lineno)
    return lines


def test_only_procfs_and_isolated_scripts_spell_the_path_of_a_process() -> None:
    """All others ask `procfs.path`, so that what /proc says is parsed once."""
    found = {
        name: lines
        for name, tree in sources()
        if not name.startswith("procfs/") and (lines := spelled_paths(tree))
    }
    assert found.keys() == ISOLATED, found


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ('open(f"/proc/{pid}/stat")', True),
        ('os.listdir(f"/proc/{pid}")', True),
        ('Path("/proc", str(pid))', True),
        ('Path(f"/proc/{pid}/root{name}").stat()', True),
        ('open("/proc/1/stat")', True),
        ('open("/proc/self/stat")', False),
        ('open(f"/proc/pressure/{name}")', False),
        ('"""As /proc/{pid}/stat has it."""', False),
    ],
)
def test_a_spelled_path_would_be_found(code: str, is_one: bool) -> None:
    assert bool(spelled_paths(ast.parse(code))) == is_one


def test_actions_open_the_store_in_one_place() -> None:
    """`Workspace.store` refuses to change the schema under a recorder that runs; nothing goes around it."""
    found = [
        name
        for name, tree in sources()
        if name.startswith(("actions/", "cli/", "mcp_server/", "scripts/"))
        and any(
            isinstance(node, ast.ImportFrom) and "open_store" in [one.name for one in node.names]
            for node in ast.walk(tree)
        )
    ]
    assert found == ["actions/workspace.py"]


SQL = re.compile(
    r"\bSELECT\s.*\sFROM\b|\bSELECT \w+\(|\bINSERT (?:OR \w+ )?INTO\b|\bUPDATE \S+ SET\b|\bDELETE FROM\b"
    r"|\bPRAGMA [\w{]|\bBEGIN IMMEDIATE\b|\b(?:CREATE|DROP|ALTER) (?:TABLE|INDEX)\b|\bVACUUM INTO\b",
    re.DOTALL | re.IGNORECASE,
)


OF_ANOTHER_ENGINE = ("storage/", "analytics/", "fleet/")  # the last two ask DuckDB and its like, over files


def statements(tree: ast.AST) -> list[int]:
    return [line for line, text in texts(tree) if SQL.search(text)]


def test_only_storage_writes_sql() -> None:
    """That nobody else imports a database is held by the import rules; this is about text."""
    found = {
        name: lines
        for name, tree in sources()
        if not name.startswith(OF_ANOTHER_ENGINE) and (lines := statements(tree))
    }
    assert found == {}


def test_the_artefacts_know_no_sql() -> None:
    """They lie in files and objects; only what keeps their rows has a database."""
    found = {name: lines for name, tree in sources() if "/artefacts/" in name and (lines := statements(tree))}
    assert found == {}


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ('connection.execute("SELECT a, b\\n FROM incident")', True),
        ('connection.execute(f"PRAGMA {words}")', True),
        ('connection.execute("select count(*) from x")', True),
        ('run("BEGIN IMMEDIATE")', True),
        ('say("an update sets it")', False),
        ('"""Runs VACUUM and PRAGMA optimize."""', False),
    ],
)
def test_a_statement_would_be_found(code: str, is_one: bool) -> None:
    assert bool(statements(ast.parse(code))) == is_one
