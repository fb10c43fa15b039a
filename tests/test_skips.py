"""Every skip says what is missing and how to get it; in CI each is a failure, however it is written."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run import TESTS

ROOT = TESTS.parent
OF_TESTS = """
import unittest
import pytest

def test_by_call(): pytest.skip("no tool")
@pytest.mark.skip
def test_by_mark(): pass
@pytest.mark.skipif(True, reason="no tool")
def test_by_condition(): pass
@pytest.mark.parametrize("of", [pytest.param(1, marks=pytest.mark.skip)])
def test_by_parameter(of): pass
@pytest.mark.parametrize("of", [])
def test_without_parameters(of): pass
def test_by_import(): pytest.importorskip("no_such_module")
@pytest.fixture
def tool(): pytest.skip("no tool")
def test_by_fixture(tool): pass
@pytest.fixture
def late():
    yield
    pytest.skip("no tool any more")
def test_by_a_fixture_at_its_end(late): pass
class TestOld(unittest.TestCase):
    def test_by_unittest(self): self.skipTest("no tool")
"""
OF_MODULES = {
    "importing": 'import pytest\npytest.importorskip("no_such_module")\n',
    "calling": 'import pytest\npytest.skip("no tool", allow_module_level=True)\n',
    "raising": 'import unittest\nraise unittest.SkipTest("no tool")\n',
}
KINDS = OF_TESTS.count("\ndef test") + OF_TESTS.count("    def test") + len(OF_MODULES)


@pytest.mark.parametrize("is_ci", [False, True])
def test_in_ci_every_kind_of_skip_is_a_failure(is_ci: bool, tmp_path: Path) -> None:
    """Also one of a whole module, of which no test is ever reported."""
    for name, code in {"of_tests": OF_TESTS, **OF_MODULES}.items():
        (tmp_path / f"test_{name}.py").write_text(code)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml",
         f"--rootdir={tmp_path}", f"--basetemp={tmp_path}/t", "--continue-on-collection-errors", tmp_path],
        cwd=ROOT, env=environment | ({"CI": "true"} if is_ci else {}), capture_output=True, text=True,
    )  # fmt: skip
    told = {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    skipped, failed = told.get("skipped", 0), told.get("failed", 0) + told.get("errors", 0)
    assert (skipped, failed) == ((0, KINDS) if is_ci else (KINDS, 0)), done.stdout
    assert (done.returncode == 0) != is_ci


_SKIPS = ("pytest.skip", "mark.skipif", "mark.skip", "importorskip")
WHAT_TO_DO = re.compile(
    r"install|sudo|run |needs |only |Linux|macOS|/proc|\{error\}|make |give ", re.IGNORECASE
)


def reasons_in(path: Path) -> list[tuple[int, str]]:
    """What each skip of a file says, with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_SKIPS):
            if any("sys.platform" in ast.unparse(one) for one in node.args):
                continue  # the condition says which system it takes
            said = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "reason")][-1:]
            if not said or not isinstance(said[0], ast.Name | ast.Subscript):  # else it was said elsewhere
                found.append((node.lineno, ast.unparse(said[0]) if said else ""))
    return found


def test_every_skip_says_what_is_missing_and_how_to_get_it() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{line}: {reason}"
        for path in sorted(TESTS.rglob("*.py"))
        for line, reason in reasons_in(path)
        if not WHAT_TO_DO.search(reason)
    ]
    assert silent == []
