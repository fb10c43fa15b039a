"""Shapes that other programs read."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.export.encoding import csv_rows, iso, json_text, plain
from monitord.export.units import age, bar, quantity, span, sparkline, unit_of
from monitord.model import TriggerMetric

ANY_TEXT = st.text(st.characters())  # surrogates included


@given(ANY_TEXT)
def test_plain_text_is_valid_unicode_and_changes_nothing_that_is(text: str) -> None:
    shown = plain(text)
    shown.encode("utf-8")
    assert plain(shown) == shown
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return
    assert shown == text


@given(st.binary())
def test_bytes_that_are_no_text_are_written_as_hex(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert plain(text) == data.decode("utf-8", "backslashreplace")


@given(st.dictionaries(ANY_TEXT.map(plain), ANY_TEXT.map(plain)))
def test_json_is_printable_ascii_and_comes_back(value: dict[str, str]) -> None:
    text = json_text(value, indent=None)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        json_text([float("nan")])


@given(
    st.lists(
        st.tuples(ANY_TEXT, st.one_of(st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)))
    )
)
def test_csv_has_one_line_a_row_and_no_formula(rows: list[tuple[str, object]]) -> None:
    text = csv_rows(("a", "b"), [{"a": name, "b": value} for name, value in rows])
    parsed = list(csv.reader(io.StringIO(text, newline="")))
    assert text.count("\n") == len(rows) + 1
    assert len(parsed) == len(rows) + 1
    assert all(not cells[0].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")) for cells in parsed)


def test_negative_numbers_stay_numbers() -> None:
    """Only texts can be formulas; a spreadsheet shall be able to add numbers up."""
    assert csv_rows(("a",), [{"a": -5}], header=False) == "-5\r\n"


def test_times_are_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 11, 20, 4, 0, 5, 120999, tzinfo=timezone(timedelta(hours=1)))
    assert iso(moment) == "2026-11-20T03:00:05.120Z"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (97.0, "percent", "97 %"),
        (0.5, "percent", "0.5 %"),
        (0.0, "percent", "0 %"),
        (1234.0, "percent", "1,234 %"),
        (1.2 * 2**30, "bytes", "1.2 GiB"),
        (0, "bytes", "0 B"),
        (1023.9, "bytes", "1.0 KiB"),
        (80e6, "bytes_per_s", "80.0 MB/s"),
        (212e6, "bytes_per_s", "212 MB/s"),
        (999_999, "bytes_per_s", "1.0 MB/s"),
        (61.0, "seconds", "61 s"),
        (1500.0, "count", "1,500"),
    ],
)
def test_quantities_have_their_unit(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0.2 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172800, "2 d"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_ages_say_when_the_clock_jumped() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert age(now, now) == "now"
    assert age(now - timedelta(hours=3), now) == "3 h ago"
    assert age(now + timedelta(hours=3), now) == "in 3 h"


def test_a_memory_value_is_a_share_or_a_size() -> None:
    assert unit_of(TriggerMetric.MEMORY, 42.0) == "percent"
    assert unit_of(TriggerMetric.MEMORY, 2.0**31) == "bytes"
    assert unit_of(TriggerMetric.CPU, 400.0) == "percent"


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=500), st.integers(1, 80))
def test_sparklines_have_their_width_and_show_the_peak(values: list[float | None], columns: int) -> None:
    line = sparkline(values, columns)
    known = [value for value in values if value is not None]
    assert len(line) == (min(len(values), columns) if known else 0)
    if known and min(known) < max(known) and len(values) <= columns:
        assert line[values.index(max(known))] == "█"
        assert line[values.index(min(known))] == "▁"


@given(st.floats(0, 1), st.integers(1, 40))
def test_bars_have_their_width_and_something_shows(share: float, columns: int) -> None:
    drawn = bar(share, columns)
    assert len(drawn) == columns
    assert (drawn.strip() == "") == (share == 0)


@pytest.mark.parametrize("blank", ["", " ", "\u00a0", "\u2003", "\u3000", "  \u00a0"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_no_blank_of_any_kind_hides_a_formula(blank: str, sign: str) -> None:
    assert csv_rows(["a"], [{"a": f"{blank}{sign}1"}], header=False).startswith("'")
