"""The whole story in a real browser: a spike appears by itself, is looked at, copied, captured again and compared."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.flow.recorder import Recorder
from tests.profiles.chromium import Chromium
from tests.web.serving import WebServer

SECRET = "hunter2-" + "s3cret-word"
ROWS = "document.querySelectorAll('tbody tr').length"
TEXT = "document.querySelector('main').innerText"


def button(words: str) -> str:
    return f"[...document.querySelectorAll('button')].find(one => one.textContent === {json.dumps(words)})"


def test_a_spike_is_seen_understood_copied_captured_again_and_compared(
    recorder: Callable[..., Recorder], browser: Chromium
) -> None:
    recording = recorder().start()
    server = WebServer(recording.data_dir, "--allow-actions", "--config", str(recording.config))
    try:
        _story(browser, server, recording)
    finally:
        server.stop()


def _story(browser: Chromium, server: WebServer, recording: Recorder) -> None:
    browser.permit(server.url, "clipboardReadWrite", "clipboardSanitizedWrite")
    browser.visit(server.address)
    browser.wait(f"{TEXT}.includes('Nothing went wrong yet')")
    recording.python("burn.py", "100", "120", f"--password={SECRET}")

    browser.wait(f"{ROWS} > 0")  # by itself: nobody loads the page anew
    browser.click("document.querySelector('tbody tr a')")
    browser.wait(f"location.pathname.startsWith('/incidents/') && {TEXT}.includes('burn.py')")
    browser.wait("[...document.querySelectorAll('.frame')].some(one => one.textContent === 'guilty_loop')")
    first = browser.ask("location.pathname")
    assert "guilty_loop" in browser.ask("document.querySelector('.lead').innerText")

    browser.click(button("Copy summary"))
    browser.wait(f"{TEXT}.includes('copied, redacted')")
    browser.ask("navigator.clipboard.readText().then(text => { document.title = 'held:' + text; })")
    browser.wait("document.title.startsWith('held:')")
    held = browser.ask("document.title")
    assert "guilty_loop" in held
    assert SECRET not in held
    assert SECRET not in browser.ask("document.documentElement.outerHTML")

    browser.click(button("Capture again"))
    browser.wait(f"{TEXT}.includes('compare both')")
    browser.ask("[...document.querySelectorAll('a')].find(one => one.textContent === 'compare both').click()")
    browser.wait(
        f"location.pathname.includes('/compare/') && {TEXT}.includes('What changed') && document.querySelector('.frame')"
    )
    both = browser.ask("[...document.querySelectorAll('.grid a')].map(one => one.pathname)")
    assert len(set(both)) == 2
    assert first in both
    events = recording.ask("events", "--type", "daemon")
    acts = [
        event["payload"]["what"] for event in events if event["payload"].get("what", "").startswith("web")
    ]
    assert acts == ["web capture again"]
