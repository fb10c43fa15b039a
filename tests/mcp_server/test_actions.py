"""What acts: only when allowed, within its budget, written down before it is done, and really done."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp.shared.exceptions import MCPError

from monitord.actions.budget import ACTIONS_PER_HOUR, Budget
from monitord.actions.underway import CapturesUnderway
from monitord.errors import BusyError
from monitord.model import EventType
from monitord.storage import RecentFilter, SQLiteProfileStore
from monitord.storage.events import EventFilter
from monitord.storage.queries import StoreReader
from tests.mcp_server.incidents import make_incident
from tests.mcp_server.talking import OVER, over_stdio
from tests.patience import PATIENCE_S

BURN = "while True: sum(range(10_000))\n"


@pytest.fixture
def burning(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Python that burns in a function of that name."""
    script = tmp_path / "burning.py"
    script.write_text("def burn():\n    while True:\n        sum(range(10_000))\n\n\nburn()\n")
    process = subprocess.Popen([sys.executable, str(script)])
    yield process
    process.kill()
    process.wait()


def written_down(store: SQLiteProfileStore) -> list[Any]:
    """What the event store says of actions, oldest first."""
    events = store.events.query_events(EventFilter(event_type=EventType.DAEMON, limit=100))
    return [(event.payload["what"], event.payload["about"]) for event in reversed(events)]


def test_notes_and_pins(store: SQLiteProfileStore) -> None:
    """The note stands on the incident as it was given, the pin holds and goes; events tell of all three."""
    incident = make_incident()
    store.save_incident(incident)
    wanted = incident.correlation_id
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        asker.told("add_note", {"id": wanted, "text": "--undo; deploy at 02:58"})
        assert asker.told("pin_incident", {"id": wanted})["result"]["pinned"] is True
        with StoreReader(store.data_dir) as reader:
            assert reader.find(wanted).pinned
        assert asker.told("pin_incident", {"id": wanted, "undo": True})["result"]["pinned"] is False
        notes = asker.told("query_events", {"incident": wanted, "event_type": "note"})["rows"]
    assert "--undo; deploy at 02:58" in str(notes)
    with StoreReader(store.data_dir) as reader:
        assert not reader.find(wanted).pinned
    assert written_down(store) == [
        ("mcp add_note", {"incident": wanted}),
        ("mcp pin_incident", {"incident": wanted}),
        ("mcp pin_incident", {"incident": wanted}),
    ]


def test_a_process_is_captured(store: SQLiteProfileStore, burning: subprocess.Popen[bytes]) -> None:
    """A real process, a real profiler: an incident is kept, its profile names the function."""
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        done = asker.told("capture_process", {"pid": burning.pid, "duration_s": 1})
        wanted = done["result"]["correlation_id"]
        profile = asker.told("get_profile", {"id": wanted})
        assert "burn" in {each["function"] for each in profile["functions"]}
        asker.read(f"monitord://profile/{wanted}")
        assert asker.told("clear_profile_cache")["done"] == "1 profile forgotten"
    assert burning.poll() is None
    assert ("mcp capture_process", {"pid": burning.pid}) in written_down(store)


def test_the_process_that_was_captured_is_named(store: SQLiteProfileStore, tmp_path: Path) -> None:
    """An idle parent's descendant is profiled: the answer names it, and says so."""
    script = tmp_path / "burning.py"
    script.write_text("while True: sum(range(10_000))\n")
    words = "import subprocess, sys; subprocess.run([sys.executable, sys.argv[1]])"
    with subprocess.Popen([sys.executable, "-c", words, str(script)]) as parent:
        try:
            with over_stdio(store.data_dir, "--allow-actions") as asker:
                done = asker.told("capture_process", {"pid": parent.pid, "duration_s": 1})
        finally:
            for child in psutil.Process(parent.pid).children():
                child.kill()
    worker = done["result"]["pid"]
    assert worker != parent.pid
    assert f"captured process {worker}: pid {parent.pid} itself is idle" in done["done"]


def is_sampled(pid: int) -> bool:
    """Whether a profiler among our descendants samples this process already."""
    return any(
        {"record", str(pid)} <= {*words_of(child)} for child in psutil.Process().children(recursive=True)
    )


def words_of(process: psutil.Process) -> list[str]:
    """None of one that went away while it was looked at, or that is a zombie: another fixture may have those."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("way", ["stdio", "http"])
def test_a_server_that_is_told_to_end_keeps_what_it_captures(
    store: SQLiteProfileStore, burning: subprocess.Popen[bytes], way: str, number: int
) -> None:
    """Long before the capture's end: an incident with a profile is kept, nothing is left in the spool."""
    before = {child.pid for child in psutil.Process().children()}
    # Over HTTP its client notices that it is gone, and says so.
    with suppress(Exception), OVER[way](store.data_dir, "--allow-actions") as asker:
        started = [child for child in psutil.Process().children() if child.pid not in before]
        (server,) = (child for child in started if "serve" in child.cmdline())
        asking = threading.Thread(
            target=suppressed, args=(asker.call, "capture_process", {"pid": burning.pid, "duration_s": 60})
        )
        asking.start()
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_sampled(burning.pid) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        server.send_signal(number)
        psutil.wait_procs([server], PATIENCE_S)
    asking.join(PATIENCE_S)
    with StoreReader(store.data_dir) as reader:
        (record,) = reader.recent(RecentFilter())
    assert record.pid == burning.pid
    assert record.status.has_evidence
    assert float(record.duration_seconds) < 50
    assert list((store.data_dir / "spool").iterdir()) == []


