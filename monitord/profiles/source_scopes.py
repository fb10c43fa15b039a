"""The functions and classes of one source text, with the names CPython gives them; the text is never run."""

from __future__ import annotations

import ast
import sys
import warnings
from collections import Counter
from dataclasses import dataclass

MAX_SOURCE_CHARACTERS = 2_000_000
AST_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
ScopeNode = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class SourceError(ValueError):
    """This interpreter's grammar can't parse the text, or it is longer than is read."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A module, class, function or lambda. `first_line` is its first decorator's.

    `key` is `name` (qualified) with `#1`, `#2`… for further definitions of the same name.
    """

    name: str
    key: str
    first_line: int
    last_line: int
    node: ScopeNode

    @property
    def arity(self) -> int | None:
        """How many parameters a function has, `*args` and `**kwargs` included; None for other scopes."""
        if not isinstance(self.node, _FUNCTIONS):
            return None
        given = self.node.args
        named = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
        return named + (given.vararg is not None) + (given.kwarg is not None)


def scopes_of(text: str) -> list[Scope]:
    """Return every scope of a source text, outer ones first; raises SourceError.

    Comprehensions are not scopes of their own: they belong to the one they stand in.
    """
    if len(text) > MAX_SOURCE_CHARACTERS:
        raise SourceError(f"more than the {MAX_SOURCE_CHARACTERS:,} characters that are read of a source")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the text's escapes; they are its author's business
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SourceError(f"not Python {AST_VERSION}: {error}") from error
    last = text.count("\n") + 1
    found = [Scope("<module>", "<module>", 1, last, tree)]
    names: Counter[str] = Counter()
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:  # no recursion: depth is the author's choice
        node, prefix = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
                waiting.append((child, prefix))
                continue
            name = prefix + getattr(child, "name", "<lambda>")
            inner = f"{name}." if isinstance(child, ast.ClassDef) else f"{name}.<locals>."
            found.append(Scope(name, "", _first_line(child), child.end_lineno or child.lineno, child))
            waiting.append((child, inner))
    return [_numbered(scope, names) for scope in sorted(found, key=_order)]


def _order(scope: Scope) -> tuple[int, int, int]:
    column = getattr(scope.node, "col_offset", -1)
    return scope.first_line, -scope.last_line, column


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([decorator.lineno for decorator in decorators] + [node.lineno])


def _numbered(scope: Scope, names: Counter[str]) -> Scope:
    earlier = names[scope.name]
    names[scope.name] += 1
    key = f"{scope.name}#{earlier}" if earlier else scope.name
    return Scope(scope.name, key, scope.first_line, scope.last_line, scope.node)
