"""A value is changed in a file's text, and nothing else of it is."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord import config
from monitord.config.editing import Place, toml, with_table, with_value

LINES = (
    "# a comment with = and [sampling] in it",
    "",
    "   # interval_s = 9  # commented out",
)
VALUES = ("5", "-2.5", '"a # b"', "'c = d'", "[1, 2] # end", '[\n  "x", # one\n  "y",\n]', '"""\n[sampling]\ninterval_s = 1\n"""',
          "{ a = 1 }", "true  # why", "1979-05-27")  # fmt: skip
TABLES = ("sampling", "log", "rules", "capture.deep")


@st.composite
def files(draw: st.DrawFn) -> str:
    """Valid TOML as people write it: comments anywhere, values over several lines, arrays of tables, CRLF."""
    parts: list[str] = []
    for table in draw(st.lists(st.sampled_from(TABLES), max_size=4, unique=True)):
        for _ in range(draw(st.integers(1, 3)) if table == "rules" else 1):
            parts.append(f"[[{table}]]  # of it" if table == "rules" else f"[ {table} ]")
            keys = draw(st.lists(st.sampled_from(["interval_s", "level", "other", "name"]), unique=True))
            for key in keys:
                parts += draw(st.lists(st.sampled_from(LINES), max_size=2))
                parts.append(
                    f"{key}{draw(st.sampled_from([' = ', '=', ' =  ']))}{draw(st.sampled_from(VALUES))}"
                )
    text = "\n".join([*draw(st.lists(st.sampled_from(LINES), max_size=2)), *parts])
    text += draw(st.sampled_from(["", "\n"])) if text else ""
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


NEW = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text(max_size=9), st.lists(st.text(max_size=3), max_size=3)
)


@given(files(), st.sampled_from(["sampling", "log"]), st.sampled_from(["interval_s", "level"]), NEW)
def test_only_the_value_changes(text: str, table: str, key: str, value: Any) -> None:
    """What the file says is the same but for it; each line that is not its own is there, in its order."""
    before = tomllib.loads(text)
    edited = with_value(text, Place(table, key), value)
    after = tomllib.loads(edited)
    assert after == {**before, table: {**before.get(table, {}), key: value}}
    old, new = text.splitlines(), edited.splitlines()
    start = next(
        (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    end = len(old) - start
    same = next(n for n in range(end, -1, -1) if n == 0 or old[-n:] == new[-n:])
    gone = "\n".join(old[start : len(old) - same])
    assert not gone or gone.lstrip().startswith(key), f"more than its own lines went: {gone!r}"
    if value == before.get(table, {}).get(key) and type(value) is type(before.get(table, {}).get(key)):
        assert len(new) <= len(old)


@given(files(), st.integers(0, 2), NEW)
def test_one_table_of_several_changes(text: str, number: int, value: Any) -> None:
    before = tomllib.loads(text)
    rules = before.get("rules", [])
    if number >= len(rules):
        return
    after = tomllib.loads(with_value(text, Place("rules", "other", number), value))
    rules[number]["other"] = value
    assert after == before


@given(files())
def test_a_table_more_stands_last(text: str) -> None:
    before = tomllib.loads(text)
    edited = with_table(text, "rules", {"name": "x", "above": 1})
    assert edited.startswith(text)
    assert tomllib.loads(edited) == {**before, "rules": [*before.get("rules", []), {"name": "x", "above": 1}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[log]\nlevel = 'info'  # why\n", '[log]\nlevel = "debug"  # why\n'),
        ("[log]\n\tlevel='a#b'# why", '[log]\n\tlevel="debug"# why'),
        ("[log]\n# level = 'info'  # said\nstyle = 'json'\n", "[log]\n# level = 'info'  # said\nlevel = \"debug\"\nstyle = 'json'\n"),
        ("[log]\nstyle = 'json'\n\n# next\n[x]\n", "[log]\nstyle = 'json'\nlevel = \"debug\"\n\n# next\n[x]\n"),
        ("log.level = 1 # here\n[x]\n", 'log.level = "debug" # here\n[x]\n'),
        ("[x]", '[x]\n\n[log]\nlevel = "debug"\n'),
        ("", '[log]\nlevel = "debug"\n'),
        ("[log]\r\nlevel = 1\r\n", '[log]\r\nlevel = "debug"\r\n'),
        ("[log]", '[log]\nlevel = "debug"\n'),
    ],
)  # fmt: skip
def test_where_it_stands(text: str, expected: str) -> None:
    assert with_value(text, Place("log", "level"), "debug") == expected


@pytest.mark.parametrize(
    "text", ["log = { level = 1 }\n", '[log]\n"level" = 1\n', "[ 'log' ]\nlevel = 1\n", "log.style = 1\n"]
)
def test_what_it_cannot_edit_is_refused_with_a_line(text: str) -> None:
    """Inline tables, quoted keys: valid TOML, and never broken."""
    with pytest.raises(ValueError, match=r"only a person can edit, from line 1 on"):
        with_value(text, Place("log", "level"), "debug")


def test_every_key_of_the_commented_file_can_be_set_below_its_comment() -> None:
    """What `config init` writes: the new line stands behind the one that explains it."""
    text = config.default_text()
    for line in text.splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        elif line.startswith("# ") and " = " in line and "  # " in line and not line.startswith("# above"):
            key = line.removeprefix("# ").partition(" ")[0]
            if f"# {key} = " in text.split("[[rules]]")[0]:
                edited = with_value(text, Place(table, key), 1)
                lines = edited.splitlines()
                assert lines[lines.index(f"{key} = 1") - 1].startswith(f"# {key} = "), key


@given(st.recursive(NEW, lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_what_is_written_is_read_again(value: Any) -> None:
    assert tomllib.loads(f"value = {toml(value)}") == {"value": value}
