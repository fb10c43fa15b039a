"""The whole story of a standby program: it spikes, the daemon switches Scalene on, the guilty line is kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.flow.recorder import SPIKE, TARGETS, Recorder
from tests.patience import PATIENCE_S


def named_python(folder: Path) -> str:
    """Python with its packages, Scalene among them, under the name by which the rules know our targets."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / SPIKE).symlink_to(sys.executable)
    (folder / "lib").symlink_to(Path(sys.prefix, "lib"))
    configuration = Path(sys.prefix, "pyvenv.cfg")
    if configuration.exists():
        shutil.copy(configuration, folder)
    return str(folder / "bin" / SPIKE)


def test_a_standby_program_that_spikes_is_profiled_by_scalene(recorder: Callable[..., Recorder]) -> None:
    """Started before the daemon looks, quiet at first; later captures of py-spy stay out of it."""
    daemon = recorder().start()
    script = str(TARGETS / "sleeps_then_burns.py")
    python = named_python(daemon.folder / "python")
    words = daemon.words("profile", "--standby", "--python", python, script)
    program = daemon.spike(
        *words, "--", "8", "300", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stderr is not None
    said = program.stderr.readline()
    assert "stands by as pid" in said
    pid = int(said.split("pid ")[1].split(";")[0])
    incident = daemon.incident(pid=pid, trigger_metric="cpu")
    profile = next(one for one in incident["captures"] if one["role"] == "profile")
    assert profile["profiler"] == "scalene", incident["captures"]
    assert profile["status"] == "ok"
    top = incident["hotspots"][0]
    assert top["function"] == "guilty_loop"
    assert "sleeps_then_burns.py" in top["file"]
    # The black box leads; it saw a line a quarter of a second, and the loop has two.
    assert top["source_line"] in ("total += number * number", "for number in range(20000):")
    assert program.poll() is None, "the program lives on"
    program.terminate()
    program.wait(PATIENCE_S)
    assert list((daemon.data_dir / "standby").iterdir()) == []
