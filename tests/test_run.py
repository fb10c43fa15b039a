"""The suite runs in lanes beside each other: each test in one of them, and what each says counts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import run as runner
from tests.alone import hold
from tests.patience import PATIENCE_S
from tests.run import LANES, TESTS, has_room, lane_of, lanes_of, relay, report_broken, status_of
from tests.unsharing import NO_EXEC, mounted


def test_every_module_is_in_one_lane_and_the_table_names_what_exists() -> None:
    """A folder or a file that was renamed would fall into the wrong lane unseen."""
    found = {path.relative_to(TESTS): lane_of(path) for path in TESTS.rglob("test_*.py")}
    assert set(found.values()) == set(LANES)
    assert sum(map(len, LANES.values())) == len(frozenset().union(*LANES.values())), "one lane a name"
    for lane, names in LANES.items():
        held = {path for path in found if found[path] == lane}
        assert names <= {path.parts[0] for path in held} | {path.as_posix() for path in held}
    for path, lane in found.items():
        assert lane in lanes_of(TESTS / path.parts[0]), "its folder is looked into"


@pytest.mark.parametrize(
    ("ended", "status"), [((0, 0), 0), ((0, 1), 1), ((2, 0), 2), ((5, 0), 0), ((5, 5), 5), ((0, -9), 9)]
)
def test_any_lane_s_failure_is_the_failure_of_the_run(ended: tuple[int, int], status: int) -> None:
    """A lane without a test (5) counts for nothing, unless no lane had one; killed is failed."""
    assert status_of(ended) == status


def test_a_lane_that_broke_off_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Its status is the run's, but who sees only the last lines has to know whose it is."""
    report_broken({"storing": 0, "asking": 1, "faults": -9, "other": 5, "spikes": 3, "lint": -15})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["faults", "|", "broke", "off", "with", "exit", "status", "-9"],
        ["spikes", "|", "broke", "off", "with", "exit", "status", "3"],
        ["lint", "|", "broke", "off", "with", "exit", "status", "-15"],
    ]


@pytest.mark.unshared
def test_a_folder_in_which_no_program_may_run_is_not_used(tmp_path: Path) -> None:
    """Containers mount /dev/shm so, and tests write programs of their own there."""
    for flags, is_usable in ((0, True), (NO_EXEC, False)):
        with mounted(tmp_path / "memory", "size=5g", flags) as folder:  # a limit and no use of so much
            assert has_room(folder) == is_usable


def with_lint(folder: Path, lines: str) -> dict[str, str]:
    """An environment in which `make lint` does this: what lints this tree takes a minute, and may install first."""
    makefile, program = folder / "Makefile", folder / "bin/make"
    makefile.write_text(f"lint:\n\t@{lines}\n")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("make")} --file={makefile} "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


def test_what_ci_calls_lints() -> None:
    """As one more lane: without that word the tests alone would run."""
    told = subprocess.run(["make", "--dry-run", "test"], cwd=TESTS.parent, capture_output=True, text=True)
    assert "tests/run.py --lint" in told.stdout, told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_every_lane(number: int, tmp_path: Path) -> None:
    """The module's end sees to it that nobody of them is left (tests/conftest.py)."""
    words = [sys.executable, TESTS / "run.py", "--lint", "--collect-only", "-q"]
    environment = with_lint(tmp_path, "sleep 600")
    run = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, env=environment
    )
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    deadline = time.monotonic() + PATIENCE_S
    while len(pids := children.read_text().split()) <= len(LANES) and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(number)
    run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 128 + number
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


LEAVING = "import subprocess; print('last word'); subprocess.Popen(['sleep', '600'])"
HANGING = "import faulthandler, time; faulthandler.enable(); print('a word'); time.sleep(600)"


