"""A script that nothing ends, as when the kernel holds it, is never taken for one that ended well."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from monitord.cli.script_run import SignalCounter, end, warn_about
from monitord.errors import MonitordError
from monitord.scripts.request import Program
from monitord.scripts.run import RunPlan, ScriptRun, Watcher
from monitord.scripts.runner import run_script
from tests.supervision.unkillable import make_unkillable


def test_a_script_that_cannot_be_killed_has_no_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and no exit code tells success: neither the script's nor that of a missing profile."""
    make_unkillable(monkeypatch)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ntrap '' INT TERM\nexec sleep 300\n")
    python.chmod(0o755)
    program = Program("app.py", python=str(python))
    run = run_script(program, RunPlan(limit_s=0.3, grace_periods_s=(0.1, 0.1)), Watcher())
    assert (run.ended, run.exit_status) == ("duration", None)
    warn_about(run)
    assert "could not be killed" in capsys.readouterr().err
    with pytest.raises(typer.Exit) as left:
        end(ScriptRun(program, run), SignalCounter(), passes_status_on=True)
    assert left.value.exit_code == 137
    with pytest.raises(MonitordError, match="could not be killed"):
        end(ScriptRun(program, run), SignalCounter(), passes_status_on=False)
