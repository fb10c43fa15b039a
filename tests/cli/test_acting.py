"""capture, run, status, explain and rules on real processes, with and without somebody recording."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from monitord.recorder.locks import CAPTURE_LOCK, DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.storage.ids import short_id
from monitord.storage.usage import usage_of
from tests.patience import PATIENCE_S
from tests.servers import wait_until

BURNER = "def burn_the_cpu():\n    while True:\n        sum(range(2000))\nburn_the_cpu()"


@pytest.fixture
def burner() -> Iterator[int]:
    """A Python process that does nothing but work in one function."""
    process = subprocess.Popen([sys.executable, "-c", BURNER])
    yield process.pid
    process.kill()
    process.wait()


def status_of(pid: int, **changes: object) -> dict[str, object]:
    """status.json as a daemon writes it."""
    now = datetime.now(UTC)
    return {
        "version": "0.1.0",
        "pid": pid,
        "started_at": now - timedelta(hours=3),
        "data_dir": "/x",
        "config_paths": [],
        "interval_s": 2.0,
        "taken_at": now,
        "passes": 5400,
        "process_count": 312,
        "machine_percent": 23.0,
        "own_cpu_percent": 0.08,
        "own_rss_bytes": 38 << 20,
        "missing_sources": {"pressure": "Operation not supported"},
        "degraded": ["the disk\x1b[31m is full"],
        "queue_depth": 0,
        "capture": {"correlation_id": "abcdefghijkl", "since": now},
        "rules_taken_at": now,
        "rules": [
            {
                "rule": "cpu-hog",
                "metric": "cpu",
                "threshold": {"value": 90.0, "unit": "percent"},
                "window_s": 10.0,
                "state": "cooling_down",
                "target": {"pid": os.getpid(), "start_ticks": 1},
                "process_name": "python\n3",
                "last_values": [3.0, 97.0],
                "share_above": 0.5,
                "distance": -7.0,
                "baseline": None,
                "suppressed_by": "cooling down for 300 s",
                "seen_at": now,
            },
            {"from": "another version"},
        ],
        "jobs": {"retention": {"last_run": now, "next_run": now + timedelta(hours=1), "outcome": "ok"}},
        "counts": {"alerts": 3, "suppressed": 1},
        "last_incident": "abcdefghijkl",
        **changes,
    }


def is_recording(pid: int) -> bool:
    """Whether a profiler started by this process samples already."""
    try:
        return any("record" in child.cmdline() for child in psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return False  # a child that went away while it was looked at


def test_capture_finds_the_function_and_prints_its_row(burner, cli, data_dir) -> None:
    answer = cli("capture", str(burner), "--duration", "1s", "-o", "json")
    assert answer.code == 0, answer.err
    row = json.loads(answer.out)
    assert (row["pid"], row["trigger_metric"], row["status"]) == (burner, "manual", "ok")
    shown = json.loads(cli("show", str(row["id"]), "--json").out)
    assert shown["hotspots"][0]["function"] == "burn_the_cpu"
    assert "by hand" in shown["reason"]
    assert Path(row["profile_path"]).is_file()
    assert list((data_dir / "spool").iterdir()) == []


def test_capture_again_profiles_what_the_incident_was_about(burner, cli) -> None:
    """A second incident of the same process, which says for which it was made."""
    first = json.loads(cli("capture", str(burner), "--duration", "1s", "-o", "json").out)
    answer = cli("capture", "--again", first["correlation_id"], "--duration", "1s", "-o", "json")
    assert answer.code == 0, answer.err
    second = json.loads(answer.out)
    assert second["pid"] == burner
    assert second["correlation_id"] != first["correlation_id"]
    assert f"again for incident {short_id(first['correlation_id'])}" in second["reason"]
    shown = json.loads(cli("show", second["correlation_id"], "--json").out)
    assert shown["hotspots"][0]["function"] == "burn_the_cpu"


@pytest.mark.parametrize("words", [(), ("1", "--again", "1"), ("1", "--within", "1s")])
def test_capture_takes_a_process_or_an_incident(words: tuple[str, ...], here) -> None:
    answer = here("capture", *words)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "expected" in answer.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "a closed terminal"])
def test_an_early_end_keeps_what_there_is(number, burner, environment, cli) -> None:
    words = [sys.executable, "-m", "monitord", "capture", str(burner), "--duration", "60s", "--json"]
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while not is_recording(process.pid) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, err
    row = json.loads(out)
    assert row["pid"] == burner
    assert row["duration_seconds"] < 50
    assert row["correlation_id"] in cli("recent", "-o", "csv").out
    assert "Traceback" not in err


def test_one_capture_at_a_time(burner, here, store, data_dir) -> None:
    with hold(data_dir / CAPTURE_LOCK, "busy"):
        answer = here("capture", str(burner), "--duration", "1s")
    assert (answer.code, answer.out) == (75, "")
    assert f"pid {os.getpid()}" in answer.err


def test_consent_is_asked_for_by_hand_too(burner, here, tmp_path) -> None:
    config = tmp_path / "never.toml"
    config.write_text('[capture]\nconsent = "never"\n')
    answer = here("capture", str(burner), "--duration", "1s", "--config", str(config), "--json")
    assert answer.code == 4
    assert json.loads(answer.out)["status"] == "refused"
    assert "consent" in answer.err


def test_status_without_a_daemon_says_what_to_type(here, store) -> None:
    """And what there is all the same: where it lies and how full it is."""
    answer = here("status")
    assert answer.code == 3
    assert answer.out.startswith("nobody records here\n")
    assert re.search(r"^  store +[\d.]+ \w+ of 50", answer.out, re.MULTILINE)
    assert "monitord run" in answer.err
    assert json.loads(here("status", "--json").out)["running"] is False


def test_status_of_somebody_who_records(here, store, data_dir) -> None:
    with hold(data_dir / DAEMON_LOCK, "busy"):
        write_status(data_dir, status_of(os.getpid()))
        answer = here("status")
        shown = json.loads(here("status", "-o", "json").out)
    assert answer.code == 0, answer.err
    for part in (f"pid {os.getpid()}", "3 h ago", "312 processes", "23 %", "0.08 % of one core", "38.0 MiB", "of 50.0 MB",
                 "3 alerts", "monitord show abcdefgh", "degraded", "retention: ran"):  # fmt: skip
        assert part in answer.out
    assert "\x1b" not in answer.out
    assert (shown["running"], shown["pid"]) == (True, os.getpid())
    files = [path for path in data_dir.rglob("*") if path.is_file()]  # those of the daemon, too
    assert shown["usage"]["total_bytes"] == sum(path.stat().st_size for path in files)
    assert shown["usage"]["total_bytes"] == usage_of(data_dir).total_bytes


def test_what_ails_a_recorder_stands_first_and_what_mends_it_last(here, store, data_dir) -> None:
    """And what waits for a profile, and the jobs that have not run yet on one line."""
    jobs = {"vacuum": {"next_run": datetime.now(UTC) + timedelta(hours=3, minutes=1)}, "optimize": {}}
    with hold(data_dir / DAEMON_LOCK, "busy"):
        write_status(data_dir, status_of(os.getpid(), pending=["abcdefghijkl", "bcdefghijklm"], jobs=jobs))
        lines = here("status").out.splitlines()
        write_status(data_dir, status_of(os.getpid(), degraded=[]))
        sound = here("status").out.splitlines()
    assert lines[0] == f"monitord 0.1.0 records, with 1 trouble (pid {os.getpid()})"
    assert lines[1].split(None, 1) == ["degraded", "the disk\\x1b[31m is full"]
    assert lines[-1].split(None, 1) == ["fixes", "monitord doctor"]
    assert [line.split(None, 1)[1] for line in lines if line.startswith("  waiting ")] == ["2 profiles"]
    assert [line.split("not yet run: ")[1] for line in lines if "not yet run" in line] == [
        "vacuum, next in 3 h; optimize"
    ]
    assert sound[0] == f"monitord 0.1.0 records (pid {os.getpid()})"
    assert not [line for line in sound if line.startswith(("  fixes", "  degraded", "  waiting"))]


@pytest.mark.parametrize("text", ["[sampling]\ninterval_s = -1\n", ""])
def test_status_without_a_recorder_says_what_it_knows(text, here, store, data_dir, tmp_path) -> None:
    """A killed one's last look; and a configuration that can't be read hides nothing else."""
    config = tmp_path / "config.toml"
    config.write_text(text)
    write_status(data_dir, status_of(1, taken_at=datetime.now(UTC) - timedelta(hours=2)))
    answer = here("--config", str(config), "status")
    assert (answer.code, answer.err.count("\n")) == (3, 1)
    assert answer.out.startswith("nobody records here\n")
    assert ("  store " in answer.out) == (text == "")
    assert re.search(r"^  last look +2 h ago$", answer.out, re.MULTILINE)


def test_a_status_that_lies_does_not_make_a_daemon(here, store, data_dir) -> None:
    """A file left by a killed daemon: the lock is the truth."""
    write_status(data_dir, status_of(os.getpid()))
    assert here("status").code == 3


@pytest.mark.parametrize("age_s", [3600, None])
def test_a_silent_daemon_ends_with_5(age_s, here, store, data_dir) -> None:
    with hold(data_dir / DAEMON_LOCK, "busy"):
        if age_s:
            write_status(data_dir, status_of(1, taken_at=datetime.now(UTC) - timedelta(seconds=age_s)))
        answer = here("status")
    assert answer.code == 5
    assert "monitord logs" in answer.err


def test_explain_tells_the_daemons_view_and_says_so(here, store, data_dir) -> None:
    with hold(data_dir / DAEMON_LOCK, "busy"):
        write_status(data_dir, status_of(os.getpid()))
        answer = here("explain", "--rule", "cpu-hog")
        shown = json.loads(here("explain", "--rule", "cpu-hog", "--pid", str(os.getpid()), "--json").out)
    assert "cooling down for 300 s" in answer.out
    assert "python\\n3" in answer.out
    assert "as the daemon saw it" in answer.err
    assert (shown[0]["source"], shown[0]["state"], shown[0]["distance"]) == ("daemon", "cooling_down", -7.0)


def test_explain_looks_itself_without_a_daemon(burner, here) -> None:
    """A stopped process used no CPU in that second; a burner used some, also on a crowded machine."""

    def looked(pid: int) -> dict[str, dict[str, Any]]:
        answer = here("explain", "--pid", str(pid), "-o", "json")
        by_rule = {entry["rule"]: entry for entry in json.loads(answer.out)}
        assert by_rule["cpu-hog"]["source"] == "look"
        assert by_rule["cpu-hog"]["pid"] == pid
        assert {"memory-hog", "hang"} <= set(by_rule)
        return by_rule

    # So low is the priority of this lane that a second may pass without a tick for it.
    wait_until(lambda: looked(burner)["cpu-hog"]["last_values"][-1] > 0, "CPU of the burner")
    os.kill(burner, signal.SIGSTOP)
    assert looked(burner)["cpu-hog"]["last_values"][-1] == 0
    assert "just now" in here("explain", "--pid", str(os.getppid())).err


def test_explain_says_of_a_paused_process_that_it_is_frozen(here) -> None:
    """It breaks no rule, and waits for nothing that can be seen in it."""
    folder = Path("/sys/fs/cgroup/freezer", f"monitord-test-{os.getpid()}")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        folder.mkdir()
        (folder / "cgroup.procs").write_text(str(process.pid))
        (folder / "freezer.state").write_text("FROZEN")
        said = here("explain", "--pid", str(process.pid)).err
        (folder / "freezer.state").write_text("THAWED")
        assert f"process {process.pid} does not run: its control group is frozen (a paused container)" in said
        assert "frozen" not in here("explain", "--pid", str(process.pid)).err
    except OSError as error:
        pytest.skip(f"no freezer of version 1 can be made: {error}")
    finally:
        if folder.exists():
            (folder / "freezer.state").write_text("THAWED")
        process.kill()
        process.wait()
        if folder.exists():
            folder.rmdir()


def test_rules_are_listed_and_replayed(here, store, tmp_path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nname = "any"\nmetric = "cpu"\nabove = 1\nwindow_s = 1\n')
    assert "cpu-hog" in here("rules", "list").out
    listed = json.loads(here("rules", "list", "--json", "--config", str(rules)).out)
    assert listed[0]["above"] == {"value": 1.0, "unit": "percent"}
    answer = here("rules", "test", str(rules), "--json")
    assert (answer.code, answer.out) == (0, "[]\n")
    assert "any 0" in answer.err
    assert here("rules", "test", str(tmp_path / "none.toml")).code == 6


def test_replayed_history_says_what_would_have_fired(here, store, tmp_path) -> None:
    """A minute of one process at 95 percent, stored as a daemon stores it."""
    from monitord.cli.terminal import display_width
    from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates

    start = datetime.now(UTC) - timedelta(minutes=30)
    system = SystemRates(50.0, 2, 8 << 30, 4 << 30, 0, 0.5)
    process = ProcessRates(ProcessKey(77, 1), "hot\nname", 1, "R", 0, 95.0, 1 << 20, 1)
    store.add_history(
        [
            Rates(
                taken_at=start + timedelta(seconds=2 * i),
                monotonic_s=1000.0 + 2 * i,
                interval_s=2.0,
                system=system,
                processes=(process,),
                process_count=1,
                is_complete=True,
            )
            for i in range(30)
        ]
    )
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nname = "warm"\nmetric = "cpu"\nabove = 80\nwindow_s = 10\n')
    answer = here("rules", "test", str(rules), "--since", "1h")
    assert answer.code == 0
    header, line = answer.out.splitlines()
    assert header.split() == ["WHEN", "RULE", "WHY"]
    assert "warm" in line
    narrow = here("rules", "test", str(rules), "--since", "1h", COLUMNS="40").out.splitlines()
    assert max(map(display_width, narrow)) <= 40
    assert json.loads(here("rules", "test", str(rules), "--since", "1h", "--json").out)[0]["pid"] == 77


def test_run_becomes_the_daemon(environment, data_dir) -> None:
    """The same pid, no Typer in it, and its status for everybody to read."""
    process = subprocess.Popen(
        [sys.executable, "-m", "monitord", "run"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while (
            not (data_dir / "status.json").exists() and process.poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        status = json.loads((data_dir / "status.json").read_text(encoding="utf-8"))
        assert status["pid"] == process.pid
        words = (
            Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0") if sys.platform == "linux" else []
        )
        assert not words or b"monitord.daemon" in words
        process.terminate()
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert out == b"", "stdout belongs to data"
    finally:
        process.kill()


def test_service_plans_are_shown_and_nothing_is_done(here, tmp_path) -> None:
    answer = here("service", "install", "--print")
    assert answer.code == 0
    assert "monitord" in answer.out
    assert not list(tmp_path.rglob("*.service"))
    assert here("service", "uninstall", "--print").code == 0
    assert here("service", "uninstall", "--purge", "--print").code == 0


def test_doctor_names_fixes_and_strict_counts_warnings(here) -> None:
    shown = json.loads(here("doctor", "--json").out)
    assert all(check["fix"] for check in shown if check["outcome"] != "ok" and check["name"] == "daemon")
    assert any(check["name"] == "daemon" for check in shown)
    answer = here("doctor", "--strict")
    assert (answer.code, "fix: " in answer.out) == (1, True), "nobody records here: a warning"


def test_doctor_checks_the_rest_when_the_configuration_cant_be_used(cli, tmp_path, data_dir) -> None:
    """The mistake is one failure with its line; tools, rights and the store are looked at all the same."""
    broken = tmp_path / "broken.toml"
    broken.write_text("[sampling]\nspeed = 1\n")
    answer = cli("--config", str(broken), "doctor", "-o", "json")
    checks = {check["name"]: check for check in json.loads(answer.out)}
    assert answer.code == 1
    assert f"{broken}:2: invalid sampling.speed" in checks["configuration"]["detail"]
    assert {"py-spy", "data directory", "daemon"} <= set(checks)


def test_a_capture_of_a_stopped_process_says_that_it_is_stopped(burner, cli) -> None:
    """Not that no profiler was tried: what stands in the way, and what to type."""
    os.kill(burner, signal.SIGSTOP)
    answer = cli("capture", str(burner), "--duration", "1s")
    assert (answer.code, f"kill -CONT {burner}" in answer.err) == (1, True)
