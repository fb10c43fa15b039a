"""On a real session bus, by the real notify-send: the receiver, and the command for a session of one's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.children import own_command, system_program
from monitord.config.telling import ReceiverSettings
from monitord.model import Cause, Incident, TriggerMetric
from monitord.notify.sending import hand_over
from monitord.storage import new_correlation_id, open_store
from tests.fakes import a_capture, an_alert
from tests.patience import PATIENCE_S
from tests.servers import missing

MESSAGE = {"id": "x", "kind": "incident", "title": "web-3: burn", "text": "-a & <b>x</b>\nlook further"}
Shown = Callable[[], list[str]]


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """A session with a desktop; called, it gives the next notification: application, title, text."""
    for name in ("notify-send", "dbus-daemon"):
        if shutil.which(name) is None:
            missing(name)
    words = ["dbus-daemon", "--session", "--nofork", "--print-address"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as bus:
        assert bus.stdout is not None
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.stdout.readline().strip())
        server = [sys.executable, str(Path(__file__).with_name("desktop_server.py"))]
        with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as screen:
            assert screen.stdout is not None
            lines = screen.stdout
            assert lines.readline() == "ready\n"
            yield lambda: json.loads(lines.readline())
            screen.kill()
        bus.kill()


def test_a_message_is_shown_and_no_text_of_it_is_markup_or_an_option(desktop: Shown) -> None:
    assert system_program("notify-send") is not None
    assert hand_over(ReceiverSettings(name="one", kind="desktop"), MESSAGE, PATIENCE_S) is None
    assert desktop() == ["monitord", "web-3: burn", "-a &amp; &lt;b&gt;x&lt;/b&gt;\nlook further"]


def test_what_notify_send_makes_of_backslashes_is_no_markup(desktop: Shown) -> None:
    """It reads octal and other escapes in the text, after we escaped what is markup."""
    for text in (r"\074b\076", r"\x3cb>", r"a\nb \\ \q \1", "\\"):
        told = {**MESSAGE, "text": text}
        assert hand_over(ReceiverSettings(name="one", kind="desktop"), told, PATIENCE_S) is None
        assert desktop()[2] == text.replace(">", "&gt;")


def test_without_a_session_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    if system_program("notify-send") is None:
        missing("notify-send")
    error = hand_over(ReceiverSettings(name="one", kind="desktop"), MESSAGE, PATIENCE_S)
    assert "monitord notify desktop" in str(error)


def test_one_who_only_reads_a_store_sees_its_new_incidents_on_his_desktop(
    desktop: Shown, tmp_path: Path
) -> None:
    """What was there before, and what a person asked for, is not shown but counted; repeats are folded."""
    with closing(open_store(tmp_path / "data")) as store:

        def save(name: str, metric: TriggerMetric = TriggerMetric.CPU) -> None:
            now = datetime.now(UTC)
            alert = replace(an_alert(metric), raised_at=now, crossed_at=now, process_name=name)
            cause = Cause("lock", f"{name} waits for a lock", "likely")
            store.save_incident(
                Incident(new_correlation_id(), alert, None, captures=(a_capture(),), cause=cause)
            )

        save("before")
        save("first")
        words = own_command("monitord", "--data-dir", str(tmp_path / "data"), "notify", "desktop")
        files = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(words, text=True, env={**os.environ, "HOME": str(tmp_path)}, **files) as shower:  # type: ignore[call-overload]
            assert "nobody records here" in shower.stderr.readline()  # after its first look
            save("by hand", TriggerMetric.MANUAL)
            save("first")
            _application, title, text = desktop()
            assert "first" in title
            assert "first waits for a lock" in text
            assert "second time this week" in text
            save("first")
            save("second")
            assert "second" in desktop()[1]
            shower.send_signal(signal.SIGINT)
            out, _err = shower.communicate()
            assert shower.returncode == 130
        assert out.splitlines()[0].split(": ")[1] == "first"
