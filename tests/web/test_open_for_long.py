"""A page that stays open, of incidents that are days old: what comes later, what fails, what has no room."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.storage import open_store
from tests.profiles.chromium import Chromium
from tests.web.browsing import TEXT, button, logged_in, only_ours
from tests.web.serving import WebServer
from tests.web.stores import fill, incident

ROWS = "[...document.querySelectorAll('tbody tr')].length"


@pytest.fixture
def opened(browser: Chromium, server: WebServer) -> Chromium:
    browser.visit(server.address)
    browser.wait(ROWS)
    return browser


def test_a_row_takes_up_what_comes_after_its_alert(browser: Chromium, tmp_path: Path) -> None:
    """Stored without a function, then with its profile: the row says it by itself, and keeps the focus."""
    data_dir = tmp_path / "data"
    fill(data_dir, 2)
    whole = incident(0, datetime.now(UTC))
    bare = replace(whole, captures=tuple(replace(one, hotspots=()) for one in whole.captures))
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait(f"{ROWS} === 2")
        store = open_store(data_dir)
        store.save_incident(bare)
        first = "document.querySelector('tbody tr')"
        browser.wait(f"{ROWS} === 3 && !{first}.innerText.includes('validate')")
        browser.ask(f"{first}.querySelector('a').focus()")
        store.save_incident(whole)
        store.close()
        browser.wait(f"{first}.innerText.includes('validate')")
        assert browser.ask(f"{ROWS} === 3 && {first}.contains(document.activeElement)")
        only_ours(browser, server)
    finally:
        server.stop()


HOLDING = """
window.let_go = {{}};
const ask = window.fetch;
window.fetch = async (...of) => {{
    const got = await ask(...of);
    const path = new URL(of[0].url ?? of[0], location).pathname;
    if ({condition}) await new Promise((go) => {{ window.let_go[path] = go; }});
    return got;
}};
"""


def test_what_is_begun_while_the_page_asks_by_itself_is_not_broken_off(
    browser: Chromium, tmp_path: Path
) -> None:
    """Its answer came with the profile, and the page drawn anew said nothing of what was being done."""
    data_dir = tmp_path / "data"
    fill(data_dir, 1)
    whole = incident(0, datetime.now(UTC))
    bare = replace(whole, captures=tuple(one for one in whole.captures if one.role != "profile"))
    with closing(open_store(data_dir)) as store:
        store.save_incident(bare)
    status = {"taken_at": datetime.now(UTC), "pid": 1, "pending": [bare.correlation_id]}
    path = f"/api/incidents/{bare.correlation_id}"
    server = WebServer(data_dir, "--allow-actions")
    try:
        with hold(data_dir / DAEMON_LOCK, "taken"):
            write_status(data_dir, status)
            logged_in(browser, server).visit(f"{server.url}incidents/{bare.correlation_id}")
            browser.wait(f"{TEXT}.includes('Keep')")
            is_news = f"path === '{path}' && (await got.clone().json()).pending === null"
            browser.ask(HOLDING.format(condition=f"({is_news}) || path === '{path}/pin'"))
            browser.ask("document.querySelector('h1').dataset.mark = 'first'")
            write_status(data_dir, {**status, "pending": []})
            browser.wait(f"window.let_go['{path}']")
            browser.click(button("Keep"))
            browser.wait(f"window.let_go['{path}/pin']")
            browser.ask(f"window.let_go['{path}']()")
            time.sleep(0.5)
            assert browser.ask("document.querySelector('h1').dataset.mark") == "first"
            browser.ask(f"window.fetch = ask; window.let_go['{path}/pin']()")
            browser.wait("document.querySelector('h1:not([data-mark])')")
    finally:
        server.stop()


def test_what_is_pointed_at_while_the_page_asks_by_itself_stays(opened: Chromium, server: WebServer) -> None:
    """The rules were drawn anew under the keyboard of who had come to one since they were asked for."""
    opened.visit(server.url + "rules")
    opened.wait("document.querySelector('section[aria-label=\"Rules in force\"] button')")
    opened.ask(HOLDING.format(condition="path === '/api/rules'"))
    opened.wait("window.let_go['/api/rules']")
    opened.ask("document.querySelector('section[aria-label=\"Rules in force\"] button').focus()")
    opened.ask("window.let_go['/api/rules']()")
    time.sleep(0.5)
    assert opened.ask("document.activeElement.tagName") == "BUTTON"


def test_how_long_ago_it_was_grows_on_every_page(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    """Who leaves a page open is not told the age that it had then."""
    for path in ("", f"incidents/{stored[1][0]}", "rules"):
        opened.visit(server.url + path)
        opened.wait("document.querySelector('main .age')")
        opened.ask(
            "for (const age of document.querySelectorAll('main .age'))"
            " age.dataset.at = new Date(Date.now() - 36e5).toISOString()"
        )
        opened.wait("document.querySelector('main .age').textContent === '60 min ago'")


def test_what_could_not_be_saved_or_shown_is_said(browser: Chromium, tmp_path: Path) -> None:
    """The server is gone: a download and older rows say so where they were asked for."""
    data_dir = tmp_path / "data"
    (*_, correlation_id) = fill(data_dir, 120)
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait(ROWS)
        browser.ask("window.IntersectionObserver = class { observe() {} disconnect() {} }")
        browser.ask("document.querySelector('#pages a').click()")
        browser.wait(f"{ROWS} === 100")
        server.stop()
        browser.ask(button("Show older") + ".click()")
        browser.wait("document.querySelector('main [role=alert]')?.innerText.includes('No answer')")
        assert browser.ask(ROWS) == 100
    finally:
        server.stop()
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait(ROWS)
        browser.visit(f"{server.url}incidents/{correlation_id}")
        browser.wait("document.querySelector('.frame')")
        server.stop()
        browser.click(button("pprof"))
        browser.wait(f"{TEXT}.includes('not saved')")
    finally:
        server.stop()


def test_the_keys_of_each_page_are_told_and_a_page_that_only_reads_says_how_to_act(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    for path, ready, told in (
        ("", ROWS, "next row"),
        ("timeline", f"{TEXT}.includes('No history yet')", "zoom in"),
        (f"incidents/{stored[1][0]}", "document.querySelector('.frame')", "flame graph"),
    ):
        opened.visit(server.url + path)
        opened.wait(f"document.querySelector('main h1') && ({ready})")
        opened.press("?")
        opened.wait(f"document.querySelector('dialog')?.innerText.includes({json.dumps(told)})")
    assert "monitord web --allow-actions" in opened.ask(TEXT)


# Values that stand on each other: cells of one row whose texts cross.
CROSSING = """
[...document.querySelectorAll('main tbody tr')].flatMap(row => {
  const boxes = [...row.children].map(cell => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return [...range.getClientRects()].filter(one => one.width > 1 && one.height > 1);
  });
  return boxes.flatMap((some, at) => boxes.slice(at + 1).flatMap(others => some.flatMap(a => others.filter(b =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 6 && b.top < a.bottom - 6).map(() => row.innerText))));
})
"""


def test_what_is_days_old_has_room_at_every_width(browser: Chromium, tmp_path: Path) -> None:
    """A whole date is longer than a time of today: no row's values stand on each other, none beside the page."""
    data_dir = tmp_path / "data"
    store = open_store(data_dir)
    made = [incident(number, datetime.now(UTC) - timedelta(days=2, minutes=number)) for number in range(5)]
    for one in made:
        store.save_incident(one)
    store.close()
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait(ROWS)
        for width in (360, 500, 650, 768, 870, 1024, 1400):
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=900, deviceScaleFactor=1, mobile=width < 500,
            )  # fmt: skip
            for path in ("", "rules?since=7d", "functions", f"incidents/{made[0].correlation_id}"):
                browser.visit(server.url + path)
                browser.wait("document.querySelector('main tbody tr') && !document.querySelector('.loading')")
                assert browser.ask("document.documentElement.scrollWidth - innerWidth") <= 0, (path, width)
                assert browser.ask(CROSSING) == [], (path, width)
    finally:
        server.stop()