def suppressed(call: Callable[..., object], *words: object) -> None:
    """An answer of a server that ends may not come any more."""
    with suppress(Exception):
        call(*words)


def test_a_capture_has_a_deadline() -> None:
    """One that hangs holds the lock that the recorder's own captures need: it goes on no longer than is due."""
    captures = CapturesUnderway()
    with captures.one(grace_s=10) as goes_on:
        assert goes_on(60 + 10 + 29, 60)
        assert not goes_on(60 + 10 + 31, 60)
        captures.end()
        assert not goes_on(0, 60)


def test_a_script_is_profiled_and_cleaned_up(store: SQLiteProfileStore, tmp_path: Path) -> None:
    """Under a real Scalene: its hot function is told; kept when asked, and gone after cleanup_old_profiles."""
    script = tmp_path / "job.py"
    script.write_text(
        "import time\n\ndef burn():\n    end = time.process_time() + 1\n    while time.process_time() < end:\n"
        "        sum(range(10_000))\n\n\nburn()\n"
    )
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        done = asker.told("profile_script", {"script": str(script), "save": True})
        assert "job.py" in done["done"]
        assert "burn" in str(done["result"])
        (row,) = asker.told("recent_anomalies")["rows"]
        assert "burn" in str(asker.told("get_profile", {"id": row["correlation_id"]})["functions"])
        asker.told("cleanup_old_profiles", {"max_age_days": 0})
        assert asker.told("recent_anomalies")["rows"] == []
    assert [what for what, _about in written_down(store)] == [
        "mcp profile_script",
        "mcp cleanup_old_profiles",
    ]


def test_an_unsaved_profile_is_read_from_memory(store: SQLiteProfileStore, tmp_path: Path) -> None:
    """Nothing is kept without `save`: it is told and compared from memory, until the memory is cleared."""
    script = tmp_path / "job.py"
    script.write_text(
        "import time\n\ndef burn():\n    end = time.process_time() + 1\n    while time.process_time() < end:\n"
        "        sum(range(10_000))\n\n\nburn()\n"
    )
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        done = asker.told("profile_script", {"script": str(script)})
        assert asker.told("recent_anomalies")["rows"] == []
        unsaved = done["result"]["profile_id"]
        address = f"monitord://profile/{unsaved}"
        assert "burn" in asker.read(address)
        assert "burn" in str(asker.told("get_profile", {"id": unsaved})["functions"])
        saved = asker.told("profile_script", {"script": str(script), "save": True})["result"]["profile_id"]
        for pair in ((unsaved, saved), (saved, unsaved), (unsaved, unsaved)):
            told = asker.told("compare_profiles", dict(zip(("before", "after"), pair, strict=True)))
            assert (told["before"], told["after"]) == pair
        assert "1 profile" in asker.told("clear_profile_cache")["done"]
        with pytest.raises(MCPError):
            asker.read(address)


def test_refusals_are_one_line(store: SQLiteProfileStore, tmp_path: Path) -> None:
    """Scripts that are not there, paths that climb, processes that are gone: the command's own words, one line."""
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        for tool, arguments, words in (
            ("capture_process", {"pid": 2**31 - 1}, "cannot find process"),
            ("capture_process", {"pid": 1, "duration_s": 3600}, "60"),
            ("profile_script", {"script": str(tmp_path / "missing.py")}, "missing.py"),
            ("profile_script", {"script": "relative.py"}, "absolute path"),
            ("profile_script", {"script": f"{tmp_path}/../x.py"}, "absolute path"),
            ("profile_script", {"script": "--save"}, "absolute path"),
            ("add_note", {"id": "nothing", "text": "x"}, "nothing"),
            ("add_note", {"id": "--help", "text": "x"}, "id"),
            ("pin_incident", {"id": "nothing"}, "nothing"),
            ("cleanup_old_profiles", {"max_age_days": -1}, "max_age_days"),
        ):
            answer = asker.call(tool, arguments)
            assert answer.is_error, (tool, arguments)
            text = answer.content[0].text
            assert words in text
            assert "Traceback" not in text


def test_an_hours_budget(store: SQLiteProfileStore) -> None:
    """The twenty-first action within an hour is refused, with the wait; what only reads goes on."""
    incident = make_incident()
    store.save_incident(incident)
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        for _ in range(ACTIONS_PER_HOUR):
            asker.told("clear_profile_cache")
        refused = asker.call("pin_incident", {"id": incident.correlation_id})
        assert refused.is_error
        assert " min" in refused.content[0].text
        assert asker.told("recent_anomalies")["rows"]
    with StoreReader(store.data_dir) as reader:
        assert not reader.find(incident.correlation_id).pinned
    assert len(written_down(store)) == ACTIONS_PER_HOUR


def test_the_budget_comes_back_with_time() -> None:
    """What was spent an hour ago may be spent again."""
    now_s = 0.0
    budget = Budget(2, lambda: now_s)
    budget.spend()
    now_s = 1800
    budget.spend()
    with pytest.raises(BusyError, match="the next in 30 min"):
        budget.spend()
    now_s = 3600
    budget.spend()
    with pytest.raises(BusyError):
        budget.spend()
