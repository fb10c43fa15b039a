"""Whatever a name contains, what is shown is one line of visible characters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.redaction import printable

HOSTILE = [
    ("a\nb", "a\\nb"),
    ("a\rb", "a\\rb"),
    ("a\tb", "a\\tb"),
    ("a\0b", "a\\x00b"),
    ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("\x7f", "\\x7f"),
    ("\x9b31m", "\\x9b31m"),
    ("\x85", "\\x85"),
    (b"\xff\xfe\x80".decode("utf-8", "surrogateescape"), "\\xff\\xfe\\x80"),
    ("\ud800", "\\ud800"),
    ("\u202egpj.exe", "\\u202egpj.exe"),
    ("\u2066x\u2069", "\\u2066x\\u2069"),
    ("\u200b\u200d\ufeff\u2060", "\\u200b\\u200d\\ufeff\\u2060"),
    ("\u2028\u2029", "\\u2028\\u2029"),
    ("\U000e0041", "\\U000e0041"),
    ("\u3164\u115f\ufe0f", "\\u3164\\u115f\\ufe0f"),
    ("\xad", "\\xad"),
    ("\ue000\uffff", "\\ue000\\uffff"),
]


@pytest.mark.parametrize(("raw", "shown"), HOSTILE, ids=range(len(HOSTILE)))
def test_everything_unfit_for_a_terminal_becomes_a_visible_escape(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@pytest.mark.parametrize(
    "name",
    [
        "nginx: worker",
        "Zażółć gęślą",
        "процесс",
        "日本語",
        "مرحبا",
        "नमस्ते",
        "naïve—50 %",
        "C:\\x",
        "=cmd|'/c'!A1",
    ],
)
def test_ordinary_text_of_every_script_is_kept(name: str) -> None:
    assert printable(name) == name


@settings(max_examples=500, deadline=None)
@given(
    st.text(st.characters(codec=None), max_size=60)
    | st.binary(max_size=60).map(lambda b: b.decode("utf-8", "surrogateescape"))
)
def test_the_result_is_one_clean_line_and_stays_so(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown
    shown.encode()
