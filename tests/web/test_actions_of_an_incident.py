"""What a person does on an incident's page: explain, reveal, save the report; with a mouse and with keys alone."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from monitord.storage import open_store
from monitord.storage.ids import short_id
from tests.cli.conftest import make_incident
from tests.cli.test_hostile_everywhere import hostile_incident
from tests.patience import PATIENCE_S
from tests.planting import HOSTILE, is_safe
from tests.profiles.chromium import Chromium
from tests.web.browsing import READY, TEXT, button, logged_in, only_ours, picture, sized, visit
from tests.web.serving import WebServer
from tests.web.stores import speedscope

SECRET = "hunter2-9f8e7d6c5b4a"
NOW = datetime.now(UTC)
SENTENCES = "document.querySelectorAll('.sentences li').length"
SUMMARY = (
    "[...document.querySelectorAll('summary')].find(one => one.textContent === 'Explained in sentences')"
)
FOCUSED = "document.activeElement.textContent"
BY_HAND = ("Copy summary", "Save report", "Where it lies", "Explained in sentences")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A usual incident with a secret in its command line, and one whose every text is hostile, of each kind."""
    data_dir = tmp_path_factory.mktemp("acted") / "data"
    made = {
        kind: hostile_incident(text, NOW - timedelta(minutes=number + 2))
        for number, (kind, text) in enumerate(HOSTILE.items())
    }
    words = ("python3", "/srv/app/main.py", "--password", SECRET)
    usual = make_incident(command_line=words, at=NOW - timedelta(minutes=1))
    context, profile, missing = usual.captures
    made["usual"] = replace(usual, captures=(context, replace(profile, payload=speedscope()), missing))
    with closing(open_store(data_dir)) as store:
        for incident in made.values():
            store.save_incident(incident)
    return data_dir, {kind: incident.correlation_id for kind, incident in made.items()}


@pytest.fixture(scope="module")
def server(stored: tuple[Path, dict[str, str]]) -> Iterator[WebServer]:
    server = WebServer(stored[0])
    yield server
    server.stop()


@pytest.fixture
def page(browser: Chromium, server: WebServer, tmp_path: Path) -> Chromium:
    browser.saves_to(downloads(tmp_path))
    return logged_in(browser, server)


def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir(exist_ok=True)
    return folder


def downloaded(page: Chromium, tmp_path: Path) -> tuple[str, str]:
    """The name under which the browser was given a file, and its text, when it is whole."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (ended := [one for one in told(page, "downloadProgress") if one["state"] != "inProgress"]):
        assert time.monotonic() < deadline_s, "nothing was downloaded"
        page.ask("document.title")  # what the browser tells meanwhile is read
        time.sleep(0.05)
    assert [one["state"] for one in ended] == ["completed"]
    (begun,) = told(page, "downloadWillBegin")
    return begun["suggestedFilename"], (downloads(tmp_path) / begun["guid"]).read_text()


def told(page: Chromium, event: str) -> list[dict[str, Any]]:
    return [one["params"] for one in page.events if one.get("method") == f"Browser.{event}"]


def shown_place(page: Chromium) -> str:
    page.wait(f"{TEXT}.includes('it lies in ')")
    return str(page.ask("document.querySelector('.actions [role=status] code').textContent"))


def reached(page: Chromium, words: str) -> None:
    """Go on with Tab until it has the focus, as who uses no mouse does."""
    for _ in range(80):
        page.press("Tab")
        if page.ask(FOCUSED) == words:
            return
    raise AssertionError(f"no Tab leads to {words!r}")


def test_explain_reveal_and_report_with_a_mouse(
    page: Chromium, server: WebServer, stored: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """Sentences appear, the path that is shown holds the evidence, the file has the verdict and no secret."""
    data_dir, ids = stored
    for width in (1280, 360):
        sized(page, width)
        visit(page, server, f"incidents/{ids['usual']}", f"{READY} && {SUMMARY}")
        page.click(SUMMARY)
        page.wait(f"{SENTENCES} > 2")
        page.click(button("Where it lies"))
        place = Path(shown_place(page))
        assert place.is_file()
        assert place.is_relative_to(data_dir)
        assert page.ask("document.documentElement.scrollWidth") <= width
        picture(page, f"acted-{width}")
    page.click(button("Save report"))
    page.wait(f"{TEXT}.includes('saved, redacted')")
    name, written = downloaded(page, tmp_path)
    assert name == f"{short_id(ids['usual'])}.report.html"
    text = html.unescape(written)
    told = server.ask(f"/api/incidents/{ids['usual']}").json
    assert told["verdict"] in text
    assert "fibonacci" in text
    assert SECRET not in written
    assert SECRET not in text
    only_ours_but_blobs(page, server)


def only_ours_but_blobs(page: Chromium, server: WebServer) -> None:
    """What is saved is a blob of this page's own."""
    page.events = [one for one in page.events if f"blob:{server.url}" not in json.dumps(one)]
    only_ours(page, server)


