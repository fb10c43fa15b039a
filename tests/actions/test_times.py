"""Every form of a time that the manual names, read for a fixed now in a zone with summer time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.actions.times import parse_duration, parse_period, parse_time
from monitord.cli.when import full_stamp, local_stamp
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
        ("3am", berlin(2026, 11, 20, 3, 0)),
        ("3a.m.", berlin(2026, 11, 20, 3, 0)),
        ("3 a.m.", berlin(2026, 11, 20, 3, 0)),
        ("yesterday 3 P.M.", berlin(2026, 11, 19, 15, 0)),
        ("24:00", berlin(2026, 11, 20)),
        ("yesterday 24:00", berlin(2026, 11, 20)),
        ("2026-11-18 24:00", berlin(2026, 11, 19)),
        ("an hour ago", NOW - timedelta(hours=1)),
        ("a day ago", NOW - timedelta(days=1)),
        ("1 month ago", NOW.astimezone(UTC) - timedelta(days=30)),
        ("2 years", NOW.astimezone(UTC) - timedelta(days=730)),
        ("3:15 PM", berlin(2026, 11, 19, 15, 15)),
        ("12am", berlin(2026, 11, 20)),
        ("12pm", berlin(2026, 11, 20, 12, 0)),
        ("noon", berlin(2026, 11, 20, 12, 0)),
        ("midnight", berlin(2026, 11, 20)),
        ("yesterday at 3 am", berlin(2026, 11, 19, 3, 0)),
        ("yesterday noon", berlin(2026, 11, 19, 12, 0)),
        ("friday", berlin(2026, 11, 20)),
        ("Friday 14:00", berlin(2026, 11, 13, 14, 0)),
        ("last friday", berlin(2026, 11, 13)),
        ("last monday", berlin(2026, 11, 16)),
        ("mon 22:00", berlin(2026, 11, 16, 22, 0)),
        ("Nov 19 08:55:28", berlin(2026, 11, 19, 8, 55, 28)),
        ("24 dec", berlin(2025, 12, 24)),
        ("11:00Z", datetime(2026, 11, 20, 11, 0, tzinfo=UTC)),
        ("2026-11-20 3am", berlin(2026, 11, 20, 3, 0)),
        ("2026-11-20 03:00:05 UTC", datetime(2026, 11, 20, 3, 0, 5, tzinfo=UTC)),
        ("2026-10-25 02:30:00 CET", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        ("2026-10-25 02:30:00 CEST", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
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
    ["", " ", "soon", "25:00", "12:60", "2h ago ago", "5", "-5", "2 fortnights", "24:01", "24:00am", "an hour", "3 a.m", "@", "@x", "@" + "9" * 30,
     "999999999999 weeks", "tomorrow", "2026-13-01", "2026-02-30", "1e3h", "٣h", "--2h", "03:00 yesterday", "13pm", "0am", "3:99am", "mo", "frid ay", "nov 31", "at", "utc", "last 3am"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="expected one like"):
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
    with pytest.raises(UsageError, match="invalid duration"):
        parse_duration(text)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(UsageError, match="ends before that"):
        parse_period("1h", "2h", NOW, BERLIN)
    assert parse_period("2h", "1h", NOW, BERLIN) == (NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    assert parse_period(None, None, NOW, BERLIN) == (None, None)


@pytest.mark.parametrize("text", ["1M", "30 M", "1M ago", "-2M", "1.5M"])
def test_a_big_m_is_refused_with_both_of_its_readings(text: str) -> None:
    with pytest.raises(UsageError, match=r'min" for minutes or "\d+d" for months'):
        parse_time(text, NOW, BERLIN)
    with pytest.raises(UsageError, match="ambiguous"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        ("12:00", "12:59", berlin(2026, 11, 20, 12, 0), berlin(2026, 11, 20, 12, 59)),  # ends after now
        ("22:00", "00:30", berlin(2026, 11, 19, 22, 0), berlin(2026, 11, 20, 0, 30)),  # across midnight
        ("13:00", "14:00", berlin(2026, 11, 19, 13, 0), berlin(2026, 11, 19, 14, 0)),  # both not yet today
        ("yesterday 22:00", "00:30", berlin(2026, 11, 19, 22, 0), berlin(2026, 11, 20, 0, 30)),
        ("last monday", "noon", berlin(2026, 11, 16), berlin(2026, 11, 16, 12, 0)),
        ("monday 3pm", "wednesday", berlin(2026, 11, 16, 15, 0), berlin(2026, 11, 18)),
        ("2026-11-10", "03:00", berlin(2026, 11, 10), berlin(2026, 11, 10, 3, 0)),
        ("Nov 10", "Nov 11", berlin(2026, 11, 10), berlin(2026, 11, 11)),
        ("7d", "03:00", NOW - timedelta(days=7), berlin(2026, 11, 20, 3, 0)),  # counted back from now
        ("2h", "11:00", NOW - timedelta(hours=2), berlin(2026, 11, 20, 11, 0)),
        ("03:00", "03:00", berlin(2026, 11, 20, 3, 0), berlin(2026, 11, 21, 3, 0)),
    ],
)
def test_both_ends_of_a_period_are_read_together(
    since: str, until: str, start: datetime, end: datetime
) -> None:
    assert parse_period(since, until, NOW, BERLIN) == (start, end)


ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "UTC")


@given(
    st.times().map(lambda clock: clock.replace(second=0, microsecond=0)),
    st.times().map(lambda clock: clock.replace(second=0, microsecond=0)),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.sampled_from(ZONES),
)
def test_from_one_time_of_day_to_another_is_the_last_such_period(
    since: time, until: time, now: datetime, name: str
) -> None:
    """Whatever the hour, the zone and the change of clocks: it has begun, is at most a day, shows these clocks."""
    zone, now = ZoneInfo(name), now.replace(tzinfo=UTC)
    start, end = parse_period(f"{since:%H:%M}", f"{until:%H:%M}", now, zone)
    assert start is not None
    assert end is not None
    assert start <= now < start + timedelta(hours=26)
    assert start < end <= start + timedelta(hours=26)
    for moment, clock in ((start, since), (end, until)):
        shown = moment.astimezone(zone).time()
        missing = _is_missing(moment, clock, zone)  # the hour that the clocks leap over
        assert shown == clock or missing, (shown, clock)


def _is_missing(moment: datetime, clock: time, zone: ZoneInfo) -> bool:
    near = moment.astimezone(zone).date()
    days = (near + timedelta(days=n) for n in (-1, 0, 1))
    walls = (datetime.combine(day, clock, zone) for day in days)
    return any(wall.astimezone(UTC).astimezone(zone).time() != clock for wall in walls)


def test_an_hour_that_the_clocks_pass_twice_is_in_a_period_as_a_whole() -> None:
    now = datetime(2026, 10, 25, 12, 0, tzinfo=BERLIN)
    start, end = parse_period("02:00", "02:59", now, BERLIN)
    assert start == datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    assert end == datetime(2026, 10, 25, 1, 59, tzinfo=UTC)


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2026, 11, 20, 11, 30)),  # noqa: DTZ001 - as above
    st.booleans(),
    st.sampled_from(ZONES),
)
def test_a_time_that_the_screen_shows_can_be_typed(naive: datetime, utc: bool, name: str) -> None:
    """What `recent` and `show` print is read as the moment it was printed for, as exactly as it is shown."""
    zone = ZoneInfo(name)
    moment = naive.replace(tzinfo=UTC)
    brief = local_stamp(moment, NOW, utc=utc, zone=zone)
    whole = full_stamp(moment, utc=utc, zone=zone)
    minute = "-" in brief
    local = moment.astimezone(zone)
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    if utc or not twice:
        read = parse_time(brief, NOW, zone)
        assert read == moment.replace(microsecond=0, second=0 if minute else moment.second)
    assert parse_time(whole, NOW, zone) == moment.replace(microsecond=0)
