"""An older recorder that runs keeps its schema, whatever is asked to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.actions import scripts, upkeep
from monitord.actions.assistants import record_action
from monitord.actions.capturing import CaptureRequest, capture_now
from monitord.actions.workspace import Workspace
from monitord.errors import BusyError
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.scripts.request import ScriptRequest
from monitord.scripts.run import RunPlan, Watcher
from monitord.storage.migrate import migrate
from monitord.storage.readonly import stored_revision
from monitord.storage.schema import DATABASE_NAME

OLDER = "0004"


def script(workspace: Workspace) -> ScriptRequest:
    path = workspace.data_dir.with_name("job.py")
    path.write_text("end = 200_000\nwhile end:\n    end -= sum(range(1000)) > 0\n")
    return ScriptRequest(str(path))


WRITERS: dict[str, Callable[[Workspace], object]] = {
    "an action is written down": lambda workspace: record_action(workspace, "mcp add_note", {}),
    "a capture": lambda workspace: capture_now(
        workspace, os.getpid(), CaptureRequest(duration_s=0.5), lambda _elapsed_s, _of_s: True
    ),
    "a script is profiled and kept": lambda workspace: scripts.profile(
        workspace, script(workspace), RunPlan(), Watcher(), keep=True
    ),
    "a script stands by": lambda workspace: scripts.stand_by(workspace, script(workspace), lambda: 0),
    "retention": upkeep.run_retention,
    "an upgrade": upkeep.upgrade_database,
    "a verification": upkeep.verify,
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    migrate(folder, OLDER)
    with hold(folder / DAEMON_LOCK, "taken"):
        yield Workspace(folder)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_its_schema_stays(workspace: Workspace, write: Callable[[Workspace], object]) -> None:
    """It would save nothing into a newer one: refused, with what upgrades both."""
    with pytest.raises(BusyError, match="service restart"):
        write(workspace)
    assert stored_revision(workspace.data_dir / DATABASE_NAME) == OLDER
