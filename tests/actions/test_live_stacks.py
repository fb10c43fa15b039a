"""Who runs now: a box of the asker's own, opened by the first question and gone when nobody asks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from monitord.actions.live_stacks import LiveStacks
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.requests import RequestServer
from monitord.stacks.rings import Scope
from monitord.storage import open_store
from tests.burners import burn_command
from tests.patience import PATIENCE_S
from tests.stacks.test_box import grants

# What an ordinary user is granted is less, and said; at perf_event_paranoid 3 nothing.
SCOPE = next((scope for scope in get_args(Scope) if grants(scope)), None)
pytestmark = pytest.mark.skipif(SCOPE is None, reason="needs rings: run as root, or perf_event_paranoid 2")


@pytest.fixture
def live(data_dir: Path) -> Iterator[LiveStacks]:
    made = LiveStacks(Workspace(data_dir))
    yield made
    made.close()


def eventually(ask: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if ask():
            return
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


ASKER = """
import json, sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from monitord.actions.live_stacks import LiveStacks
from monitord.actions.workspace import Workspace
from monitord import logs

logs.configure("warning")
live = LiveStacks(Workspace(Path(sys.argv[1])))
for line in sys.stdin:
    told = live.seconds()
    until = datetime.fromisoformat(told["until"])
    stacks = live.stacks(until - timedelta(seconds=3), until).as_json() if line == "stacks\\n" else None
    print(json.dumps([told, stacks]), flush=True)
live.close()
"""


def test_a_second_of_now_has_its_stacks_and_nothing_is_stored(live: LiveStacks, data_dir: Path) -> None:
    """A process that burns has its part in the seconds, and is in the stacks of the last ones, by name."""
    open_store(data_dir).close()
    before = sorted(data_dir.iterdir())
    # Another process asks: what a box's own process started is left out of it.
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert asker.stdin is not None
    assert asker.stdout is not None

    def asked(word: str) -> list[Any]:
        asker.stdin.write(word + "\n")
        asker.stdin.flush()
        return json.loads(asker.stdout.readline())

    asked("seconds")
    burner = subprocess.Popen(burn_command(20))
    try:
        told: list[Any] = []

        def is_seen() -> bool:
            told[:] = asked("stacks" if len(asked("seconds")[0]["seconds"]) > 4 else "seconds")
            return told[1] is not None and burner.pid in {one["pid"] for one in told[1]["consumers"]}

        eventually(is_seen, "the burner among those who ran in the last seconds")
        seconds, stacks = told
        asker.stdin.close()
        assert asker.wait(PATIENCE_S) == 0
    finally:
        for process in (burner, asker):
            process.kill()
            process.wait()
        asker.stdout.close()
    assert max(one["cpu_percent"] for one in seconds["seconds"]) > 0
    assert all(one["cpu_percent"] >= (one["process_percent"] or 0) for one in seconds["seconds"])
    assert stacks["origin"] == {"kind": "now", "scope": SCOPE}
    assert stacks["tree"]["total"] == stacks["tree"]["nodes"][0][2] > 0
    assert sorted(data_dir.iterdir()) == before


def test_of_the_time_before_it_was_opened_it_says_that_it_knows_nothing(live: LiveStacks) -> None:
    """An earlier second is no empty answer: it is said why, and what would have kept it."""
    live.seconds()
    at = datetime.now(UTC) - timedelta(seconds=30)
    with pytest.raises(NotFoundError, match="before this page began to look"):
        live.stacks(at, at + timedelta(seconds=1))


def test_it_closes_itself_when_nobody_asks_and_opens_again(data_dir: Path, live: LiveStacks) -> None:
    """A page that was left costs nothing any more, and one that comes back finds it again."""
    made = LiveStacks(Workspace(data_dir), rests_after_s=0.2)
    try:
        made.seconds()
        assert made.is_open
        eventually(lambda: not made.is_open, "the box to close")
        assert made.seconds()["scope"] == SCOPE
    finally:
        made.close()
    assert not made.is_open


def test_who_waits_for_the_recorder_holds_up_nobody(data_dir: Path, live: LiveStacks) -> None:
    """One asks for stacks and gets no answer; the seconds are told meanwhile, and it can be closed."""
    data_dir.mkdir(mode=0o700)
    is_asked, may_end = threading.Event(), threading.Event()

    def hangs(_since_ns: int, _until_ns: int) -> bytes:
        is_asked.set()
        may_end.wait(PATIENCE_S)
        raise MonitordError("it hung")

    server = RequestServer(data_dir, hangs, hangs)  # type: ignore[arg-type]  # no snapshot is asked for
    at = datetime.now(UTC) - timedelta(seconds=30)
    told: list[object] = []

    def asks() -> None:
        with suppress(NotFoundError):
            told.append(live.stacks(at, at + timedelta(seconds=1)))
        told.append("came to its end")

    asker = threading.Thread(target=asks)
    with hold(data_dir / DAEMON_LOCK, "taken"):
        server.open()
        try:
            asker.start()
            assert is_asked.wait(PATIENCE_S)
            assert live.seconds()["scope"] == SCOPE
            live.close()
            assert not told, "its question is open still"
        finally:
            may_end.set()
            asker.join(PATIENCE_S)
            server.close()
    assert told == ["came to its end"]


def test_where_it_is_switched_off_it_says_so(data_dir: Path, tmp_path: Path, live: LiveStacks) -> None:
    """Who does not want a black box has none opened by a page."""
    config = tmp_path / "config.toml"
    config.write_text("[black_box]\nenabled = false\n")
    made = LiveStacks(Workspace(data_dir, config))
    with pytest.raises(PermissionDeniedError, match="switched off"):
        made.seconds()
    assert not made.is_open
