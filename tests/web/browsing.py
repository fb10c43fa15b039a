"""What tests do with a page in a browser: log in, go, drag, look; what it must not have done."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.profiles.chromium import Chromium
from tests.web.serving import WebServer

TEXT = "document.querySelector('main').innerText"
READY = "document.querySelector('.page') && !document.querySelector('.loading')"
PICTURES = os.environ.get("MONITORD_PICTURES")


def logged_in(browser: Chromium, server: WebServer) -> Chromium:
    """Let into a server; into one of before it is still let."""
    browser.visit(server.address)
    browser.wait("document.querySelector('.page') && localStorage.length")
    browser.visit("about:blank")
    return browser


def visit(browser: Chromium, server: WebServer, path: str, until: str = READY) -> None:
    browser.visit(f"{server.url}{path}")
    browser.wait(until)


def sized(browser: Chromium, width: int, height: int = 1100) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=width < 500,
    )


def picture(browser: Chromium, name: str) -> None:
    if PICTURES:
        browser.screenshot(Path(PICTURES) / f"{name}.png")


def button(words: str) -> str:
    return f"[...document.querySelectorAll('button')].find(one => one.textContent === {json.dumps(words)})"


def drag(browser: Chromium, selector: str, begin: float, end: float) -> None:
    """From one share of an element's width to another, as a mouse does."""
    left, top, width, height = browser.ask(
        f"(() => {{const r = {selector}.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]}})()"
    )
    y = top + height / 2
    for kind, share in (
        ("mousePressed", begin),
        ("mouseMoved", (begin + end) / 2),
        ("mouseMoved", end),
        ("mouseReleased", end),
    ):
        buttons = {"button": "left", "buttons": 1, "clickCount": 1}
        browser.call("Input.dispatchMouseEvent", type=kind, x=left + share * width, y=y, **buttons)


def only_ours(browser: Chromium, server: WebServer) -> None:
    assert browser.troubles() == []
    known = (
        server.url,
        "about:",
        "data:image/svg+xml",
    )  # the last: the browser's own picture in a field for dates
    assert [url for url in browser.requests() if not url.startswith(known)] == []
