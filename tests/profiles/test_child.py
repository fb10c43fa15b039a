"""The child process that reads evidence for the daemon: one JSON object, or one line and exit status 1."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from monitord.model import Hotspot
from tests.patience import PATIENCE_S

SAMPLES = Path(__file__).parent / "samples"
ROOT = Path(__file__).parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitord.profiles", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_it_prints_one_object_with_the_hotspots() -> None:
    result = _run("folded", str(SAMPLES / "py-spy-raw-threads.txt"), "--limit", "2")
    answer = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (0, "")
    assert (answer["sample_count"], answer["error_count"], len(answer["hotspots"])) == (306, 0, 2)
    assert list(answer["hotspots"][0]) == [field.name for field in fields(Hotspot)]
    assert answer["hotspots"][0]["function"] == "inner"


def test_only_the_asked_for_process_is_counted() -> None:
    result = _run("spindump", str(SAMPLES / "macos-spindump.txt"), "--pid", "1")
    assert json.loads(result.stdout)["sample_count"] == 500


def test_unreadable_evidence_is_one_line_and_exit_1(tmp_path: Path) -> None:
    junk = tmp_path / "junk\n\x1b[31m"
    junk.write_bytes(b"\x00\xff not a profile")
    for arguments in (
        ("speedscope", str(junk)),
        ("folded", str(tmp_path / "absent\nfile")),
        ("nonsense", str(junk)),
    ):
        result = _run(*arguments)
        assert result.returncode == 1
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1
        assert "Traceback" not in result.stderr
        assert "\x1b" not in result.stderr


def test_a_wrong_call_is_exit_2() -> None:
    assert _run("folded").returncode == 2
    assert _run("folded", "x", "--pid", "-3").returncode == 2


def test_names_in_any_bytes_come_out_as_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"main (a.py:1);f\xff\x1b[31m (a.py:2) 3\n")
    result = _run("folded", str(path))
    assert json.loads(result.stdout)["hotspots"][0]["function"] == "f\udcff\x1b[31m"
    assert result.stdout.isascii()


def test_it_loads_nothing_but_the_words_and_the_standard_library() -> None:
    """It starts for every capture: a library in it would cost every capture its start-up time."""
    code = "import sys, monitord.profiles.__main__; print(sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    foreign = [
        name for name in ast.literal_eval(result.stdout) if not name.startswith(("_", "sitecustomize"))
    ]
    assert foreign == ["monitord"]