@pytest.mark.parametrize(
    ("program", "told", "status"),
    [(LEAVING, "holds its output, is killed", 0), (HANGING, "in <module>", -signal.SIGABRT)],
    ids=["what a lane left", "a lane"],
)
def test_nobody_waits_for_what_hangs(
    program: str,
    told: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """CI was ended from outside after 90 minutes, and nothing said what it had waited for."""
    monkeypatch.setattr(runner, "HELD_AT_MOST_S", 0.5)
    monkeypatch.setattr(runner, "SILENT_AT_MOST_S", 2.0)
    words = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
    ) as process:
        relay("faults", process)
        assert process.wait(PATIENCE_S) == status
    said = capsys.readouterr().out
    assert "word" in said
    assert told in said


UNEQUAL = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    assert [{"name": str(number), "of": [number] * 9} for number in range(1, 300)] == [
        {"name": str(-number), "of": [-number] * 9} for number in range(1, 300)]
"""


def test_in_ci_nobody_waits_until_a_long_difference_is_told_whole(tmp_path: Path) -> None:
    """Twenty failures of two lists of dictionaries took ten minutes each, the most that a test may take."""
    (tmp_path / "unequal.py").write_text(UNEQUAL)
    words = ["-q", "-p", "unequal", "tests/test_counting.py", "-k", "would_be_found"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "CI": "true"},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 1
    assert "At index 0 diff" in run.stdout
    assert "Full diff" not in run.stdout


DISTURBING = """
import pathlib

def pytest_runtest_call(item):
    before = pathlib.Path(r"{folder}", item.name)
    first = not before.exists()
    before.touch()
    assert not first or item.name != "test_a_noun_that_does_not_agree_would_be_found"
    assert item.name != "test_a_number_agrees_with_its_noun[model.py]"
"""


def test_what_fails_is_run_again_alone_and_the_last_lines_name_it(tmp_path: Path) -> None:
    """A test that fails both times is the run's failure; one that fails only beside the others is told, and so is a lint."""
    (tmp_path / "disturbing.py").write_text(DISTURBING.format(folder=tmp_path))
    words = [
        "-q",
        "-p",
        "disturbing",
        "tests/test_counting.py",
        "-k",
        "would_be_found or (with_its_noun and model)",
        "--lint",
    ]
    run = subprocess.run(
        [sys.executable, TESTS / "run.py", *words],
        env=with_lint(tmp_path, "echo a line is too long; exit 1") | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = [
        line.partition(" | ")[2].replace("tests/test_counting.py::", "") for line in run.stdout.splitlines()
    ]
    assert told[-3:] == [
        "failed beside the other lanes, passed alone: test_a_noun_that_does_not_agree_would_be_found",
        "failed: test_a_number_agrees_with_its_noun[model.py]",
        "failed: its lines above say why",
    ]
    assert "a line is too long" in told
    assert run.returncode == 2


OUTLIVED = """
import os, signal, sys
from pathlib import Path
from tests.alone import hold
held = hold(Path(sys.argv[1]))
begun, into = os.pipe()
child = os.fork()
if not child:
    os.write(into, b"x")
    signal.pause()
os.read(begun, 1)
held.close()
try:
    held = hold(Path(sys.argv[1]))
    print("held again")
finally:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="names of sockets without files are Linux's")
def test_two_runs_never_share_a_folder_for_temporary_files(tmp_path: Path) -> None:
    """A test once read the configuration that the same test of a second run had written: a server's answer was another's."""
    folder = tmp_path / "of one"
    held = hold(folder)
    assert held is not None
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", str(tmp_path)]
    words += ["-p", "tests.conftest", "--basetemp", str(folder), str(tmp_path / "test_nothing.py")]
    second = subprocess.run(words, capture_output=True, text=True, cwd=TESTS.parent, timeout=PATIENCE_S)
    assert second.returncode == pytest.ExitCode.USAGE_ERROR, second
    assert f"another pytest uses --basetemp {folder}" in second.stderr
    held.close()
    done = subprocess.run(
        [sys.executable, "-c", OUTLIVED, str(folder)],
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (0, "held again\n"), done
