"""Ids name the same code before and after edits elsewhere, and other code after an edit of its own."""

from __future__ import annotations

import dis
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.model import Hotspot, Statement
from monitord.profiles.ast_ids import Source, SourceCache
from monitord.profiles.identifying import SourceText, identify
from monitord.profiles.locations import folded_name, func_id_of, module_of, place_of
from monitord.profiles.source_scopes import SourceError, scopes_of

FILE = "/srv/app/busy.py"
BEFORE = """\
import time

class Worker:
    @staticmethod
    def run(seconds, *more, key=None, **rest):
        end = time.time() + seconds
        while time.time() < end:
            total = 0
            for number in range(100):
                total += number * 3
                total += number * 3
            if total:
                alloc(total)
            else:
                total = 1
        return total

def alloc(size):
    return [number for number in range(size)]
"""
EVERYTHING_ELSE = '''\
#!/usr/bin/env python
# three lines
# more
"""A docstring."""
import time
import os

def added(one, two):
    return one + two

class Worker:
    """Documented now."""

    @staticmethod
    def run(seconds, *more, key=None, **rest):
        """Documented, too."""
        end   =  time.time() + (seconds)   # a comment
        while time.time() < end:

            total = 0
            os.getpid()
            for number in range(100):
                # in a loop
                total += number * 3
                total += number * 3
            if total:
                alloc(total)
            else:
                total = 1
        return total

def alloc(size):
    return [number for number in
            range(size)]
'''


def _line(text: str, part: str, occurrence: int = 0) -> int:
    found = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return found[occurrence]


def _stmt(text: str, function: str, part: str, occurrence: int = 0, file: str = FILE) -> str | None:
    facts = Source(file, text).facts(function, _line(text, part, occurrence))
    assert facts is not None
    return facts.stmt_id


PLACES = [
    ("Worker.run", "end ", 0),
    ("Worker.run", "while", 0),
    ("Worker.run", "total = 0", 0),
    ("Worker.run", "for number in range(100)", 0),
    ("Worker.run", "total += ", 0),
    ("Worker.run", "total += ", 1),
    ("Worker.run", "alloc(total)", 0),
    ("Worker.run", "total = 1", 0),
    ("Worker.run", "return total", 0),
    ("alloc", "return [number", 0),
]


@pytest.mark.parametrize(("function", "part", "occurrence"), PLACES)
def test_statements_keep_their_ids_while_everything_around_them_changes(
    function: str, part: str, occurrence: int
) -> None:
    before = _stmt(BEFORE, function, part, occurrence)
    assert before is not None
    assert before == _stmt(EVERYTHING_ELSE, function, part, occurrence)


def test_every_statement_has_an_id_of_its_own() -> None:
    ids = [_stmt(BEFORE, *place) for place in PLACES]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("total += number * 3", "total += number * 4", {4, 5}),
        ("range(100)", "range(200)", {3, 4, 5}),
        ("time.time() < end", "time.time() <= end", {1, 2, 3, 4, 5, 6, 7}),
        ("if total:", "if not total:", {6, 7}),
        ("end = time", "end = 1 + time", {0}),
    ],
)
def test_a_statement_gets_a_new_id_when_it_or_a_loop_around_it_is_edited(
    old: str, new: str, changed: set[int]
) -> None:
    """Numbers are those of PLACES; `while …` changes everything inside it."""
    text = BEFORE.replace(old, new)
    for number, (function, part, occurrence) in enumerate(PLACES[:-1]):
        line = _line(BEFORE, part, occurrence)  # every edit stays on its line
        before = Source(FILE, BEFORE).facts(function, line)
        after = Source(FILE, text).facts(function, line)
        assert before is not None
        assert after is not None
        assert (before.stmt_id != after.stmt_id) == (number in changed), part


def test_the_fingerprint_changes_with_code_and_with_nothing_else() -> None:
    def fingerprint(text: str, function: str, line: int | None = None) -> str:
        facts = Source(FILE, text).facts(function, line)
        assert facts is not None
        return facts.func_hash

    assert fingerprint(BEFORE, "alloc") == fingerprint(EVERYTHING_ELSE, "alloc")
    assert fingerprint(BEFORE, "Worker.run") != fingerprint(EVERYTHING_ELSE, "Worker.run"), "a new statement"
    commented = BEFORE.replace("total = 0", "total = 0  # zero\n").replace(
        "def alloc", "# new\n\n\ndef alloc"
    )
    assert fingerprint(BEFORE, "Worker.run") == fingerprint(commented, "Worker.run")
    assert fingerprint(BEFORE, "alloc") == fingerprint(BEFORE.replace("def alloc", "def renamed"), "renamed")
    grown = BEFORE + "\ndef another():\n    pass\n"
    assert fingerprint(BEFORE, "<module>", 1) == fingerprint(grown, "<module>", 1)


