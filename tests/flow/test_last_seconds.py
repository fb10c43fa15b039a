"""What ran before anybody looked: `replay` and a page that is opened afterwards know it from the recorder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitord.actions.live_stacks import LiveStacks
from monitord.actions.workspace import Workspace
from tests.flow.recorder import FAST, SPIKE, Recorder, stutter
from tests.patience import PATIENCE_S
from tests.profiles.chromium import Chromium
from tests.web.browsing import logged_in
from tests.web.serving import WebServer

pytestmark = pytest.mark.root  # rings of the whole machine

PROGRAM = stutter(4)
NAME = SPIKE[:15]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    made = Recorder(tmp_path_factory.mktemp("seconds"), FAST)
    made.start()
    made.wait_for(lambda: (made.ask("status")["black_box"]).get("state") == "on", "the black box to be on")
    yield made
    made.close()


@pytest.fixture
def spiked_at(daemon: Recorder) -> datetime:
    """The middle of a spike that is over."""
    daemon.spike(daemon.interpreter, "-c", PROGRAM).wait()
    return datetime.now(UTC) - timedelta(seconds=1.5)


def leaders(daemon: Recorder, at: datetime) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.ask("replay", at.isoformat())["leaders"]
    return [one for one in found if one["name"] == NAME]


def test_replay_names_the_function_of_a_moment_ago(daemon: Recorder, spiked_at: datetime) -> None:
    """No incident was stored, and history is not written yet."""
    (one,) = leaders(daemon, spiked_at)
    assert one["function"] == "stutter"
    assert one["share"] > 0.5
    shown = daemon.ask("replay", spiked_at.isoformat())
    assert any("the recorder's black box" in note for note in shown["notes"])
    assert leaders(daemon, spiked_at - timedelta(seconds=30)) == []
    assert daemon.incidents() == []


def test_rows_of_replay_name_the_function_of_a_moment_ago(daemon: Recorder, spiked_at: datetime) -> None:
    """Also of a step of which no pass is stored yet; of one before the box began nothing is said."""
    rows = daemon.ask("replay", "-S", "40s", "--step", "10s")
    named = [one for row in rows for one in row["leaders"] if one["name"] == NAME]
    busiest = max(named, key=lambda one: one["cpu_percent"] or 0.0)
    assert busiest["function"] == "stutter", "the row that it began in may know its start alone"
    assert any("the recorder's black box" in note for row in rows for note in row["notes"])
    earlier = daemon.ask("replay", "-S", "10min", "-U", "5min", "--step", "1min")
    assert [row["leaders"] for row in earlier] == [[]] * 5


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ((), [(f" {NAME}", "stutter")]),
        (("-o", "json"), [(f'"name": "{NAME}"',), ('"function": "stutter"',)]),
    ],
)
def test_top_without_rights_has_functions_of_others_from_the_recorder(
    form: tuple[str, ...], told: list[tuple[str, ...]], daemon: Recorder
) -> None:
    """Its own box sees its own user's processes."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: apt-get install util-linux")
    somebody = "import os; os.setgid(4242); os.setuid(4242)\n"
    other = daemon.spike(daemon.interpreter, "-c", somebody + stutter(PATIENCE_S))
    daemon.wait_for(lambda: Path(f"/proc/{other.pid}").stat().st_uid == 4242, "the other user's process")
    words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *daemon.words("top", *form)]
    top = daemon.spike(*words, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "160"})
    wanted = [*told, ("functions of others are from the recorder's black box, ",)]
    ends_s = time.monotonic() + PATIENCE_S
    try:
        for line in top.stdout:
            wanted = [parts for parts in wanted if not all(part in line for part in parts)]
            if not wanted or time.monotonic() > ends_s:
                break
    finally:
        for one in (top, other):
            one.kill()
            one.wait()
    assert wanted == []


