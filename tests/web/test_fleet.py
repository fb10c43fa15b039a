"""The page of the fleet in a real browser: what it tells, what it costs, what a hostile or damaged bucket does to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.made_fleet import EVERYWHERE, LAST_DAY, SMALL, Made, make_fleet
from monitord.storage import open_store
from tests.cli.test_fleet import hostile_fleet
from tests.planting import is_safe
from tests.profiles.chromium import Chromium
from tests.web.browsing import READY, TEXT, button, logged_in, only_ours, picture, sized, visit
from tests.web.serving import WebServer

SINCE = f"{LAST_DAY}T00:00:00Z"
UNTIL = f"{LAST_DAY}T23:59:59Z"
DAY = f"since={SINCE}&until={UNTIL}"
VIEWS = ("hosts", "recent", "hot", "same")
ROWS = "[...document.querySelectorAll('tbody tr')].length"
NAVIGATION = "[...document.querySelectorAll('#pages a')].map(one => one.textContent)"
FOREIGN = "main script, main img, main iframe, main object, main style"


def serve(folder: Path, url: str) -> WebServer:
    """A page over an empty store whose configuration has this bucket."""
    config = folder / "config.toml"
    config.write_text(f"[fleet]\nurl = {json.dumps(url)}\n" if url else "")
    open_store(folder / "data").close()
    return WebServer(folder / "data", before=("--config", str(config)))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Twenty hosts, with a torn file, foreign files and another version's columns among theirs."""
    return make_fleet(tmp_path_factory.mktemp("bucket"), 20, size=SMALL, traps=True)


