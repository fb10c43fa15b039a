"""Names for statements and fingerprints for functions that hold while lines move and comments change.

A statement is named by its way from the function's body down to it; each step says what kind of statement
it is and, without the bodies inside, what it says. Editing a statement or a loop around it gives it a new
name; everything else leaves it. Names and fingerprints hold within one version of Python's grammar.
"""

from __future__ import annotations

import ast
import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from monitord.profiles.locations import folded_name, func_id_of, short_hash
from monitord.profiles.source_scopes import AST_VERSION, Scope, SourceError, scopes_of
from monitord.redaction import source_line

_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_CACHED_SOURCES = 64


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What a source text says of one function. `line` is the asked-for line without its literals."""

    func_id: str | None
    stmt_id: str | None
    func_hash: str
    arity: int | None
    line: str | None
    ast_version: str = AST_VERSION


class Source:
    """A parsed source text; raises SourceError when it can't be parsed."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text
        self._line_count = text.count("\n") + 1
        self._scopes = scopes_of(text)
        self._hashes: dict[str, str] = {}

    def find(self, function: str, line: int | None) -> Scope | None:
        """Return the innermost scope of this name around the line; without a line, the only one of this name.

        Before Python 3.11 tools know only the last part of a name. None: this is not the text that ran.
        """
        name = folded_name(function)
        is_bare = name.startswith("<") and name not in ("<module>", "<lambda>")  # a comprehension of 3.10
        named = [
            scope
            for scope in self._scopes
            if is_bare or name == scope.name or ("." not in name and scope.name.endswith(f".{name}"))
        ]
        if line is not None:
            named = [scope for scope in named if scope.first_line <= line <= scope.last_line]
            return named[-1] if named and line <= self._line_count else None
        return named[0] if len(named) == 1 else None

    def facts(self, function: str, line: int | None) -> CodeFacts | None:
        """Return the facts of a function and of the statement on `line`; None: not the text that ran."""
        scope = self.find(function, line)
        if scope is None:
            return None
        return CodeFacts(
            func_id=func_id_of(scope.key, self.file, None, "python"),
            stmt_id=None if line is None else self.stmt_id(scope, line),
            func_hash=self._hash(scope),
            arity=scope.arity,
            line=None if line is None else source_line(self._text, line),
        )

    def stmt_id(self, scope: Scope, line: int) -> str | None:
        """Name the innermost statement of a scope that covers `line`; None when none does."""
        path = list(_steps(scope.node, line))
        func_id = func_id_of(scope.key, self.file, None, "python")
        return short_hash(func_id, *path) if path and func_id else None

    def _hash(self, scope: Scope) -> str:
        known = self._hashes.get(scope.key)
        if known is None:
            known = self._hashes[scope.key] = short_hash(_normalised(scope.node))
        return known


@dataclass(slots=True)
class SourceCache:
    """Parsed texts by path, modification time, size and content: parsing costs 20 ms a file."""

    _known: OrderedDict[tuple[str, int, int, bytes], Source | SourceError] = field(
        default_factory=OrderedDict
    )

    def get(self, file: str, text: str, modified_ns: int) -> Source:
        """The parsed text, parsed at most once while it is remembered; raises SourceError."""
        raw = text.encode("utf-8", "surrogatepass")
        key = (file, modified_ns, len(raw), sha256(raw).digest())
        if key not in self._known:
            try:
                self._known[key] = Source(file, text)
            except SourceError as error:
                self._known[key] = error
            while len(self._known) > _CACHED_SOURCES:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        found = self._known[key]
        if isinstance(found, SourceError):
            raise found
        return found


def _steps(node: ast.AST, line: int) -> Iterator[str]:
    """The way down from a scope to the innermost statement on `line`: `field:head:occurrence` each."""
    inside: ast.AST | None = node
    while inside is not None:
        step, inside = _step_into(inside, line)
        if step:
            yield step


def _step_into(node: ast.AST, line: int) -> tuple[str, ast.AST | None]:
    for name in _BODIES:
        children = getattr(node, name, None)
        if not isinstance(children, list):
            continue  # a lambda's body is an expression
        for index, child in enumerate(children):
            if _covers(child, line):
                head = _head(child)
                earlier = sum(_head(sibling) == head for sibling in children[:index])
                is_scope = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                return f"{name}:{short_hash(head)}:{earlier}", None if is_scope else child
    return "", None


def _covers(node: ast.AST, line: int) -> bool:
    if isinstance(node, ast.match_case):
        first, last = node.pattern.lineno, max(child.end_lineno or 0 for child in node.body)
    else:
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0) or 0
    decorated = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
    return bool(min([first, *decorated]) <= line <= last)


def _head(node: ast.AST) -> str:
    """What a statement says without the statements inside it."""
    bare = copy.copy(node)
    for name in _BODIES:
        if isinstance(getattr(bare, name, None), list):
            setattr(bare, name, [])
    return _dumped(bare)


def _normalised(node: ast.AST) -> str:
    """A scope's code without its name, its docstring and its layout.

    A module or class is what runs in it: the functions and classes defined there are code of their own.
    """
    bare = copy.copy(node)
    if isinstance(bare, (ast.FunctionDef, ast.AsyncFunctionDef)):
        bare.name = ""
        bare.body = _without_docstring(bare.body)
    elif isinstance(bare, (ast.Module, ast.ClassDef)):
        own = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        bare.body = [child for child in _without_docstring(bare.body) if not isinstance(child, own)]
    return _dumped(bare)


def _dumped(node: ast.AST) -> str:
    try:
        return ast.dump(node, include_attributes=False)
    except RecursionError as error:
        raise SourceError("an expression in it is nested too deeply") from error


def _without_docstring(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return list(body[1:] if is_text else body)