def test_arity_counts_every_parameter() -> None:
    facts = Source(FILE, BEFORE).facts("Worker.run", 6)
    assert facts is not None
    assert (facts.arity, facts.line) == (4, "end = time.time() + seconds")
    module = Source(FILE, BEFORE).facts("<module>", 1)
    assert module is not None
    assert module.arity is None


def test_two_checkouts_give_the_same_ids_and_two_files_do_not() -> None:
    here, there = Source("/srv/a/app/busy.py", BEFORE), Source("/home/b/src/app/busy.py", BEFORE)
    other = Source("/srv/a/app/lazy.py", BEFORE)
    assert here.facts("alloc", 19) == there.facts("alloc", 19)
    assert here.facts("alloc", 19).func_id != other.facts("alloc", 19).func_id  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("file", "place", "module"),
    [
        ("/opt/venv/lib/python3.11/site-packages/requests/adapters.py", "requests/adapters.py", "requests.adapters"),
        ("/usr/lib/python3/dist-packages/apt/__init__.py", "apt/__init__.py", "apt"),
        ("/usr/lib/python3.12/json/decoder.py", "json/decoder.py", "json.decoder"),
        ("/opt/python/3.13t/lib/python3.13t/threading.py", "threading.py", "threading"),
        ("/srv/app/busy.py", "app/busy.py", "busy"),
        ("busy.py", "busy.py", "busy"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>", "importlib._bootstrap"),
        ("<string>", None, None),
        ("/srv/app/manage", "app/manage", None),
    ],
)  # fmt: skip
def test_places_lose_what_differs_between_installations(
    file: str, place: str | None, module: str | None
) -> None:
    assert place_of(file) == place
    assert module_of(file) == module


def test_code_without_a_file_has_no_id() -> None:
    assert func_id_of("<module>", "<string>", None, "python") is None
    assert func_id_of("f", None, None, "python") is None
    assert func_id_of("malloc", None, "/usr/lib/libc.so.6", "native") == func_id_of(
        "malloc", None, "/lib/libc.so.6", "native"
    )


COMPREHENSION = "def alloc(size):\n    return [number for number in range(size) if number % 3]\n"


def test_comprehensions_belong_to_their_function() -> None:
    """3.12 runs them in its frame, 3.11 in `alloc.<locals>.<listcomp>`, 3.10 in `<listcomp>`."""
    source = Source(FILE, COMPREHENSION)
    facts = {name: source.facts(name, 2) for name in ("alloc", "alloc.<locals>.<listcomp>", "<listcomp>")}
    assert len(set(facts.values())) == 1
    assert None not in facts.values()
    assert folded_name("work.<locals>.<genexpr>") == "work"
    assert func_id_of("alloc.<locals>.<listcomp>", FILE, None, "python") == facts["alloc"].func_id  # type: ignore[union-attr]


def test_names_of_python_3_10_are_found_by_their_last_part() -> None:
    source = Source(FILE, BEFORE)
    assert source.facts("run", 6) == source.facts("Worker.run", 6)
    assert source.facts("run", 19) is None


def test_a_name_that_is_not_at_its_line_is_another_text() -> None:
    source = Source(FILE, BEFORE)
    assert source.facts("alloc", 6) is None
    assert source.facts("gone", 6) is None
    assert source.facts("alloc", 999) is None


def test_definitions_of_one_name_are_told_apart() -> None:
    text = "if x:\n    def f():\n        return 1\nelse:\n    def f():\n        return 1\n"
    source = Source(FILE, text)
    first, second = source.facts("f", 3), source.facts("f", 6)
    assert first is not None
    assert second is not None
    assert first.func_id != second.func_id
    assert first.func_hash == second.func_hash
    assert source.facts("f", None) is None, "which one?"


BLOCKS = """\
def f(x):
    try:
        a(x)
    except ValueError:
        b(x)
    except OSError:
        b(x)
    finally:
        c(x)
    with d(x) as e:
        g(e)
    match x:
        case 1:
            h(x)
        case [2, *_]:
            h(x)
    async_ = lambda: (
        i(x))
    return (x +
            1)
"""


def test_every_block_is_walked_into() -> None:
    source = Source(FILE, BLOCKS)
    ids = {line: source.facts("f", line).stmt_id for line in range(2, 20)}  # type: ignore[union-attr]
    assert ids[17] == ids[18], "a line inside a statement is that statement"
    assert ids[19] == source.facts("f", 20).stmt_id  # type: ignore[union-attr]
    calls = [ids[line] for line in (3, 5, 7, 9, 11, 14, 16, 17, 19)]
    assert len(set(calls)) == len(calls)


