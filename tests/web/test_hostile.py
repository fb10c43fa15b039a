"""Every text of everything stored, hostile at once, on every page of a real browser: it stays text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.storage.queries import RecentFilter, StoreReader
from monitord.web.routes import PAGES
from tests.cli.test_hostile_everywhere import filled, told  # noqa: F401  fixtures: what is planted
from tests.planting import is_safe
from tests.profiles.chromium import Chromium
from tests.web.serving import WebServer

SETTLED = "document.querySelector('main *') && !document.querySelector('.loading')"
BUILT = "document.querySelectorAll('main :is(img, script, style, object, embed, link, base, meta, audio, video), main b b, main iframe:not(.viewer)').length"
STRANGE_LINKS = "[...document.querySelectorAll('a[href], area, form[action]')].filter(one => new URL(one.href ?? one.action).origin !== location.origin).length"
INLINE = "[...document.querySelectorAll('*')].filter(one => [...one.attributes].some(each => each.name.startsWith('on'))).length"
OPEN = "document.querySelectorAll('main details').forEach(one => { one.open = true; })"


@pytest.fixture(scope="module")
def hostile(filled: Path) -> Iterator[WebServer]:  # noqa: F811  the fixture
    server = WebServer(filled)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def paths(filled: Path) -> list[str]:  # noqa: F811  the fixture
    """Every page; of those about an incident one for each kind of text."""
    with StoreReader(filled) as reader:
        ids = [record.correlation_id for record in reader.recent(RecentFilter(limit=None))]
    found = []
    for page in PAGES:
        if "{id}" not in page.path:
            found.append(page.path)
            continue
        for at, each in enumerate(ids):
            found.append(page.path.replace("{id}", each).replace("{other}", ids[at - 1]))
    return found


@pytest.mark.parametrize("width", [1400, 360])
def test_hostile_names_stay_text_on_every_page(
    browser: Chromium, hostile: WebServer, paths: list[str], width: int
) -> None:
    """No dialog, no request to elsewhere, no element made of a name, nothing invisible, nothing wider than the screen."""
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
    )
    browser.visit(hostile.address)
    browser.wait(SETTLED)
    for path in paths:
        browser.visit(hostile.url.rstrip("/") + path)
        browser.wait(SETTLED)
        browser.ask(OPEN)
        browser.wait(SETTLED)
        assert browser.ask(f"[{BUILT}, {STRANGE_LINKS}, {INLINE}]") == [0, 0, 0], path
        assert is_safe(browser.ask("document.body.innerText").replace("\t", "")), path
        assert browser.ask("document.documentElement.scrollWidth") <= width, path
    dialogs = [one for one in browser.events if one.get("method") == "Page.javascriptDialogOpening"]
    assert dialogs == []
    # data: the browser's own picture in a field for dates; the policy allows a page none.
    assert [
        url
        for url in browser.requests()
        if not url.startswith((hostile.url, f"blob:{hostile.url}", "about:", "data:"))
    ] == []
    refused = [
        one
        for one in browser.troubles()
        if "Content Security Policy" in one or "exceptionThrown" in one or "Trusted" in one
    ]
    assert refused == []
    assert "Traceback" not in hostile.log
