"""What is forked where its modules are loaded behaves as what is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.storage import open_store
from tests.patience import PATIENCE_S
from tests.preloaded import command
from tests.servers import wait_until

STARTED = (sys.executable, "-m", "monitord")


@pytest.mark.parametrize(
    "words",
    [["version"], ["recent", "-o", "json"], ["show", "nothing"], ["no-such-command"], ["config", "path"], []],
    ids=" ".join,
)
def test_it_says_what_a_process_says_that_was_started(words: list[str], tmp_path: Path) -> None:
    """On both streams, with the same exit status, in the caller's folder and with its environment."""
    open_store(tmp_path / "data").close()
    environment = {**os.environ, "MONITORD_DATA_DIR": "data", "COLUMNS": "60"}
    told = [
        subprocess.run([*program, *words], cwd=tmp_path, env=environment, capture_output=True, check=False)
        for program in (STARTED, command("cli"))
    ]
    assert [(one.returncode, one.stdout, one.stderr) for one in told[1:]] == [
        (told[0].returncode, told[0].stdout, told[0].stderr)
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it_and_nothing_outlives_who_stands_for_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Its exit status tells the signal, as that of a process which was started."""
    open_store(tmp_path / "data").close()
    words = ["--data-dir", str(tmp_path / "data"), "recent", "--follow"]
    ends = []
    for program in (STARTED, command("cli")):
        with subprocess.Popen(
            [*program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline()  # it follows
            process.send_signal(number)
            ends.append(process.wait(PATIENCE_S))
            wait_until(lambda reader=process.stderr: reader.read() == "", "end of who held the stream")
    assert {*ends} <= {-number, 128 + number}, "the one or the other, by where it was"
