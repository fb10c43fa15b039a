"""Which version of its program a process ran, from its paths and from what was deployed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from monitord.analytics import versions
from monitord.analytics.versions import deployments, known_versions, mark_deployed, version_of
from monitord.errors import UsageError
from monitord.model import Incident
from monitord.storage import SQLiteProfileStore
from monitord.storage.past import PastReader

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "version"),
    [
        (["/srv/app/releases/20260301120000/bin/app"], "20260301120000"),
        (["python3", "/srv/app/releases/1.4.2/main.py"], "1.4.2"),
        (["/opt/app/versions/v2.0.0-rc.1/app"], "2.0.0-rc.1"),
        (["/srv/app/releases/3f2a91c/app"], "3f2a91c"),
        (["java", "-jar", "/opt/api/api-1.4.2.jar"], "1.4.2"),
        (["java", "-jar", "api-1.4.2-SNAPSHOT.jar"], "1.4.2-SNAPSHOT"),
        (["/opt/app-1.4.2/bin/app"], "1.4.2"),
        (["/opt/monitord/versions/0.7.1/bin/python", "-m", "x"], "0.7.1"),
        # What is not the program's own version, or none at all.
        (["/usr/lib/jvm/java-17.0.2/bin/java", "-Xmx1g", "Main"], None),
        (["/usr/lib/jvm/java-17.0.2/bin/java", "-jar", "/opt/api-2.1.jar"], "2.1"),
        (["/usr/bin/python3.11", "/srv/app/main.py"], None),
        (["/home/u/.pyenv/versions/3.11.4/bin/python", "/srv/app/main.py"], None),
        (["/opt/python-3.12.1/bin/python3", "/srv/app/main.py"], None),
        (["/usr/lib/postgresql/15/bin/postgres"], None),
        (["node", "/srv/app/node_modules/x-1.2.3/cli.js"], None),
        (["app", "--listen=10.0.0.1", "--version", "1.2.3"], None),
        (["/srv/app/main.py"], None),
        (["/srv/releases/current/app"], None),
        ([], None),
        ([""], None),
    ],
)
def test_a_version_is_what_the_programs_own_paths_tell(words: list[str], version: str | None) -> None:
    """A release's folder or a package's name; an interpreter's or a library's version is not the program's."""
    assert version_of(words[0] if words else None, words[1:]) == version


def test_hostile_paths_cost_little_and_give_a_short_version() -> None:
    for text in (
        "/releases/" + "1." * 100000 + "1/",
        "/" + "a-1.1" * 20000,
        "/a" * 50000,
        "/releases/" + "f" * 5000 + "/",
    ):
        assert len(version_of(text, [text] * 1000) or "") <= 64


def test_else_the_last_mark_before_an_incident_counts(
    store: SQLiteProfileStore, make_incident: Callable[..., Incident]
) -> None:
    """Of the marks whose process fits, the newest before it; none before the first."""
    for hours, process, version in [(3, "burner", "2"), (1, "burner", "1"), (2, "other", "9")]:
        mark_deployed(store.state, process, version, AT + timedelta(hours=hours))
    for hours in (0, 2, 4):
        store.save_incident(make_incident(at=AT + timedelta(hours=hours, minutes=30)))
    with PastReader(store.data_dir) as reader:
        version = known_versions(deployments(reader.storage))
        views = reader.each_incident(AT, AT + timedelta(days=1))
        assert [version(view) for view in views] == [None, "1", "2"]


def test_marks_are_bounded_and_damaged_ones_are_left_out(
    store: SQLiteProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes."""
    monkeypatch.setattr(versions, "MARKS_AT_MOST", 3)
    for number in range(5):
        mark_deployed(store.state, "api", str(number), AT + timedelta(hours=number))
    assert [each.version for each in deployments(store.state)] == ["2", "3", "4"]
    store.state.set("deployed/x", b"\xff")
    assert [each.version for each in deployments(store.state)] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("process", "version"),
    [("", "1"), ("a", ""), ("a\n", "1"), ("a", "\x1b[31m"), ("a", "1" * 65), ("a", " 1")],
)
def test_words_that_can_not_be_are_refused(process: str, version: str, store: SQLiteProfileStore) -> None:
    with pytest.raises(UsageError, match="printable characters"):
        mark_deployed(store.state, process, version, AT)