def test_all_of_it_is_reached_and_done_with_keys_alone(
    page: Chromium, server: WebServer, stored: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """In the order in which it stands, with a focus that is seen; each says aloud what came of it."""
    visit(page, server, f"incidents/{stored[1]['usual']}", f"{READY} && {SUMMARY}")
    page.ask("document.activeElement.blur()")
    order = []
    for words in BY_HAND:
        reached(page, words)
        order.append(words)
        outline = "getComputedStyle(document.activeElement)"
        assert page.ask(f"{outline}.outlineStyle !== 'none' || {outline}.boxShadow !== 'none'"), words
        if words == "Where it lies":
            page.press("Enter")
            assert Path(shown_place(page)).is_file()
            assert page.ask("document.querySelector('.actions [role=status]').textContent").startswith(
                "it lies in "
            )
        if words == "Save report":
            page.press(" ")
            page.wait("document.querySelector('.actions [role=status]').textContent === 'saved, redacted'")
            assert SECRET not in downloaded(page, tmp_path)[1]
            assert page.ask(FOCUSED) == words, "who came by keys goes on from there"
        if words == "Explained in sentences":
            page.press("Enter")
            page.wait(f"{SENTENCES} > 2")
    assert tuple(order) == BY_HAND


class _Elements(HTMLParser):
    """The tags of a page, and the attributes that run something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.running += [
            name for name, value in attributes if name.startswith("on") or "javascript:" in (value or "")
        ]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_stay_text_through_all_three(
    kind: str, page: Chromium, server: WebServer, stored: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """On the page and in the file; the file is named by us, and the path is one of ours."""
    data_dir, ids = stored
    sized(page, 360)
    visit(page, server, f"incidents/{ids[kind]}", f"{READY} && {SUMMARY}")
    page.click(SUMMARY)
    page.wait(f"{SENTENCES} > 1")
    page.click(button("Where it lies"))
    place = shown_place(page)
    assert Path(place).is_relative_to(data_dir)
    page.click(button("Save report"))
    page.wait(f"{TEXT}.includes('saved, redacted')")
    name, written = downloaded(page, tmp_path)
    assert name == f"{short_id(ids[kind])}.report.html"
    assert is_safe(page.ask("document.body.innerText").replace("\t", ""))
    assert page.ask("document.querySelectorAll('main :is(img, script, object, embed)').length") == 0
    assert page.ask("document.documentElement.scrollWidth") <= 360
    elements = _Elements()
    elements.feed(written)
    assert elements.tags.isdisjoint({"img", "iframe", "object", "embed", "link", "base"})
    assert elements.running == []
    assert [one for one in page.events if one.get("method") == "Page.javascriptDialogOpening"] == []
    only_ours_but_blobs(page, server)
    picture(page, f"acted-{kind}")
