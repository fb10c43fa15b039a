"""The page in a real browser, by what a person does: opens it, narrows the list, looks at one, compares, copies.

More than 400 lines: all of them visit one server and one store, which take seconds to make.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.storage import open_store
from tests.profiles.chromium import Chromium
from tests.web.serving import WebServer
from tests.web.stores import fill, incident

PICTURES = os.environ.get("MONITORD_PICTURES")
ROWS = "[...document.querySelectorAll('tbody tr')].length"
TEXT = "document.querySelector('main').innerText"
PATH = "location.pathname"


@pytest.fixture
def opened(browser: Chromium, server: WebServer) -> Chromium:
    """The list, as the printed address opens it."""
    browser.visit(server.address)
    browser.wait(ROWS)
    return browser


def picture(browser: Chromium, name: str) -> None:
    if PICTURES:
        browser.screenshot(Path(PICTURES) / f"{name}.png")


def button(words: str) -> str:
    return f"[...document.querySelectorAll('button, [role=tab]')].find(one => one.textContent === {json.dumps(words)})"


def only_ours(browser: Chromium, server: WebServer) -> None:
    """No error, nothing that the policy refused, no request to anywhere else."""
    shown = [one for one in browser.troubles() if "speedscope" not in one]
    assert shown == []
    assert [
        url for url in browser.requests() if not url.startswith((server.url, f"blob:{server.url}", "about:"))
    ] == []


def test_the_printed_address_opens_the_list_and_leaves_no_token_in_it(
    opened: Chromium, server: WebServer
) -> None:
    assert opened.ask(ROWS) == 12
    assert opened.ask("location.href") == server.url
    assert server.token not in opened.ask(
        "JSON.stringify([document.cookie, {...localStorage}, document.documentElement.outerHTML])"
    )
    assert "12 incidents" in opened.ask(TEXT)
    opened.wait("document.getElementById('trouble').textContent.includes('nobody records here')")
    picture(opened, "list")
    only_ours(opened, server)


def test_without_the_token_it_asks_for_it_and_takes_the_address(browser: Chromium, server: WebServer) -> None:
    browser.visit(server.url)
    browser.wait("document.querySelector('input[type=password]')")
    assert "incident" not in browser.ask(TEXT)
    picture(browser, "token")
    browser.type("wrong")
    browser.press("Enter")
    browser.wait(f"{TEXT}.includes('monitord web') && document.querySelector('[role=alert]').textContent")
    browser.ask("document.querySelector('input').value = ''")
    browser.ask("document.querySelector('input').focus()")
    browser.type(server.address)
    browser.press("Enter")
    browser.wait(ROWS)


def test_the_list_narrows_by_each_filter_and_the_address_keeps_them(
    opened: Chromium, server: WebServer
) -> None:
    """By text, process, trigger, rule, cause and time; what no row has says so."""
    opened.press("/")
    opened.type("import_orders")
    opened.wait(f"{ROWS} > 0 && {ROWS} < 12")
    assert opened.ask(
        "[...document.querySelectorAll('tbody th')].every(one => one.innerText.includes('import_orders.py'))"
    )
    assert opened.ask("location.search") == "?text=import_orders"
    opened.visit(opened.ask("location.href"))
    opened.wait(f"{ROWS} > 0 && {ROWS} < 12")
    assert opened.ask("document.querySelector('input[type=search]').value") == "import_orders"
    for words, count in (
        ("metric=disk_io", 2),
        ("rule=cpu-hog", 12),
        ("cause=lock", 3),
        ("process=rsync", 2),
        ("since=15min", 2),
        ("until=2h", 0),
        ("function=validate", 12),
        ("function=nothing", 0),
        ("user=alice", 12),
        ("unit=app.service", 12),
        ("pinned=1", 0),
    ):
        opened.visit(f"{server.url}?{words}")
        opened.wait(f"{ROWS} === {count} && (!{count} ? {TEXT}.includes('No incident matches') : true)")
    opened.visit(f"{server.url}?rule=cpu-hgo")
    opened.wait(f"{TEXT}.includes('No incident matches')")
    assert "cannot find rule 'cpu-hgo'; there are: cpu-hog, " in opened.ask(TEXT)
    opened.visit(f"{server.url}?since=never")
    opened.wait("document.querySelector('[role=alert]')")
    assert "never" in opened.ask("document.querySelector('[role=alert]').innerText")
    assert opened.ask("document.querySelector('[role=alert]').innerText.includes('Try again')")


def test_a_row_opens_by_click_and_by_keys_and_back_returns(opened: Chromium, server: WebServer) -> None:
    opened.click("document.querySelector('tbody tr').lastElementChild")
    opened.wait(
        f"{PATH}.startsWith('/incidents/') && document.querySelector('h1') && {TEXT}.includes('Where the time went')"
    )
    opened.ask("history.back()")
    opened.wait(f"{PATH} === '/' && {ROWS} === 12")
    opened.press("j")
    opened.press("j")
    opened.press("k")
    assert opened.ask("document.activeElement.closest('tr').rowIndex") == 1
    opened.press("Enter")
    opened.wait(f"{PATH}.startsWith('/incidents/')")
    only_ours(opened, server)


def test_an_incident_says_verdict_strip_flame_graph_what_was_captured_and_what_not(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    opened.visit(f"{server.url}incidents/{stored[1][0]}")
    opened.wait("document.querySelector('.frame') && document.querySelector('.strip')")
    text = opened.ask(TEXT)
    assert "waited for the lock of /var/lib/shop.db, which backup (pid 411) held" in opened.ask(
        "document.querySelector('.lead').innerText"
    )
    for said in (
        "import_orders.py",
        "181 %",
        "cause: lock",
        "black box",
        "py-spy 0.4.3",
        "permission denied",
        "sudo sysctl kernel.perf_event_paranoid=1",
        "alert",
    ):
        assert said in text, said
    assert opened.ask("[...document.querySelectorAll('.legend li')].map(one => one.innerText)")[:2] == [
        "validate",
        "price_basket",
    ]
    frames = opened.ask("[...document.querySelectorAll('.frame')].map(one => one.textContent)")
    assert {"all", "<module>", "validate"} <= set(frames)
    picture(opened, "incident")
    opened.click(button("Functions"))
    opened.wait(
        "[...document.querySelectorAll('.card code')].some(one => one.textContent === '/srv/shop/shop.py:6')"
    )
    opened.click(
        "[...document.querySelectorAll('summary')].find(one => one.textContent.startsWith('Explained'))"
    )
    opened.wait("document.querySelectorAll('.sentences li').length > 2")
    only_ours(opened, server)


def test_speedscope_opens_the_profile_from_the_pages_memory(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    opened.visit(f"{server.url}incidents/{stored[1][4]}")
    opened.wait("document.querySelector('.frame')")
    opened.click(button("speedscope"))
    opened.wait("document.querySelector('iframe')?.contentDocument?.querySelectorAll('canvas').length > 1")
    picture(opened, "speedscope")
    only_ours(opened, server)


def test_two_are_compared_and_both_stand_in_one_graph(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    opened.visit(f"{server.url}incidents/{stored[1][0]}")
    opened.wait("[...document.querySelectorAll('a')].some(one => one.pathname.includes('/compare/'))")
    opened.ask("[...document.querySelectorAll('a')].find(one => one.pathname.includes('/compare/')).click()")
    opened.wait(
        f"{PATH}.includes('/compare/') && document.querySelector('.frame') && {TEXT}.includes('Before')"
    )
    picture(opened, "compare")
    only_ours(opened, server)
    opened.visit(f"{server.url}incidents/{stored[1][0]}/compare/baseline")
    opened.wait(f"{TEXT}.includes('cannot find a baseline')")


def test_the_summary_is_copied_with_the_function_in_it(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    opened.permit(server.url, "clipboardReadWrite", "clipboardSanitizedWrite")
    opened.visit(f"{server.url}incidents/{stored[1][4]}")
    opened.wait("document.querySelector('.frame')")
    opened.click(button("Copy summary"))
    opened.wait(f"{TEXT}.includes('copied, redacted')")
    opened.ask("navigator.clipboard.readText().then(text => { document.title = 'held:' + text; })")
    held = opened.wait("document.title.startsWith('held:')") and opened.ask("document.title")
    assert "validate" in held
    assert "alice" not in held


def test_what_is_stored_meanwhile_appears_by_itself(browser: Chromium, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir, 2)
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait(f"{ROWS} === 2")
        store = open_store(data_dir)
        store.save_incident(incident(0, datetime.now(UTC)))
        store.close()
        browser.wait(f"{ROWS} === 3")
        assert browser.ask("document.querySelector('tbody tr').className") == "new"
        assert "1 new incident" in browser.ask("document.getElementById('announced').textContent")
        only_ours(browser, server)
    finally:
        server.stop()


def test_with_leave_to_act_it_pins_and_notes_and_writes_both_down(browser: Chromium, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (correlation_id,) = fill(data_dir, 1)
    server = WebServer(data_dir, "--allow-actions")
    try:
        browser.visit(server.address)
        browser.wait(ROWS)
        browser.visit(f"{server.url}incidents/{correlation_id}")
        browser.wait(button("Keep"))
        browser.click(button("Keep"))
        browser.wait(button("Let go"))
        browser.ask("document.querySelector('textarea').focus()")
        browser.type("it was the import")
        browser.click(button("Leave the note"))
        browser.wait(
            "[...document.querySelectorAll('section.card p')].some(one => one.innerText.includes('it was the import'))"
        )
        stored = server.ask(f"/api/incidents/{correlation_id}").json
        assert (stored["pinned"], stored["annotations"][0]["text"]) == (True, "it was the import")
        only_ours(browser, server)
    finally:
        server.stop()


def test_it_fits_a_phone(opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]) -> None:
    """360 pixels: nothing is wider, and what is left out of rows stands in the incident."""
    opened.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    for path in (
        "",
        f"incidents/{stored[1][0]}",
        f"incidents/{stored[1][0]}/compare/{stored[1][5]}",
        "nothing",
    ):
        opened.visit(server.url + path)
        opened.wait("document.querySelector('main h1') && !document.querySelector('.loading')")
        assert opened.ask("document.documentElement.scrollWidth") == 360, path
        assert (
            opened.ask(
                "[...document.querySelectorAll('button, input, select')].filter(one => one.getBoundingClientRect().right > 361).length"
            )
            == 0
        )


def test_every_control_has_a_name_and_every_table_a_caption(
    opened: Chromium, server: WebServer, stored: tuple[Path, list[str]]
) -> None:
    """Those that a screen reader says."""
    for path in ("", f"incidents/{stored[1][0]}", f"incidents/{stored[1][0]}/compare/{stored[1][5]}"):
        opened.visit(server.url + path)
        opened.wait("document.querySelector('main h1') && !document.querySelector('.loading')")
        nameless = opened.ask(
            "[...document.querySelectorAll('button, input, select, textarea, a, iframe')].filter(one => "
            "!(one.textContent.trim() || one.getAttribute('aria-label') || one.title || one.labels?.length)).map(one => one.outerHTML)"
        )
        assert nameless == []
        assert opened.ask("[...document.querySelectorAll('table')].every(one => one.caption?.textContent)")
        assert opened.ask("document.querySelectorAll('h1').length") == 1


def test_it_is_dark_where_the_desktop_is(browser: Chromium, server: WebServer) -> None:
    browser.is_dark(True)
    browser.visit(server.address)
    browser.wait(ROWS)
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(", "))) < 150
    picture(browser, "dark")


def test_all_that_is_older_is_shown_once_also_what_happened_at_one_moment(
    browser: Chromium, tmp_path: Path
) -> None:
    """130 of one moment, more than a page, with others before and behind them."""
    data_dir, now = tmp_path / "data", datetime.now(UTC)
    store = open_store(data_dir)
    try:
        moments = [now - timedelta(hours=2)] * 130 + [
            now - timedelta(minutes=number) for number in range(1, 61)
        ]
        made = [incident(number, at) for number, at in enumerate([now - timedelta(hours=9), *moments])]
        for one in made:
            store.save_incident(one)
    finally:
        store.close()
    server = WebServer(data_dir)
    try:
        browser.visit(server.address)
        browser.wait(f"{ROWS} >= 100")
        browser.wait(f"(window.scrollTo(0, document.body.scrollHeight), {ROWS} === {len(made)})")
        shown = browser.ask(
            "[...document.querySelectorAll('tbody tr a')].map(one => one.pathname.split('/').pop())"
        )
        assert sorted(shown) == sorted(one.correlation_id for one in made)
        assert browser.ask(button("Show older") + ".hidden")
    finally:
        server.stop()
