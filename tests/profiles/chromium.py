"""A headless Chromium, driven over its debugging pipe: real keys, real clicks, the real DOM.

A session has one; each test has a page of its own in it. Where Debian's `chromium-headless-shell` is there, it is taken:
the same engine without windows, menus and services, which costs a quarter of the CPU for each page.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.burners import SESSION
from tests.patience import PATIENCE_S

SHELL = "chromium-headless-shell"


class Chromium:
    """One page at a time. Use as a context manager."""

    def __init__(self, program: str, folder: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        words = [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--window-size=1400,1000",
                 "--disable-background-networking", "--no-first-run", "--accept-lang=en-US,en", f"--user-data-dir={folder}", "about:blank"]  # fmt: skip
        # Its handler of crashes is nobody's child and ends with it: no module has left that running.
        environment = {name: value for name, value in os.environ.items() if name != SESSION}
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "chromium", *words],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=environment,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._waiting, self._number, self._session, self._context = b"", 0, "", ""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        return self.anew()

    def anew(self) -> Chromium:
        """Go on in a page that knows nothing of those before: no storage, cache, size, leave or history."""
        self._session, before = "", self._context
        if before:
            self.call("Target.disposeBrowserContext", browserContextId=before)
        self._context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context, width=1400, height=1000
        )["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def permit(self, origin: str, *permissions: str) -> None:
        """What a person would be asked."""
        words = {"origin": origin, "permissions": permissions, "browserContextId": self._context}
        self.call("Browser.grantPermissions", **words)

    def saves_to(self, folder: Path) -> None:
        """Where what a page saves goes, under its number; the events of it are heard."""
        words = {"behavior": "allowAndName", "downloadPath": str(folder), "eventsEnabled": True}
        self.call("Browser.setDownloadBehavior", **words, browserContextId=self._context)

    def is_dark(self, is_dark: bool) -> None:
        """What the desktop says of its colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("sessionId", self._session) == self._session:  # else of a page that was closed
            self.events.append(event)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            piece = os.read(self._read, 1 << 20)
            assert piece, "Chromium ended"
            self._waiting += piece
        message, _end, self._waiting = self._waiting.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path) -> None:
        self.visit(path.as_uri())

    def visit(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        before = len(self.events)
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events[before:]):
            self._hear(self._next())

    def wait(self, expression: str) -> Any:
        """Wait until a JavaScript expression has a value that counts, and return it."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (found := self.ask(f"!!({expression})")):
            assert time.monotonic() < deadline_s, (
                f"{expression} never held:\n{self.ask('document.body.innerText')}"
            )
            time.sleep(0.02)
        return found

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """A key with a name (`Escape`, `ArrowDown`), or a character."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        codes = {
            "Tab": 9,
            "Enter": 13,
            "Escape": 27,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        shared = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def type(self, words: str) -> None:
        for character in words:
            self.press(character)

    def click(self, selector: str) -> None:
        """In its middle, when it is there and lies still: what is loaded draws it anew, or pushes it down."""
        middle = (
            f"(() => {{const e = {selector}; if (!e) return null;"
            " e.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]})()"
        )
        place, deadline_s = None, time.monotonic() + PATIENCE_S
        while (found := self.ask(middle)) != place or found is None:
            assert time.monotonic() < deadline_s, f"no {selector} lies still"
            place = found
            time.sleep(0.05)
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def troubles(self) -> list[str]:
        """What the page complained of: errors, and what its policy refused."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [json.dumps(event) for event in self.events if event.get("method") in kinds]

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="session")
def chromium(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Iterator[Chromium]:
    program = shutil.which(SHELL) or shutil.which("chromium") or require_tool(SHELL)
    with Chromium(program, tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def browser(chromium: Chromium) -> Chromium:
    """A page of its own, as in a browser that was just started."""
    return chromium.anew()
