"""Every form of a time that the manual names, read for a fixed now in a zone with summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.cli.times import parse_duration, parse_period, parse_time
from monitord.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=BERLIN)


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)  # type: ignore[arg-type, misc]  # the parts of a datetime


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("1 hour ago", NOW - timedelta(hours=1)),
        ("-2h", NOW - timedelta(hours=2)),
        ("2h", NOW - timedelta(hours=2)),
        ("90s", NOW - timedelta(seconds=90)),
        ("1h 30min ago", NOW - timedelta(minutes=90)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("2 weeks ago", NOW - timedelta(weeks=2)),
        ("3 DAYS ago", NOW - timedelta(days=3)),
        ("03:00", berlin(2026, 11, 20, 3, 0)),
        ("14:30", berlin(2026, 11, 19, 14, 30)),
        ("12:30", berlin(2026, 11, 20, 12, 30)),
        ("14:30:15", berlin(2026, 11, 19, 14, 30, 15)),
        ("today", berlin(2026, 11, 20)),
        ("today 14:30", berlin(2026, 11, 20, 14, 30)),
        ("yesterday", berlin(2026, 11, 19)),
        ("yesterday  14:30", berlin(2026, 11, 19, 14, 30)),
        ("2026-11-20 03:00", berlin(2026, 11, 20, 3, 0)),
        ("2026-11-20 03:00:05", berlin(2026, 11, 20, 3, 0, 5)),
        ("2026-11-20", berlin(2026, 11, 20)),
        ("2026-07-01 03:00", berlin(2026, 7, 1, 3, 0)),
        ("2026-11-20T03:00:05Z", datetime(2026, 11, 20, 3, 0, 5, tzinfo=UTC)),
        ("2026-11-20T03:00:05+05:30", datetime(2026, 11, 19, 21, 30, 5, tzinfo=UTC)),
        ("@1763600000", datetime.fromtimestamp(1763600000, UTC)),
        ("@0.5", datetime.fromtimestamp(0.5, UTC)),
    ],
)
def test_every_form_of_a_time_is_read(text: str, moment: datetime) -> None:
    assert parse_time(text, NOW, BERLIN) == moment
    assert parse_time(text, NOW, BERLIN).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "25:00", "12:60", "2h ago ago", "5", "-5", "2 fortnights", "@", "@x", "@" + "9" * 30,
     "999999999999 weeks", "tomorrow", "2026-13-01", "2026-02-30", "1e3h", "٣h", "--2h", "03:00 yesterday"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="type one like"):
        parse_time(text, NOW, BERLIN)


@given(st.text())
def test_any_text_is_a_time_or_a_usage_error(text: str) -> None:
    try:
        moment = parse_time(text, NOW, BERLIN)
    except UsageError:
        return
    assert moment.tzinfo is UTC


@given(
    st.integers(0, 10**5), st.sampled_from(["s", "min", "h", "d", " seconds", " minutes", " hours", " days"])
)
def test_a_span_means_the_same_with_and_without_ago(number: int, unit: str) -> None:
    texts = [f"{number}{unit}", f"-{number}{unit}", f"{number}{unit} ago"]
    moments = {parse_time(text, NOW, BERLIN) for text in texts}
    assert moments == {NOW.astimezone(UTC) - parse_duration(f"{number}{unit}")}


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_iso_times_come_back_as_they_went(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    assert parse_time(moment.isoformat(), NOW, BERLIN) == moment


@given(st.times())
def test_a_time_of_day_lies_in_the_last_day_and_never_ahead(clock: object) -> None:
    moment = parse_time(f"{clock:%H:%M:%S}", NOW, BERLIN)
    assert NOW - timedelta(days=1) < moment <= NOW


def test_the_hour_that_does_not_exist_is_no_crash() -> None:
    """02:30 on the day the clocks go forward."""
    assert parse_time("2026-03-29 02:30", NOW, BERLIN).date().isoformat() == "2026-03-29"


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("10s", 10), ("1min", 60), ("0.5", 0.5), ("1h1m1s", 3661)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "-1s", "ten", "10 apples", "9" * 400 + "d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no duration"):
        parse_duration(text)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(UsageError, match="after --until"):
        parse_period("1h", "2h", NOW, BERLIN)
    assert parse_period("2h", "1h", NOW, BERLIN) == (NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    assert parse_period(None, None, NOW, BERLIN) == (None, None)
