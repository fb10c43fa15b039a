"""What holds of each page of the machine: on a phone and a wall, read aloud, in the dark, empty, damaged, hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.storage import open_store
from tests.cli.test_hostile_everywhere import (
    hostile_events,
    hostile_incident,
    hostile_pass,
    hostile_state,
    hostile_status,
)
from tests.cli.test_recorder import recorder
from tests.planting import HOSTILE
from tests.profiles.chromium import Chromium
from tests.web.browsing import READY, TEXT, button, logged_in, only_ours, picture, sized, visit
from tests.web.machines import NOW_S, machine, page, shown
from tests.web.serving import WebServer

__all__ = ["machine", "page", "shown"]
PAGES = ("timeline", "functions", "rules", "recorder")
FOREIGN = "main script, main img, main iframe, main object, main style"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone_and_a_wall(path: str, page: Chromium, shown: WebServer) -> None:
    """From 360 to 2,560 pixels nothing stands beside the screen."""
    for width in (360, 700, 1400, 2560):
        sized(page, width)
        visit(page, shown, f"{path}?from={NOW_S - 7000}&to={NOW_S - 4000}", READY)
        assert page.ask("document.documentElement.scrollWidth - innerWidth") <= 0, width
        picture(page, f"{path}-{width}")


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_can_be_used_has_a_name_and_every_page_its_heading(
    path: str, page: Chromium, shown: WebServer
) -> None:
    """A screen reader finds one first heading, captions of tables, and a name of each field, button and picture."""
    visit(page, shown, f"{path}?from={NOW_S - 7000}&to={NOW_S - 4000}", READY)
    page.wait("document.querySelectorAll('h1').length === 1")
    nameless = page.ask(
        "[...document.querySelectorAll('main :is(button, a, input, select, textarea, summary, [role=img], [role=group], [role=listbox], table)')]"
        ".filter(one => !(one.getAttribute('aria-label') || one.innerText?.trim() || one.labels?.length || one.caption || one.querySelector('[aria-label]')))"
        ".map(one => one.outerHTML.slice(0, 200))"
    )
    assert nameless == []


def test_the_pages_are_dark_where_the_system_is(page: Chromium, shown: WebServer) -> None:
    """In the dark the page is dark, and the chart's lines are drawn in colours of their own."""
    light: list[float] = []
    for dark in (False, True):
        page.is_dark(dark)
        page.visit("about:blank")
        visit(page, shown, "timeline", "document.querySelector('.u-over')")
        paint = page.ask("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        light.append(sum(paint) / 3)
        picture(page, f"timeline-{'dark' if dark else 'light'}")
    assert light[0] > 200
    assert light[1] < 60


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("timeline", "No history yet"),
        ("functions", "No function is known yet"),
        ("rules", "Nobody records"),
        ("recorder", "none yet"),
    ],
)
def test_an_empty_store_says_what_comes_next(
    path: str, said: str, browser: Chromium, empty_server: WebServer
) -> None:
    """Before anything was recorded each page is whole, and says how something would come there."""
    logged_in(browser, empty_server)
    visit(browser, empty_server, path, f"{READY} && {TEXT}.includes({json.dumps(said)})")
    only_ours(browser, empty_server)


@pytest.mark.parametrize("path", ["timeline", "functions"])
def test_a_damaged_store_is_an_error_with_a_way_back(path: str, browser: Chromium, tmp_path: Path) -> None:
    """What can't be read is said in the page, with the cure, and can be tried again."""
    data_dir = tmp_path / "data"
    open_store(data_dir).close()
    (data_dir / "monitord.db").write_bytes(b"no database" * 1000)
    server = WebServer(data_dir)
    try:
        logged_in(browser, server)
        visit(browser, server, path, "document.querySelector('main .failed')")
        assert browser.ask(f"!!{button('Try again')}")
        assert "monitord" in browser.ask("document.querySelector('.failed').innerText")
    finally:
        server.stop()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A store and a recorder whose every text is an attacker's."""
    data_dir = tmp_path_factory.mktemp("hostile") / "data"
    store = open_store(data_dir)
    for number, text in enumerate(HOSTILE.values()):
        store.save_incident(hostile_incident(text, datetime.now(UTC)))
        store.add_history([hostile_pass(text)])
        store.events.store_events(list(hostile_events(text)))
        hostile_state(store, text, number)
    store.close()
    status = hostile_status({}, list(HOSTILE.values()))
    with recorder(data_dir, **status):
        server = WebServer(data_dir)
        yield server
        server.stop()


@pytest.mark.parametrize("path", PAGES)
def test_hostile_names_stay_text_on_every_page(path: str, browser: Chromium, hostile: WebServer) -> None:
    """Markup, controls, bidi marks, long words: shown, and nothing of them runs, loads or pushes the page wide."""
    logged_in(browser, hostile)
    sized(browser, 360)
    visit(browser, hostile, f"{path}?period=1h&from={NOW_S - 300}&to={NOW_S + 600}", READY)
    browser.wait(f"{TEXT}.length > 100")
    assert browser.ask("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.ask(f"document.querySelectorAll({json.dumps(FOREIGN)}).length") == 0
    shown = browser.ask(TEXT)
    assert not [mark for mark in "\x1b\x00\x07\u202e\u2066" if mark in shown]
    only_ours(browser, hostile)
    picture(browser, f"hostile-{path}")