def test_a_page_opened_afterwards_has_the_seconds_and_their_stacks(
    daemon: Recorder, spiked_at: datetime
) -> None:
    live = LiveStacks(Workspace(daemon.data_dir, daemon.config))
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while datetime.fromisoformat((told := live.seconds())["since"]) >= spiked_at:
            assert time.monotonic() < deadline_s, "nobody waits for the recorder; a later question has it"
            time.sleep(0.2)
        assert told["limits"] == []
        ats = [datetime.fromisoformat(one["at"]) for one in told["seconds"]]
        assert all(timedelta(seconds=0.99) < b - a < timedelta(seconds=1.01) for a, b in pairwise(ats))
        assert ats[0] < spiked_at, "of a machine with other work the spike need not lead a second"
        found = live.stacks(spiked_at - timedelta(seconds=2), spiked_at).as_json()
    finally:
        live.close()
    assert found["origin"] == {"kind": "recorder", "scope": "machine"}
    assert NAME in {one["name"] for one in found["consumers"]}


def test_the_page_shows_the_stacks_of_a_second_before_it_was_opened(
    daemon: Recorder, spiked_at: datetime, browser: Chromium
) -> None:
    """Brushed on the chart, and as one of the last seconds; two flame graphs beside each other share no id."""
    server = WebServer(daemon.data_dir, "--config", str(daemon.config))
    try:
        logged_in(browser, server)
        begin = int(spiked_at.timestamp())
        browser.visit(f"{server.url}timeline?from={begin - 2}&to={begin + 1}")
        text = "document.querySelector('main').innerText"
        browser.wait(f'{text}.includes("From the recorder\'s black box")')
        assert NAME in browser.ask(text)
        assert browser.ask("document.querySelector('#zone').textContent.includes('UTC')")
        assert "stutter" in hottest(browser)
        assert "and later" not in browser.ask(text)
        browser.visit(f"{server.url}timeline?from={begin - 1000}&to={begin + 1}")
        browser.wait(f"{text}.includes('From the recorder')")
        assert ", which holds " in browser.ask(text)
        assert " and later: all processes" in browser.ask(text)
        assert "stutter" in hottest(browser)
        words = json.dumps("Look at what runs now")
        browser.click(f"[...document.querySelectorAll('button')].find(one => one.textContent === {words})")
        browser.wait("document.querySelectorAll('.second').length > 5")
        browser.ask("document.querySelector('[role=listbox]').focus()")
        browser.press("ArrowLeft")
        browser.press("Enter")
        browser.wait("document.querySelectorAll('.flame-graph').length === 2")
        ids = browser.ask("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert sorted(set(ids)) == sorted(ids)
    finally:
        server.stop()


def hottest(browser: Chromium) -> str:
    (functions,) = browser.ask(
        "[...document.querySelectorAll('table')].filter(one => one.caption.textContent.startsWith('Of all that ran'))"
        ".map(one => one.innerText)"
    )
    return str(functions)


def test_the_recorders_cost_stays_small_however_often_it_is_asked(
    daemon: Recorder, spiked_at: datetime
) -> None:
    """A crowd that asks for all it has, for ten seconds: what the recorder and its children use is bounded."""
    code = "import sys, time; from pathlib import Path\n"
    code += "from monitord.recorder.requesting import ask_span\n"
    code += "end = time.monotonic() + 10\nwhile time.monotonic() < end:\n"
    code += " now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)\n"
    code += " try: ask_span(Path(sys.argv[1]), now - 100 * 10**9, now, 1.0)\n except Exception: pass\n"
    assert daemon.daemon is not None
    before_s = cpu_s(daemon.daemon.pid)
    crowd = [daemon.spike(daemon.interpreter, "-c", code, str(daemon.data_dir)) for _ in range(3)]
    for one in crowd:
        one.wait()
    used = (cpu_s(daemon.daemon.pid) - before_s) / 10
    assert used < 0.35, "of a core, the passes and the black box of a busy machine included"


def cpu_s(pid: int) -> float:
    """Seconds of CPU, its ended children's included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def test_without_a_recorder_replay_tells_what_is_stored_alone(daemon: Recorder, spiked_at: datetime) -> None:
    """Nobody is asked, and nothing is said of one who could have been."""
    daemon.stop()
    shown = daemon.ask("replay", spiked_at.isoformat())
    assert not any("the recorder's black box" in note for note in shown["notes"])
    assert all(one["function"] is None for one in leaders(daemon, spiked_at)), (
        "it stored its history as it ended"
    )
