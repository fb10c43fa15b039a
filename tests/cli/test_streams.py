"""Closed, full and broken standard streams, odd folders: one line and an exit code, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ASKING = (
    "--help", "version", "recent", "recent -o json", "events", "hot -o csv", "show 1", "show 1 -o json", "explain 1",
    "status", "export 1 -o -", "rules list", "config show", "config schema",
    "storage ls", "prefer", "completion bash",
    "replay", "replay -S 1h -o csv", "recent -o csv", "events -o jsonl", "hot",
)  # fmt: skip


def run(
    words: str, environment: dict[str, str], shell: str, **kept: object
) -> subprocess.CompletedProcess[bytes]:
    """The command with a shell's redirection behind it."""
    command = f'"$0" -m monitord {words} {shell}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable],
        env=environment,
        capture_output=True,
        timeout=PATIENCE_S,
        **kept,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("words", ASKING)
def test_a_stdout_that_takes_nothing_is_one_line_and_a_failure(
    words: str, incident: object, store: object, environment: dict[str, str]
) -> None:
    """A full disk and a closed stdout: exit 1 or the command's own, one line for each thing said, no trace."""
    for shell, unbuffered in ((">/dev/full", ""), (">&-", "1")):
        done = run(words, {**environment, "PYTHONUNBUFFERED": unbuffered}, shell)
        said = done.stderr.decode()
        assert done.returncode in (1, 3), (words, shell, said)
        assert "Traceback" not in said
        assert "cannot write to stdout" in said or done.returncode == 3


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", ["--help", "rules list", "recent"])
def test_a_reader_who_leaves_is_141_and_no_line(
    words: str, unbuffered: str, incident: object, environment: dict[str, str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "monitord", *words.split()],
        env={**environment, "PYTHONUNBUFFERED": unbuffered},
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_a_stderr_that_takes_nothing_changes_nothing_else(
    shell: str, unbuffered: str, incident: object, environment: dict[str, str]
) -> None:
    environment = {**environment, "PYTHONUNBUFFERED": unbuffered}
    done = run("recent -o json", environment, shell)
    assert done.returncode == 0
    assert done.stdout.startswith(b"[")
    assert run("recent --nonsense", environment, shell).returncode == 2
    assert run("show nobody", environment, shell).returncode == 3


@pytest.mark.parametrize("words", ["run", "recent", "capture 1", "export 1 -o x.json", "profile run x.py"])
def test_a_folder_that_is_gone_is_one_line(words: str, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "gone"
    command = f'mkdir "{folder}"; cd "{folder}"; rmdir "{folder}"; exec "$0" -m monitord {words}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], env=environment, capture_output=True, timeout=PATIENCE_S
    )
    said = done.stderr.decode()
    assert done.returncode == 3
    assert said.count("\n") == 1
    assert "current directory" in said


@pytest.mark.parametrize("words", ["recent", "status", "doctor", "storage ls", "run"])
def test_a_data_directory_that_is_no_utf8_is_one_line(
    words: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    named = {**environment, "MONITORD_DATA_DIR": os.fsdecode(os.fsencode(tmp_path) + b"/x\xff")}
    done = run(words, named, "")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().endswith("x\\xff: expected a name in UTF-8\n")
    assert done.stderr.count(b"\n") == 1
