"""The file for node_exporter: by hand and by the recorder's child, whole, for all to read, or a reason."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.children import own_command
from monitord.config import load
from monitord.daemon.errands import Errands
from monitord.errors import ConfigError
from monitord.scheduling import TaskOutcome
from tests.patience import PATIENCE_S


def configured(tmp_path: Path, textfile: Path | str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[metrics]\ntextfile = "{textfile}"\n')
    return path


def test_the_recorder_has_the_file_written_and_hears_how_it_went(
    recorded: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """A real child, started as the recorder starts it: the file passes promtool and all may read it."""
    page = tmp_path / "monitord.prom"
    config = configured(tmp_path, page)
    told: list[TaskOutcome] = []
    errands = Errands(recorded, config, told.append, clock=lambda: 1e9 + time.monotonic() * 20)
    errands.use(load(config, {}).settings)
    deadline_s = time.monotonic() + PATIENCE_S
    while not told and time.monotonic() < deadline_s:
        errands.poll()
        time.sleep(0.05)
    errands.close(1.0)
    assert [(each.name, each.outcome, each.detail) for each in told] == [
        ("metrics textfile", "ok", f"wrote {page}")
    ]
    assert oct(page.stat().st_mode & 0o777) == "0o644"
    judged = subprocess.run(
        [require_tool("promtool"), "check", "metrics"], input=page.read_text(), capture_output=True, text=True
    )
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_a_file_that_cannot_be_written_is_said_with_its_reason(recorded: Path, tmp_path: Path) -> None:
    """No traceback: one line for the recorder's status."""
    config = configured(tmp_path, tmp_path / "missing/monitord.prom")
    words = [*own_command("monitord.actions.metrics_errand"), "textfile"]
    argv = [*words, "--data-dir", str(recorded), "--config", str(config)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # its end is not closed
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        answer = json.loads(child.stdout.read().splitlines()[-1])
        assert child.wait(PATIENCE_S) == 1
    assert answer["outcome"] == "failed"
    assert answer["detail"].endswith("No such file or directory; make its folder first")


@pytest.mark.parametrize("textfile", ["monitord.prom", "/srv/monitord.txt", "/", "/.prom/"])
def test_what_node_exporter_would_not_read_is_refused(textfile: str, tmp_path: Path) -> None:
    """Its collector takes *.prom alone, and the recorder has no folder of anybody's to be relative to."""
    with pytest.raises(ConfigError, match=r"invalid metrics\.textfile: expected an absolute path such as"):
        load(configured(tmp_path, textfile), {})
