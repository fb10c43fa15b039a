"""What acts: only when allowed, within its budget, written down before it is done, and really done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from monitord.errors import BusyError
from monitord.mcp_server.acting import ACTIONS_PER_HOUR, Budget
from monitord.model import EventType
from monitord.storage import SQLiteProfileStore
from monitord.storage.events import EventFilter
from monitord.storage.queries import StoreReader
from tests.mcp_server.incidents import make_incident
from tests.mcp_server.talking import over_stdio

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
        asker.told("pin_incident", {"id": wanted})
        with StoreReader(store.data_dir) as reader:
            assert reader.find(wanted).pinned
        asker.told("pin_incident", {"id": wanted, "undo": True})
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
