"""What can't be shown: ids and pages that do not exist, stores that are damaged, newer, gone, locked or empty."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from monitord.errors import MonitordError
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.requests import RequestServer
from tests.actions.test_late_moments import document, no_snapshot
from tests.patience import PATIENCE_S
from tests.profiles.chromium import Chromium
from tests.web.browsing import TEXT, button, picture
from tests.web.serving import WebServer
from tests.web.stores import fill

ROWS = "[...document.querySelectorAll('tbody tr')].length"


@pytest.fixture
def opened(browser: Chromium, server: WebServer) -> Chromium:
    """The list, as the printed address opens it."""
    browser.visit(server.address)
    browser.wait(ROWS)
    return browser


def test_an_unknown_id_and_an_unknown_page_say_so(opened: Chromium, server: WebServer) -> None:
    opened.visit(f"{server.url}incidents/zzzzzzzz")
    opened.wait(f"{TEXT}.includes('Not found') && {TEXT}.includes(\"cannot find incident 'zzzzzzzz'\")")
    for strange in (
        "%2e%2e",
        "'%20OR%201=1--",
        "%3Cimg%20src=x%20onerror=alert(1)%3E",
        "%E0%A4%A",
        "x" * 3000,
    ):
        opened.visit(f"{server.url}incidents/{strange}")
        opened.wait("document.querySelector('.state, h1') && !document.querySelector('.loading')")
        assert opened.ask("document.querySelectorAll('main img').length") == 0
    opened.visit(f"{server.url}nothing/here")
    opened.wait(f"{TEXT}.includes('Nothing is here')")


def damaged(data_dir: Path) -> None:
    database = data_dir / "monitord.db"
    for path in data_dir.glob("monitord.db*"):
        path.unlink()
    database.write_bytes(b"this is no database " * 4000)
    database.chmod(0o600)


def newer(data_dir: Path) -> None:

    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def gone(data_dir: Path) -> None:
    for path in data_dir.glob("monitord.db*"):
        path.unlink()


TROUBLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "damaged": (damaged, "monitord.db"),
    "newer": (newer, "newer"),
    "gone": (gone, "monitord"),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_store_that_can_not_be_read_is_one_clear_page(browser: Chromium, tmp_path: Path, kind: str) -> None:
    """One line with what to do, and a button to try again; never a trace, never an empty page."""
    spoil, said = TROUBLES[kind]
    data_dir = tmp_path / "data"
    fill(data_dir, 1)
    spoil(data_dir)
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait("document.querySelector('.failed')")
        assert said in browser.ask("document.querySelector('.failed').innerText")
        assert browser.ask(button("Try again") + ".disabled") is False
        picture(browser, f"store-{kind}")
        assert "Traceback" not in server.log
        answer = server.ask("/api/incidents")
        assert answer.status in (404, 503)
        assert "\n" not in answer.json["error"]
    finally:
        server.stop()


def test_an_empty_store_says_that_nothing_went_wrong_yet(browser: Chromium, empty_server: WebServer) -> None:
    browser.visit(empty_server.address)
    browser.wait(f"{TEXT}.includes('Nothing went wrong yet')")
    picture(browser, "empty")
    assert browser.troubles() == []


def test_a_store_that_is_locked_says_so_and_comes_back_by_itself(browser: Chromium, tmp_path: Path) -> None:
    """Somebody else has it for themselves for a while, as a restore has; the page goes on when they let go."""
    data_dir = tmp_path / "data"
    fill(data_dir, 1)
    server = WebServer(data_dir)
    holder = sqlite3.connect(data_dir / "monitord.db", isolation_level=None, check_same_thread=False)
    try:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        browser.visit(server.address)
        browser.wait("document.querySelector('.failed')")
        assert "monitord.db" in browser.ask("document.querySelector('.failed').innerText")
        holder.execute("ROLLBACK")
        holder.close()
        browser.wait(ROWS)
        assert "Traceback" not in server.log
    finally:
        holder.close()
        server.stop()


def test_who_waits_for_the_recorder_holds_up_no_other_question(tmp_path: Path) -> None:
    """More of them than are answered at once; what is stored is told while all of them wait.

    They give up after 12 s: on a crowded machine it is tried again.
    """
    data_dir = tmp_path / "data"
    fill(data_dir, 1)
    may_end = threading.Event()

    def hangs(_since_ns: int, _until_ns: int) -> bytes:
        may_end.wait(PATIENCE_S)
        raise MonitordError("it hung")

    recorder = RequestServer(data_dir, no_snapshot, hangs)
    until = datetime.now(UTC)
    ends = urlencode({"since": (until - timedelta(seconds=40)).isoformat(), "until": until.isoformat()})
    deadline_s = time.monotonic() + PATIENCE_S
    with hold(data_dir / DAEMON_LOCK, "taken"), ThreadPoolExecutor(8) as crowd:
        recorder.open()
        server = WebServer(data_dir)

        def crowd_waits() -> bool:
            waiting = [crowd.submit(server.ask, f"/api/timeline/stacks?{ends}") for _ in range(8)]
            time.sleep(0.5)  # so long they are on their way
            for path in ("/api/incidents", f"/api/timeline/span?{ends}", "/api/recorder"):
                assert server.ask(path).status == 200
            all_wait = not any(one.done() for one in waiting)
            if all_wait:
                may_end.set()
            assert {one.result().status for one in waiting} == {404}
            return all_wait

        try:
            while not crowd_waits():
                assert time.monotonic() < deadline_s, "others were answered after those who wait"
                time.sleep(1)
        finally:
            may_end.set()
            server.stop()
            recorder.close()


def test_of_a_store_that_can_not_be_read_the_recorder_still_tells_the_last_seconds(
    browser: Chromium, tmp_path: Path
) -> None:
    """What is stored is refused with its reason; the stacks of a moment ago come from the recorder's box."""
    data_dir = tmp_path / "data"
    fill(data_dir, 1)
    damaged(data_dir)
    recorder = RequestServer(data_dir, no_snapshot, document)
    with hold(data_dir / DAEMON_LOCK, "taken"):
        recorder.open()
        server = WebServer(data_dir)
        try:
            until = datetime.now(UTC)
            ends = urlencode(
                {"since": (until - timedelta(seconds=4)).isoformat(), "until": until.isoformat()}
            )
            refused = server.ask(f"/api/timeline/span?{ends}")
            told = server.ask(f"/api/timeline/stacks?{ends}")
            longer = urlencode(
                {"since": (until - timedelta(seconds=900)).isoformat(), "until": until.isoformat()}
            )
            part = server.ask(f"/api/timeline/stacks?{longer}")
            browser.visit(server.address)
            browser.wait("document.querySelector('.failed')")
            browser.visit(f"{server.url}timeline?from={until.timestamp() - 4}&to={until.timestamp()}")
            browser.wait(
                f"{TEXT}.includes(\"From the recorder's black box\") && document.querySelector('.frame')"
            )
            assert "monitord.db" in browser.ask(TEXT)
            picture(browser, "recorder-only")
        finally:
            server.stop()
            recorder.close()
    assert (refused.status, "monitord.db" in refused.json["error"]) == (503, True)
    assert told.status == 200
    assert told.json["origin"] == {"kind": "recorder", "scope": "machine"}
    assert part.json["origin"] == told.json["origin"]
    assert datetime.fromisoformat(part.json["since"]) > until - timedelta(seconds=200), "not of all of it"
    assert part.json["others"] == []
    assert {one["function"] for one in told.json["consumers"]} == {"led_loop", "began_loop"}