@pytest.fixture(scope="module")
def server(fleet: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    server = serve(tmp_path_factory.mktemp("fleet-page"), fleet.root.as_uri())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Every text of every host is an attacker's."""
    made = hostile_fleet(tmp_path_factory.mktemp("evil"))
    server = serve(tmp_path_factory.mktemp("evil-page"), made.root.as_uri())
    yield server
    server.stop()


def test_the_four_questions_are_told_and_lead_to_each_other(
    browser: Chromium, server: WebServer, fleet: Made
) -> None:
    """Hosts, incidents, functions, what came at once; a row leads to the incidents that it is of."""
    logged_in(browser, server)
    visit(browser, server, f"fleet?{DAY}")
    assert browser.ask(NAVIGATION)[-1] == "Fleet"
    assert browser.ask(ROWS) == len(fleet.hosts)
    assert "passed over" in browser.ask(TEXT)
    visit(browser, server, f"fleet?view=hot&{DAY}")
    assert browser.ask(ROWS) > 5
    visit(browser, server, f"fleet?view=same&{DAY}")
    assert EVERYWHERE in browser.ask("document.querySelector('tbody tr').innerText")
    picture(browser, "fleet-same")
    browser.press("j")
    browser.press("Enter")
    browser.wait(f"location.search.includes('view=recent') && {READY} && {ROWS} > 1")
    hosts = browser.ask(
        "new Set([...document.querySelectorAll('tbody tr')].map(r => r.cells[1].innerText)).size"
    )
    assert hosts == len(fleet.struck)
    only_ours(browser, server)


def test_a_filter_is_asked_with_enter_and_kept_in_the_address(browser: Chromium, server: WebServer) -> None:
    """Nothing is asked while one types: each question reads a bucket."""
    logged_in(browser, server)
    visit(browser, server, f"fleet?view=recent&{DAY}")
    asked = len([url for url in browser.requests() if "/api/fleet/" in url])
    browser.press("/")
    browser.type("x")
    browser.ask("document.activeElement.value = ''")
    browser.ask(
        "[...document.querySelectorAll('label')].find(one => one.textContent === 'Host').control.focus()"
    )
    browser.type("host-0005")
    assert len([url for url in browser.requests() if "/api/fleet/" in url]) == asked
    browser.ask("document.querySelector('input').dispatchEvent(new Event('input'))")
    browser.press("Enter")
    browser.wait(f"location.search.includes('host=host-0005') && {READY}")
    seen = browser.ask(
        "[...new Set([...document.querySelectorAll('tbody tr')].map(r => r.cells[1].innerText))]"
    )
    assert seen == ["host-0005"]
    visit(browser, server, f"fleet?view=recent&host=nobody&{DAY}")
    assert "No incident matches" in browser.ask(TEXT)
    visit(browser, server, f"fleet?view=recent&rule=nope&{DAY}")
    assert "cannot find rule 'nope' among what these hosts shipped" in browser.ask(TEXT)


@pytest.mark.parametrize("view", VIEWS)
def test_it_fits_a_phone_and_everything_has_a_name(view: str, browser: Chromium, server: WebServer) -> None:
    """360 pixels; one first heading, captions, names of all that can be used."""
    logged_in(browser, server)
    for width in (360, 1400):
        sized(browser, width)
        visit(browser, server, f"fleet?view={view}&{DAY}")
        assert browser.ask("document.documentElement.scrollWidth - innerWidth") <= 0, width
        picture(browser, f"fleet-{view}-{width}")
    nameless = browser.ask(
        "[...document.querySelectorAll('main :is(button, a, input, select, table)')]"
        ".filter(one => !(one.innerText?.trim() || one.labels?.length || one.caption)).map(one => one.outerHTML.slice(0, 200))"
    )
    assert nameless == []
    assert browser.ask("document.querySelectorAll('h1').length") == 1


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_names_stay_text(view: str, browser: Chromium, hostile: WebServer) -> None:
    """Markup, controls, bidi marks, long words of foreign hosts: shown; nothing runs, loads, or pushes the page wide."""
    logged_in(browser, hostile)
    sized(browser, 360)
    visit(browser, hostile, f"fleet?view={view}&{DAY}")
    assert browser.ask(ROWS) > 0
    assert browser.ask("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.ask(f"document.querySelectorAll({json.dumps(FOREIGN)}).length") == 0
    assert is_safe(browser.ask("document.body.innerText").replace("\t", ""))
    only_ours(browser, hostile)


def test_without_a_bucket_it_is_not_in_the_navigation_and_says_how_to_name_one(
    browser: Chromium, empty_server: WebServer
) -> None:
    logged_in(browser, empty_server)
    visit(browser, empty_server, "fleet", f"{READY} && {TEXT}.includes('fleet.url')")
    assert "Fleet" not in browser.ask(NAVIGATION)
    only_ours(browser, empty_server)


def test_a_bucket_that_is_gone_is_an_error_with_a_way_back(browser: Chromium, tmp_path: Path) -> None:
    """The page says so in the server's words, and asks again when told to; errors are not kept."""
    bucket = tmp_path / "bucket"
    server = serve(tmp_path, bucket.as_uri())
    try:
        logged_in(browser, server)
        visit(browser, server, f"fleet?{DAY}", "document.querySelector('main .failed')")
        make_fleet(bucket, 2, size=SMALL)
        browser.click(button("Try again"))
        browser.wait(f"{ROWS} === 2")
    finally:
        server.stop()


def test_an_answer_holds_a_minute_and_a_question_is_bounded(tmp_path: Path) -> None:
    """What is shipped meanwhile is not seen when the same is asked again; a month at most, and no other bucket."""
    make_fleet(tmp_path / "bucket", 2, size=SMALL)
    server = serve(tmp_path, (tmp_path / "bucket").as_uri())
    try:
        first = server.ask(f"/api/fleet/hosts?{DAY}").json
        make_fleet(tmp_path / "bucket", 3, size=SMALL)
        assert server.ask(f"/api/fleet/hosts?{DAY}").json == first
        assert len(server.ask(f"/api/fleet/hosts?{DAY}&limit=50").json["rows"]) == 3
        for words in ("since=60d", f"{DAY}&url=file:///", f"{DAY}&limit=201", "since=never"):
            assert server.ask(f"/api/fleet/hosts?{words}").status == 400, words
        assert server.ask(f"/api/fleet/same?{DAY}&window_s=0").status == 400
        assert server.ask(f"/api/fleet/recent?{DAY}&metric=x").status == 400
    finally:
        server.stop()
