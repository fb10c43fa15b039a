"""`monitord snapshot`: what the machine ran in the last minute, also what is gone, as an incident."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from monitord.actions.workspace import Workspace
from monitord.mcp_server.asking import Asking
from monitord.mcp_server.output_filter import fence_of
from tests.flow.recorder import FAST, SPIKE, Recorder, stutter

pytestmark = pytest.mark.root  # rings of the whole machine

PROGRAM = stutter(2)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    made = Recorder(tmp_path_factory.mktemp("snapshot"), FAST)
    made.start()
    made.wait_for(lambda: (made.ask("status")["black_box"]).get("state") == "on", "the black box to be on")
    yield made
    made.close()


def functions(incident: dict[str, Any]) -> list[str]:
    return [spot["function"] for spot in incident["hotspots"]]


def test_a_snapshot_names_the_function_of_a_program_that_is_gone(daemon: Recorder) -> None:
    """No rule is there to fire: the incident is made by hand alone."""
    target = daemon.spike(daemon.interpreter, "-c", PROGRAM)
    target.wait()
    incident = daemon.ask("snapshot", "--process", SPIKE[:15])
    assert functions(incident)[0] == "stutter"
    assert incident["rule"] == "snapshot"
    (capture,) = incident["captures"]
    assert capture["role"] == "before"
    assert capture["status"] == "ok"
    assert any(step["function"] == "stutter" for step in incident["timeline"])
    assert daemon.ask("show", incident["correlation_id"])["hotspots"] == incident["hotspots"]


def test_a_snapshot_of_the_whole_machine_has_everybody_but_the_recorder(daemon: Recorder) -> None:
    target = daemon.spike(daemon.interpreter, "-c", stutter(100))
    daemon.wait_for(
        lambda: "stutter" in functions(daemon.ask("snapshot")), "a snapshot to have the function that burns"
    )
    target.kill()
    target.wait()


def test_a_snapshot_of_one_process_has_what_it_started(daemon: Recorder) -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PROGRAM!r}]); input()"
    # Else it ends with its child where there is no terminal, and a slow machine asks too late.
    target = daemon.spike(daemon.interpreter, "-c", parent, stdin=subprocess.PIPE)

    def has_the_child() -> bool:
        found = daemon.command("snapshot", "--pid", str(target.pid), "-o", "json")
        return found.returncode == 0 and "stutter" in found.stdout

    daemon.wait_for(has_the_child, "the snapshot of a parent to have what its child ran")
    target.kill()
    target.wait()


REFUSED = [
    (("--since", "1h"), 2, "invalid period"),
    (("--since", "soon"), 2, "invalid duration"),
    (("--pid", "1", "--process", "x"), 2, "invalid call"),
    (("--pid", "4194303"), 3, "cannot find process 4194303"),
    (("--process", "nobody-is-called-this"), 1, "nothing of it ran"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED)
def test_what_cannot_be_had_is_said_in_one_line(
    daemon: Recorder, words: tuple[str, ...], code: int, said: str
) -> None:
    found = daemon.command("snapshot", *words)
    assert found.returncode == code
    (line,) = found.stderr.splitlines()
    assert said in line


def test_an_assistant_takes_the_same_snapshot(daemon: Recorder) -> None:
    """The tool answers with the incident that it made, as `show` has it; and not more than its budget."""
    asking = Asking(Workspace(daemon.data_dir, daemon.config), fence_of(raw=False))
    target = daemon.spike(daemon.interpreter, "-c", PROGRAM)
    target.wait()
    answer = asking.take_snapshot(process=SPIKE[:15])
    assert functions(answer.incident)[0] == "stutter"
    assert daemon.ask("show", answer.incident["correlation_id"])["rule"] == "snapshot"
