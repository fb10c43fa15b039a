"""recent, show, keep, delete, db and retention on a real store."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.model import Capture, CaptureStatus, ProcessKey, Threshold, TriggerMetric
from tests.patience import PATIENCE_S

KEYS = [
    "id", "process_name", "pid", "trigger_metric", "trigger_value", "captured_at", "profile_path",
    "duration_seconds", "notes", "status", "profiler", "correlation_id", "late", "pinned",
    "reason", "hottest_function", "cause", "raised_at", "times_this_week",
    "times_this_week_at_least",
]  # fmt: skip


@pytest.fixture
def three(store, new_incident):
    """Three incidents, oldest first."""
    now = datetime.now(UTC)
    incidents = [
        new_incident(name="old", pid=11, at=now - timedelta(hours=30)),
        new_incident(
            name="Java", pid=22, at=now - timedelta(hours=3), metric=TriggerMetric.MEMORY, value=3.0 * 2**30,
            threshold=Threshold(2.0 * 2**30, "bytes"), reason="memory was above 2 GiB",
        ),
        new_incident(name="python3", pid=33, at=now - timedelta(minutes=2), late=True, notes={"samples": "980"}),
    ]  # fmt: skip
    for incident in incidents:
        store.save_incident(incident)
    return incidents


def names(answer) -> list[str]:
    return [row["process_name"] for row in json.loads(answer.out)]


def test_recent_json_is_one_array_newest_first_with_the_keys_of_the_manual(three, here) -> None:
    rows = json.loads(here("recent", "-o", "json").out)
    assert [list(row) for row in rows] == [KEYS] * 3
    assert [row["process_name"] for row in rows] == ["python3", "Java", "old"]
    newest = rows[0]
    assert newest["correlation_id"] == three[-1].correlation_id
    assert (newest["status"], newest["profiler"], newest["late"], newest["pinned"]) == (
        "ok",
        "py-spy",
        True,
        False,
    )
    assert newest["notes"]["samples"] == "980"
    assert Path(newest["profile_path"]).is_file()
    assert datetime.fromisoformat(newest["captured_at"]).tzinfo is not None
    assert newest["captured_at"].endswith("Z")
    assert newest["reason"].startswith("cpu was above 90 %")
    assert newest["hottest_function"] == "fibonacci"


def test_every_command_finds_a_process_by_what_the_screen_calls_it(here, store, new_incident) -> None:
    """PROCESS shows "python3 spike.py": all of that, and each part of it, is what --process takes."""
    wanted = new_incident(command_line=("python3", "/srv/spike.py"))
    for incident in (wanted, new_incident(command_line=("python3", "/srv/other.py"), pid=7)):
        store.save_incident(incident)
    shown = here("recent", "-n", "2").out
    assert "python3 spike.py" in shown
    for name in ("python3 spike.py", "spike.py", "spike", "SPIKE*"):
        (row,) = json.loads(here("recent", "--process", name, "--json").out)
        assert row["correlation_id"] == wanted.correlation_id
        assert {one["incidents"] for one in json.loads(here("hot", "--process", name, "--json").out)} == {1}
        events = json.loads(here("events", "-n", "999", "--process", name, "--json").out)
        assert {event["correlation_id"] for event in events} == {wanted.correlation_id}
        bundle = json.loads(here("export", "--process", name, "-o", "-").out)
        assert [one["correlation_id"] for one in bundle["incidents"]] == [wanted.correlation_id]
    assert json.loads(here("recent", "--process", "python3", "--json").out)[1:]
    assert here("export", "--process", "nobody", "-o", "-").code == 3


def test_nothing_recorded_is_an_empty_answer_and_no_failure(here, store) -> None:
    for words, out in ((["-o", "json"], "[]\n"), (["-o", "jsonl"], ""), ([], "")):
        answer = here("recent", *words)
        assert (answer.code, answer.out) == (0, out)
    assert here("recent", "-o", "csv").out == ",".join(KEYS) + "\r\n"


@pytest.mark.parametrize("command", ["recent", "events", "hot"])
def test_no_store_at_all_is_not_found_and_says_how_one_comes_to_be(command, here) -> None:
    """A program gets an empty list, and an exit code that tells "nothing recorded" from "nowhere recorded"."""
    for words, out in ((["--json"], "[]\n"), (["-o", "jsonl"], ""), ([], "")):
        answer = here(command, *words)
        assert (answer.code, answer.out) == (3, out)
        assert "monitord run" in answer.err
        assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-n", "1"], ["python3"]),
        (["-r"], ["old", "Java", "python3"]),
        (["-n", "2", "-r"], ["Java", "python3"]),
        (["-S", "4h"], ["python3", "Java"]),
        (["-S", "2 days ago", "-U", "1h"], ["Java", "old"]),
        (["--process", "java"], ["Java"]),
        (["--process", "*3"], ["python3"]),
        (["--pid", "11"], ["old"]),
        (["--metric", "memory"], ["Java"]),
        (["-g", "2 gib"], ["Java"]),
        (["-g", "nothing like it"], []),
        (["--process", "' OR 1=1 --"], []),
    ],
)
def test_filters(words, expected, three, here) -> None:
    assert names(here("recent", "--json", *words)) == expected


def test_jsonl_and_csv_say_the_same_as_json(three, here) -> None:
    rows = json.loads(here("recent", "--json").out)
    assert [json.loads(line) for line in here("recent", "-o", "jsonl").out.splitlines()] == rows
    sheet = list(csv.DictReader(io.StringIO(here("recent", "-o", "csv").out, newline="")))
    assert [row["process_name"] for row in sheet] == [row["process_name"] for row in rows]
    assert json.loads(sheet[0]["notes"]) == rows[0]["notes"]
    assert sheet[0]["late"] == "true"
    assert (sheet[1]["reason"], sheet[1]["hottest_function"]) == ("memory was above 2 GiB", "fibonacci")


def test_the_table_shows_values_with_units_and_marks(three, here) -> None:
    here("keep", three[1].correlation_id[:8])
    out = here("recent").out
    assert "97 %" in out
    assert "3.0 GiB" in out
    assert "late py-spy" in out
    assert "kept py-spy" in out
    assert "fibonacci" in out
    assert here("recent", "--utc").out.splitlines()[1].split()[1].endswith("Z")


def test_a_failed_capture_is_one_row_that_says_so(store, new_incident, here) -> None:
    from dataclasses import replace

    incident = new_incident()
    failed = tuple(capture for capture in incident.captures if not capture.status.has_evidence)
    store.save_incident(replace(incident, captures=failed))
    row = json.loads(here("recent", "--json").out)[0]
    assert row["status"] == "permission_denied"
    assert row["profile_path"] == ""
    shown = here("show", str(row["id"])).out
    assert "sudo sysctl kernel.perf_event_paranoid=1" in shown


def test_show_json_has_everything_the_manual_names(three, here) -> None:
    row = json.loads(here("recent", "--json").out)[0]
    shown = json.loads(here("show", str(row["id"]), "-o", "json").out)
    assert {key: shown[key] for key in KEYS} == row
    assert shown["reason"] == three[-1].alert.reason
    assert len(shown["history"]) == 30
    assert shown["history"][-1]["cpu_percent"] == 97.0
    assert [step["role"] for step in shown["captures"]] == ["context", "profile", "profile"]
    needed = {"role", "profiler", "status", "reason", "fix", "sample_count", "duration_seconds", "profile_path",
              "target_cpu_percent", "late"}  # fmt: skip
    assert all(needed <= set(step) for step in shown["captures"])
    assert shown["not_captured"] == [
        {
            "profiler": "perf",
            "status": "permission_denied",
            "reason": "kernel.perf_event_paranoid is 4",
            "fix": "sudo sysctl kernel.perf_event_paranoid=1",
        }
    ]
    top = shown["hotspots"][0]
    assert (top["function"], top["file"], top["line"]) == ("fibonacci", "/srv/app/numbers.py", 12)
    assert (top["self_share"], top["total_share"]) == (0.61, 0.98)


def test_every_key_that_is_written_stands_in_the_manual(three, here) -> None:
    page = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    shown = json.loads(here("show", "1", "-o", "json").out)
    inner = [
        shown["process"],
        shown["history"][0],
        shown["captures"][0],
        shown["not_captured"][0],
        shown["hotspots"][0],
    ]
    keys = set(shown).union(*inner)
    explained = json.loads(here("explain", "--rule", "low-memory", "-o", "json").out)[0]
    assert sorted(key for key in keys | set(explained) if key not in page) == []


def test_show_tells_the_story(three, here) -> None:
    out = here("show", three[-1].correlation_id[:6]).out
    for part in ("of python3 main.py", "pid 33", "cpu 97 %", "late", three[-1].alert.reason, "▁", "█", "fibonacci",
                 "/srv/app/numbers.py:12", "permission denied", "fix: sudo sysctl", "monitord export"):  # fmt: skip
        assert part in out


def test_any_row_of_an_incident_names_it(three, here) -> None:
    shown = json.loads(here("show", "1", "--json").out)
    for step in shown["captures"]:
        assert json.loads(here("show", str(step["id"]), "--json").out) == shown


def test_keep_survives_retention_and_undo_lets_go(three, here) -> None:
    row = json.loads(here("recent", "--json").out)[-1]
    assert here("keep", str(row["id"])).code == 0
    assert json.loads(here("show", str(row["id"]), "--json").out)["pinned"] is True
    assert here("keep", str(row["id"]), "--undo").code == 0
    assert json.loads(here("show", str(row["id"]), "--json").out)["pinned"] is False


def test_delete_needs_yes_and_takes_the_files_along(three, here, data_dir) -> None:
    row = json.loads(here("recent", "--json").out)[0]
    refused = here("delete", str(row["id"]))
    assert (refused.code, refused.out) == (2, "")
    assert Path(row["profile_path"]).exists()
    assert here("delete", row["correlation_id"], str(row["id"]), "--yes").out.count("deleted") == 1
    assert not Path(row["profile_path"]).exists()
    assert names(here("recent", "--json")) == ["Java", "old"]
    assert here("delete", row["correlation_id"], "--yes").code == 3


def test_a_delete_of_several_with_one_unknown_deletes_none(three, here) -> None:
    assert here("delete", three[0].correlation_id, "nothere", "--yes").code == 3
    assert len(names(here("recent", "--json"))) == 3


def test_retention_says_what_would_go_and_then_does_it(store, new_incident, here) -> None:
    store.save_incident(new_incident(at=datetime.now(UTC) - timedelta(days=5)))
    for _ in range(3):
        store.save_incident(new_incident())
    foretold = json.loads(here("retention", "run", "--dry-run", "--json").out)
    assert foretold["dry_run"] is True
    assert len(foretold["dropped_evidence"]) == 1
    path = Path(json.loads(here("recent", "--json").out)[-1]["profile_path"])
    assert path.exists()
    done = json.loads(here("retention", "run", "--json").out)
    assert done["dropped_evidence"] == foretold["dropped_evidence"]
    assert not path.exists()
    assert "summary" in here("show", foretold["dropped_evidence"][0]).out


def test_the_database_is_checked_and_rebuilt(three, here, data_dir) -> None:
    assert here("db", "check").out == "no damage found\n"
    assert here("db", "upgrade").code == 0
    assert here("db", "vacuum").code == 0
    victim = next((data_dir / "artefacts").iterdir())
    victim.write_bytes(victim.read_bytes()[:-3])
    answer = here("db", "check", "--json")
    assert answer.code == 1
    report = json.loads(answer.out)
    assert report["ok"] is False
    assert any(
        victim.name in problem or "damaged" in problem or "row" in problem for problem in report["problems"]
    )


def test_a_damaged_database_is_one_line(three, store, here, data_dir) -> None:
    store.close()
    for path in data_dir.glob("monitord.db-*"):
        path.unlink()
    (data_dir / "monitord.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    answer = here("recent")
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "damaged" in answer.err


def test_db_check_rebuilds_a_damaged_database_from_the_artefacts(three, store, here, data_dir) -> None:
    store.close()
    for path in data_dir.glob("monitord.db-*"):
        path.unlink()
    (data_dir / "monitord.db").write_bytes(b"no database" * 1000)
    first = here("db", "check", "--json")
    assert first.code == 1
    assert "set aside as" in json.loads(first.out)["problems"][0]
    assert len(list(data_dir.glob("monitord.db.damaged-*"))) == 1
    assert here("db", "check").code == 0
    assert names(here("recent", "--json")) == ["python3", "Java", "old"]


def test_a_reader_that_leaves_the_pipe_ends_it_quietly(store, new_incident, environment) -> None:
    """`monitord recent | head -1` with more than a pipe holds."""
    store.save_incident(new_incident(reason="x" * 100_000, notes={"n": "y" * 200_000}))
    for words in ("recent -o jsonl", "recent -o csv", "show 1 --json", "export 1 -o -", "config schema"):
        script = f"{sys.executable} -m monitord {words} | head -c 10 > /dev/null; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.stdout.strip() in ("0", "141")
        assert "Traceback" not in done.stderr
        assert "Broken" not in done.stderr


def test_follow_prints_what_comes_and_ends_quietly_with_ctrl_c(store, new_incident, environment) -> None:
    store.save_incident(new_incident(name="before"))
    words = [sys.executable, "-m", "monitord", "recent", "-f", "-o", "jsonl"]
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["process_name"] == "before"
        store.save_incident(new_incident(name="after"))
        assert json.loads(process.stdout.readline())["process_name"] == "after"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err.count("\n")) == (130, "", 1)
        assert err.startswith("monitord: nobody records here"), "it waits on, and says for whom it can't be"
    finally:
        process.kill()


def test_read_commands_load_no_heavy_library(three, environment) -> None:
    """What makes asking fast: 130 ms for SQLAlchemy alone."""
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from monitord.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    heavy = {
        "sqlalchemy",
        "alembic",
        "psutil",
        "apscheduler",
        "structlog",
        "rich.table",
        "rich.console",
    }
    for words in (
        ["recent"],
        ["recent", "--json"],
        ["show", "1"],
        ["export", "1", "-o", "-"],
        ["reveal", "1"],
        ["status"],
        ["--help"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True
        )
        loaded = set(done.stderr.split())
        assert "monitord.cli.app" in loaded
        assert heavy & loaded == set(), words


def test_stdout_of_the_daemonless_world_is_pure_data(three, here) -> None:
    """Whatever is said besides goes to stderr."""
    for words in (["recent", "--json"], ["show", "1", "--json"], ["explain", "--json"], ["doctor", "--json"],
                  ["rules", "list", "--json"], ["retention", "run", "--dry-run", "--json"], ["db", "check", "--json"],
                  ["config", "show", "--json"], ["status", "--json"]):  # fmt: skip
        json.loads(here(*words).out)


def test_a_broken_capture_status_is_never_shown_as_evidence(store, new_incident, here) -> None:
    """An incident whose profile was taken of nobody has no functions to show and says why."""
    from dataclasses import replace

    incident = new_incident()
    gone = Capture(
        role="profile",
        profiler="py-spy",
        status=CaptureStatus.TARGET_REPLACED,
        started_at=incident.alert.raised_at,
        duration_s=1.0,
        target=ProcessKey(1, 1),
        reason="pid 4321 was given to another process",
    )
    store.save_incident(replace(incident, captures=(gone,)))
    out = here("show", "1").out
    assert "Where the time went" not in out
    assert "target replaced" in out


def test_the_clock_of_rows_is_the_readers(three, here, monkeypatch) -> None:
    """Local time for people; the same moment in UTC on demand."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        local = here("show", "1").out
        utc = here("show", "1", "--utc").out
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
    assert "JST" in local
    assert "UTC" in utc


def test_output_in_an_ascii_locale_is_no_crash(three, cli) -> None:
    assert cli("show", "1", PYTHONIOENCODING="ascii", PAGER="cat").code == 0
    assert os.linesep == "\n"
