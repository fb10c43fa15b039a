"""Limits that one may choose: counts, ages by process, rule and severity, another age where there is an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.config import load
from monitord.errors import ConfigError
from monitord.jobs import RetentionLimits, RetentionManager
from monitord.jobs.clock_guard import Uptime
from monitord.recorder.from_settings import retention_limits
from monitord.storage import SQLiteProfileStore, open_store
from tests.incident_rows import stored_incidents
from tests.jobs.test_real_store import NOW, incident

PLENTY = RetentionLimits(max_total_bytes=10**9, min_free_disk_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    with closing(open_store(tmp_path / "data")) as opened:
        yield opened


def saved(store: SQLiteProfileStore, *, rule: str = "cpu-hog", **shape: object) -> str:
    made = incident(size=200, **shape)  # type: ignore[arg-type]
    made = replace(made, alert=replace(made.alert, rule=rule))
    store.save_incident(made)
    return made.correlation_id


def test_no_more_incidents_than_the_count(store: SQLiteProfileStore) -> None:
    """The mild go first, then the old; pinned ones count and stay; without a count all stay."""
    worst = saved(store, hours=60, severity=9.0)
    pinned = saved(store, hours=50, severity=1.0)
    mild = [saved(store, hours=40 - n, severity=2.0) for n in range(4)]
    store.pin(pinned)
    assert RetentionManager(store, PLENTY).purge_expired(NOW).incident_count == 0
    report = RetentionManager(store, replace(PLENTY, max_count=3)).purge_expired(NOW)
    assert set(report.deleted_incidents) == set(mild[:3])
    assert {row.correlation_id for row in stored_incidents(store)} == {worst, pinned, mild[3]}
    assert set(report.reasons.values()) == {"count"}


def test_no_more_profiles_than_their_count(store: SQLiteProfileStore) -> None:
    """Kept profiles of scripts are counted apart: the oldest go, and no incident for them."""
    profiles = [saved(store, hours=60 - n, rule="profile", severity=0.0) for n in range(4)]
    other = saved(store, hours=70, severity=0.0)
    RetentionManager(store, replace(PLENTY, max_profiles=2)).purge_expired(NOW)
    assert {row.correlation_id for row in stored_incidents(store)} == {other, *profiles[2:]}


def test_evidence_of_some_goes_sooner(store: SQLiteProfileStore) -> None:
    """By process, by rule, by severity from a step to the next; at once with 0; the summaries stay."""
    ages = (
        ("process", "chrome", 6 * 3600.0),
        ("rule", "noisy", 0.0),
        ("severity", "1", 12 * 3600.0),
        ("severity", "5", 48 * 3600.0),
    )
    going = {
        saved(store, hours=7, name="chrome", severity=9.0),
        saved(store, hours=0, rule="noisy", severity=9.0),
        saved(store, hours=13, severity=1.0),
        saved(store, hours=49, severity=5.0),
    }
    staying = {
        saved(store, hours=5, name="chrome", severity=9.0),
        saved(store, hours=11, severity=4.9),
        saved(store, hours=47, severity=5.0),
        saved(store, hours=60, severity=0.5),
    }
    limits = replace(PLENTY, ages=ages)
    foretold = RetentionManager(store, limits).purge_expired(NOW, dry_run=True)
    report = RetentionManager(store, limits).purge_expired(NOW)
    assert set(report.dropped_evidence) == set(foretold.dropped_evidence) == going
    assert {row.correlation_id for row in stored_incidents(store) if not row.is_summary} == staying
    assert len(stored_incidents(store)) == 8


def test_with_an_archive_evidence_may_stay_longer(store: SQLiteProfileStore) -> None:
    """It goes at the archive's age instead; a shorter one than without an archive changes nothing."""
    old, older = saved(store, hours=100), saved(store, hours=400)
    for _ in range(6):  # else so much would go at once that the clock is doubted
        saved(store, hours=1)
    longer = replace(PLENTY, archive_age_s=200 * 3600.0)
    assert RetentionManager(store, longer).purge_expired(NOW).dropped_evidence == (older,)
    shorter = replace(PLENTY, archive_age_s=3600.0)
    assert RetentionManager(store, shorter).purge_expired(NOW).dropped_evidence == (old,)


def configured(tmp_path: Path, text: str) -> RetentionLimits:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return retention_limits(load(path, {}).settings)


def test_the_configuration_sets_them(tmp_path: Path) -> None:
    """Every key arrives; an archive's age counts only where there is an archive."""
    words = '[retention]\nmax_count = 9\nmax_profiles = 3\nages = ["process=a:b:90min", "severity=2.5:2d", "rule=x:0"]\n'
    found = configured(tmp_path, words + "[storage]\narchive_max_age_h = 500\n")
    assert (found.max_count, found.max_profiles, found.archive_age_s) == (9, 3, None)
    assert found.ages == (
        ("process", "a:b", 5400.0),
        ("severity", "2.5", 172_800.0),
        ("rule", "x", 0.0),
    )
    found = configured(tmp_path, f'[storage]\narchive_url = "file://{tmp_path}"\narchive_max_age_h = 500\n')
    assert found.archive_age_s == 1_800_000


@pytest.mark.parametrize(
    "age",
    ["chrome:6h", "severity=high:1h", "process=:1h", "pid=3:1h", "rule=x:", "rule=x:soon", "rule=x:96h"],
)
def test_an_age_that_makes_no_sense_is_refused(tmp_path: Path, age: str) -> None:
    """With the line, the key and what was expected."""
    with pytest.raises(ConfigError, match=r"config.toml:[12]: invalid retention.*ages.*expected"):
        configured(tmp_path, f'[retention]\nages = ["{age}"]\n')


def test_a_clock_that_jumped_takes_nothing_by_these_ages_either(store: SQLiteProfileStore) -> None:
    """Three days ahead at once, all evidence of one process would go: it is postponed, and said."""
    for _ in range(20):
        saved(store, hours=0, name="chrome")
    limits = replace(PLENTY, ages=(("process", "chrome", 6 * 3600.0),))
    up = [Uptime("boot", 500_000.0)]
    manager = RetentionManager(store, limits, uptime=lambda: up[0])
    manager.purge_expired(NOW)
    up[0] = Uptime("boot", 503_600.0)
    report = manager.purge_expired(NOW + timedelta(hours=24))
    assert report.postponed
    assert report.evidence_count == 0
