"""Names are attacker's bytes: whatever a process calls itself, no output breaks and nothing is lost."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from tests.planting import is_safe

HOSTILE = {
    "newline": "bash\nroot  1  cpu",
    "carriage return": "evil\rgood",
    "tab": "\tname",
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31m",
    "not utf-8": b"\xff\xfe\x80name".decode("utf-8", "surrogateescape"),
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "at": "@SUM(1)",
    "blank formula": "  =1+1",
    "wide formula": "＝1+1",
    "right to left": "\u202efdp.exe",
    "zero width": "ad\u200bmin",
    "line separator": "a\u2028b",
    "quotes": "\"';--,;",
    "format": "%s{0}%(x)s",
    "markup": "[bold]<script>alert(1)</script>",
    "path": "../../etc/passwd",
    "nul": "a\x00b",
    "wide": "漢字テスト",
    "empty": "",
    "long": "x" * 4000,
}
NAMES = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())


@pytest.fixture
def stored(request, store, new_incident):
    """One incident in which every text is hostile."""
    from dataclasses import replace

    from monitord.model import Hotspot

    def make(name: str) -> None:
        spot = Hotspot(name, f"/srv/{name}", 1, 0.9, 1.0)
        incident = new_incident(
            name=name, command_line=[name, name], reason=name, notes={name or "n": name}, hotspots=(spot,)
        )
        captures = tuple(replace(capture, reason=name, fix=name) for capture in incident.captures)
        process = replace(incident.process, unit=name, executable=name)
        store.save_incident(replace(incident, captures=captures, process=process))

    return make


@NAMES
def test_what_people_see_is_escaped(name, stored, here) -> None:
    stored(name)
    table = here("recent")
    assert is_safe(table.out)
    assert table.out.count("\n") == 2, "a header and one row"
    for words in (["show", "1"], ["keep", "1"]):
        answer = here(*words)
        assert answer.code == 0
        assert is_safe(answer.out + answer.err)


@NAMES
def test_json_is_ascii_and_keeps_the_name(name, stored, here) -> None:
    stored(name)
    for words in (["recent", "--json"], ["recent", "-o", "jsonl"], ["show", "1", "--json"]):
        out = here(*words).out
        assert out.isascii()
        assert all(char == "\n" or char.isprintable() for char in out)
        parsed = json.loads(out)
        row = parsed[0] if isinstance(parsed, list) else parsed
        row["process_name"].encode("utf-8")  # no lone surrogates: strict readers refuse them
        decodable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        assert row["process_name"] == decodable
        assert row["notes"][decodable or "n"] == decodable


@NAMES
@pytest.mark.parametrize("words", [["recent", "-o", "csv"], ["export", "1", "-o", "-", "--format", "csv"],
                                   ["export", "1", "-o", "-", "--format", "csv", "--raw"]], ids=" ".join)  # fmt: skip
def test_csv_is_one_line_a_row_and_no_cell_is_a_formula(name, words, stored, here) -> None:
    stored(name)
    out = here(*words).out
    assert out.count("\r\n") == 2
    assert "\n" not in out.replace("\r\n", "")
    assert is_safe(out.replace("\r\n", ""))
    header, row = csv.reader(io.StringIO(out, newline=""))
    assert len(header) == len(row)
    for cell in row:
        assert not re.match(r"\s*[=+\-@＝＋－＠\t\r]", cell)


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE.values() if "\0" not in name]
)  # no argument holds a NUL
def test_hostile_words_of_the_call_are_answered_in_one_safe_line(name, here, store) -> None:
    answers = (here("show", "--", name), here("recent", f"--since={name}"), here("explain", f"--rule={name}"))
    for answer in answers:
        assert answer.code in (2, 3)
        assert is_safe(answer.err)
        assert answer.err.count("\n") == 1
