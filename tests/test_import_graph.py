"""No module needs itself: nothing that it imports, however late, imports it in turn."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "monitord").rglob("*.py")
}


def imported(name: str, text: str) -> set[str]:
    """The modules of ours that a module imports: at its top, in a function, or for its types only."""
    found = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            members = (f"{node.module}.{alias.name}" for alias in node.names)
            found.update(member if member in MODULES else node.module for member in members)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found & MODULES.keys() - {name}


def test_no_module_imports_itself_by_others() -> None:
    """In a cycle no file can be read before the other."""
    try:
        TopologicalSorter(
            {name: imported(name, path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
        ).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