def _qualnames(code: types.CodeType) -> set[tuple[str, int]]:
    is_folded = code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
    found = set() if is_folded else {(folded_name(code.co_qualname), code.co_firstlineno)}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _qualnames(constant)
    return found


@pytest.mark.parametrize("module", ["argparse", "dataclasses", "typing", "inspect", "enum", "unittest.mock"])
def test_names_and_first_lines_are_those_of_the_compiler(module: str) -> None:
    """Every code object of real modules is found under its own qualified name, and so is each of its lines."""
    __import__(module)
    file = sys.modules[module].__file__
    assert file is not None
    text = Path(file).read_text(encoding="utf-8")
    scopes = {(scope.name, scope.first_line) for scope in scopes_of(text)}
    code = compile(text, file, "exec", dont_inherit=True)
    expected = {(name, line) for name, line in _qualnames(code) if not name.startswith("<")}
    assert expected - scopes == set()
    source, waiting = Source(file, text), [code]
    while waiting:
        one = waiting.pop()
        waiting += [constant for constant in one.co_consts if isinstance(constant, types.CodeType)]
        for _start, line in dis.findlinestarts(one):
            assert not line or source.find(one.co_qualname, line) is not None, (one.co_qualname, line)


# ------------------------------------------------------------------------------------- hotspots


def _spot(**changes: object) -> Hotspot:
    known = {"function": "alloc", "file": FILE, "line": 19, "self_share": 0.5, "total_share": 0.5}
    return Hotspot(**{**known, **changes})  # type: ignore[arg-type]


def test_a_hotspot_gets_its_line_and_ids() -> None:
    spot = _spot(statements=(Statement(19, 0.5),))
    found = identify([spot], {FILE: SourceText(BEFORE, "app.busy")}.get)[0]
    assert (found.source_state, found.module, found.arity) == ("same", "app.busy", 1)
    assert found.source_line == "return [number for number in range(size)]"
    assert found.statements == (Statement(19, 0.5, found.stmt_id),)
    assert found.stmt_id == _stmt(BEFORE, "alloc", "return [number")
    assert found.ast_version == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (SourceText(None), "unreadable"),
        (SourceText("def alloc(:\n", None), "unparsable"),
        (SourceText("x = 1\0", None), "unparsable"),
        (SourceText("-" * 100_000 + "1"), "unparsable"),
        (SourceText("(" * 10_000), "unparsable"),
        (SourceText("x = 1\n" * 500_000), "unparsable"),
        (SourceText(BEFORE, is_newer=True), "changed"),
        (SourceText("\n\n" + BEFORE), "changed"),
        (SourceText(""), "changed"),
    ],
)
def test_a_source_that_says_nothing_leaves_the_functions_id_alone(given: SourceText, state: str) -> None:
    spot = _spot(func_id="0123456789abcdef", line=18)
    found = identify([spot], lambda _file: given)[0]
    assert (found.source_state, found.func_id) == (state, "0123456789abcdef")
    assert (found.stmt_id, found.func_hash, found.arity, found.source_line) == (None, None, None, None)


def test_a_deep_expression_is_unparsable_and_not_a_crash() -> None:
    text = "def alloc(x):\n    return " + "+".join(["x"] * 20_000) + "\n"
    assert identify([_spot(line=2)], lambda _file: SourceText(text))[0].source_state in ("same", "unparsable")


def test_native_frames_and_files_nobody_looks_at_are_left_as_they_are() -> None:
    spots = [_spot(kind="native", module="/lib/libc.so.6"), _spot(file=None), _spot()]
    assert list(identify(spots, lambda _file: None)) == spots


def test_a_text_is_parsed_once_while_it_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    real = scopes_of
    monkeypatch.setattr("monitord.profiles.ast_ids.scopes_of", lambda text: parsed.append(1) or real(text))
    cache = SourceCache()
    assert cache.get(FILE, BEFORE, 1) is cache.get(FILE, BEFORE, 1)
    cache.get(FILE, BEFORE, 2)
    cache.get(FILE, EVERYTHING_ELSE, 2)
    for _ in range(2):
        with pytest.raises(SourceError):
            cache.get(FILE, "def", 3)
    assert len(parsed) == 4


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.text(max_size=20), st.integers(-5, 400))
def test_no_text_breaks_it(text: str, function: str, line: int) -> None:
    identify([_spot(function=function, line=line)], lambda _file: SourceText(text))
