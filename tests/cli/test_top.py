"""`top` names who runs now and in which function, leaves the terminal as it was, and says what it can't see."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from monitord.actions.moments import Leader, Moment
from monitord.actions.top import LiveMoment
from monitord.cli.terminal import Style, display_width
from monitord.cli.top import lines_of
from monitord.profiles.consumers import consumers
from monitord.profiles.ring_document import read_ring
from tests.cli.conftest import ROOT, Cli
from tests.patience import PATIENCE_S
from tests.profiles.ring_documents import BEGAN_NS, RingDocument, native, python
from tests.strangers import without

EVIL = "ev\x1b[31mil"
BURNER = f"""
import time, types
def burns():
    end = time.thread_time() + 30
    while time.thread_time() < end:
        for number in range(100_000):
            number * number
open("/proc/self/comm", "w").write({EVIL!r})
hostile = types.FunctionType(burns.__code__.replace(co_name={EVIL!r}, co_qualname={EVIL!r}), globals())
print("ready", flush=True)
hostile()
"""


@pytest.fixture
def burner(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Python whose name and whose function's name would move a terminal."""
    script = tmp_path / "burner.py"
    script.write_text(BURNER)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_function_of_who_runs_now_is_named_in_json(burner: subprocess.Popen[bytes], cli: Cli) -> None:
    told = cli("top", "-n", "5", "-o", "json")
    assert told.code == 0, told.err
    moments = [json.loads(text + "}") for text in told.out.split("\n}\n")[:-1]]
    assert len(moments) == 5
    assert list(moments[0]) == ["taken_at", "interval_s", "scope", "processes", "notes", "totals"]
    found = [one for moment in moments for one in moment["processes"] if one["pid"] == burner.pid]
    assert {(one["name"], one["ended"]) for one in found} == {(EVIL, False)}
    assert "ev?[31mil" in {one["function"] for one in found}, (
        "the reader leaves nothing that moves a terminal"
    )
    assert max(one["cpu_percent"] for one in found) > 0


def test_names_are_escaped_on_the_screen(burner: subprocess.Popen[bytes], cli: Cli) -> None:
    told = cli("top", "-n", "2")
    assert "ev\\x1b[31mil" in told.out
    assert "\x1b" not in told.out


@pytest.mark.parametrize(("how", "code"), [("q", 0), ("Ctrl-C", 130)])
def test_it_ends_at_a_key_and_the_terminal_is_as_it_was(
    how: str, code: int, burner: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    process = subprocess.Popen(
        [sys.executable, "-m", "monitord", "top"],
        env={**environment, "TERM": "xterm"}, stdin=its, stdout=its, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    shown = _read_until(ours, b"HOTTEST FUNCTION")
    if how == "q":
        os.write(ours, b"q")
    else:
        process.send_signal(signal.SIGINT)
    shown += _read_until(ours, b"\x1b[?1049l")
    assert process.wait(PATIENCE_S) == code
    assert shown.startswith(b"\x1b[?1049h")
    assert termios.tcgetattr(its) == before
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    os.close(ours)
    os.close(its)


def _read_until(terminal: int, text: bytes) -> bytes:
    shown, deadline = b"", time.monotonic() + PATIENCE_S
    while text not in shown:
        assert select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0], shown
        shown += os.read(terminal, 65536)
    return shown


def test_without_rights_its_own_processes_are_seen_and_that_is_said(
    burner: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    words = (*without(), sys.executable, "-m", "monitord")
    done = subprocess.run(
        [*words, "top", "-n", "2", "-o", "json"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert b"sudo monitord top`" in done.stdout
    told = [json.loads(text + "}")["notes"] for text in done.stdout.decode().split("\n}\n")[:-1]]
    assert all(sum("only busy processes" in note for note in notes) <= 1 for notes in told), "said once"
    if b'"scope": "no functions"' in done.stdout:
        assert b"cannot see functions" in done.stdout
    else:
        assert b'"scope": "own processes"' in done.stdout


def test_who_used_the_cpu_is_counted_by_process_also_of_ended_ones() -> None:
    made = RingDocument(length_s=2.0)
    shop = made.process(7, "shop")
    gone = made.process(8, "cc1", ended_ns=BEGAN_NS + 1_500_000_000)
    made.ran(shop, [python("price"), native("memcpy")], 0, 1)
    made.ran(shop, [python("price")], 1, 2, 0.5)
    made.ran(gone, [native("parse_expression", "cc1")], 1, 2)
    made.ran(gone, [native("lex", "cc1")], 1, 2, 0.2)
    found = consumers(read_ring(io.BytesIO(made.payload())), BEGAN_NS + 1_000_000_000)
    assert [(one.pid, one.name, one.function, one.file, one.is_ended) for one in found] == [
        (8, "cc1", "parse_expression", "cc1", True), (7, "shop", "price", "/srv/shop/orders.py", False),
    ]  # fmt: skip
    assert found[1].cpu_percent == pytest.approx(50, abs=6)
    assert found[0].share == pytest.approx(0.83, abs=0.03)


def test_json_has_the_processes_of_the_screen() -> None:
    """Those that ran, or that the recorder's box saw; a function that is not known is null."""
    leaders = (
        Leader(7, "his", 90.0, function="price", file="shop", share=0.5),
        Leader(8, "theirs", 5.0),
        Leader(9, "gone", None, function="lex", is_ended=True),
        Leader(10, "idle", 0.0),
    )
    told = LiveMoment(Moment(datetime.now(UTC), leaders=leaders), 1.0, "own processes").as_json()
    found = cast("list[dict[str, object]]", told["processes"])
    assert [(one["pid"], one["function"], one["ended"]) for one in found] == [
        (7, "price", False),
        (8, None, False),
        (9, "lex", True),
    ]


@pytest.mark.parametrize("columns", [40, 80])
def test_what_it_can_not_see_is_said_whole_on_a_narrow_screen(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to type stands at the end of the note: no screen cuts it off."""
    monkeypatch.setenv("COLUMNS", str(columns))
    note = f"seen: only busy processes of monitord's own user: {'the kernel grants none ' * 3}; `sudo monitord top`"
    for height in (None, 24):
        lines = lines_of(
            LiveMoment(Moment(datetime.now(UTC), notes=(note,)), 1.0, "own processes"), Style(), height
        )
        assert max(map(display_width, lines)) <= columns
        assert "`sudo monitord top`" in " ".join(lines)
