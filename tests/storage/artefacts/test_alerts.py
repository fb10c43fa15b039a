"""Trouble with the storage is said once, and its end once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from monitord.storage.artefacts import DiskFullError
from monitord.storage.artefacts.monitor import AlertLevel, AlertManager, Health, HealthCheck, StorageAlert

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def look(minute: int, *failing: tuple[str, AlertLevel]) -> Health:
    """A look at two checks, those that are named failing."""
    bad = dict(failing)
    return Health(
        NOW + timedelta(minutes=minute),
        tuple(
            HealthCheck(
                name, name not in bad, f"{name} at {minute}", "fix it", bad.get(name, AlertLevel.WARNING)
            )
            for name in ("write and read", "latency")
        ),
    )


BROKEN = ("write and read", AlertLevel.CRITICAL)
SLOW = ("latency", AlertLevel.WARNING)


def alerts_of(*looks: Health) -> tuple[list[StorageAlert], list[str]]:
    """What is told of these looks, and the log's events."""
    told: list[StorageAlert] = []
    manager = AlertManager(told.append)
    with capture_logs() as logs:
        for each in looks:
            manager.judge(each)
    return told, [line["event"] for line in logs]


def test_what_stays_broken_is_said_once_and_its_end_once() -> None:
    """A hundred bad looks are one alert and one line; two good ones end it with another."""
    looks = [*(look(minute, BROKEN) for minute in range(100)), look(100), look(101), look(102)]
    told, lines = alerts_of(*looks)
    assert lines == ["storage.unhealthy", "storage.recovered"]
    assert [(alert.check, alert.raised_at, alert.recovered_at) for alert in told] == [
        ("write and read", NOW, None),
        ("write and read", NOW, NOW + timedelta(minutes=101)),
    ]


def test_flapping_is_one_alert() -> None:
    """Good and bad in turn: said once, not over until it stays good."""
    looks = [look(minute, *([BROKEN] if minute % 2 == 0 else [])) for minute in range(40)]
    told, lines = alerts_of(*looks)
    assert lines == ["storage.unhealthy"]
    assert len(told) == 1


def test_a_warning_needs_a_second_bad_look_and_what_is_critical_does_not() -> None:
    """One slow moment is nothing; two in a row are an alert that began with the first."""
    assert alerts_of(look(0, SLOW), look(1), look(2, SLOW), look(3)) == ([], [])
    told, _lines = alerts_of(look(0, SLOW), look(1, SLOW))
    assert [alert.raised_at for alert in told] == [NOW]
    assert alerts_of(look(0, BROKEN))[1] == ["storage.unhealthy"]


def test_checks_do_not_hide_each_other() -> None:
    """Each check has its own alert and its own end."""
    told, _lines = alerts_of(look(0, BROKEN, SLOW), look(1, SLOW), look(2, SLOW), look(3))
    assert [(alert.check, alert.recovered_at is None) for alert in told] == [
        ("write and read", True),
        ("latency", True),
        ("write and read", False),
    ]


def test_an_alert_in_force_says_how_it_is_now_and_a_teller_that_fails_stops_nothing() -> None:
    """The message follows the last look; no room for an event is no reason to say it again."""

    def refuse(_alert: StorageAlert) -> None:
        raise DiskFullError("no room for an event")

    manager = AlertManager(refuse)
    with capture_logs() as logs:
        manager.judge(look(0, BROKEN))
        manager.judge(look(7, BROKEN))
    assert [alert.message for alert in manager.active] == ["write and read at 7"]
    assert [line["event"] for line in logs] == ["storage.unhealthy", "storage.alert_not_told"]
