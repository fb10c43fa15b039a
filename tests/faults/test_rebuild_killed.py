"""kill -9 while a damaged database is set aside and the new one filled: the next start finishes it."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.model import Incident
from monitord.storage import open_store
from monitord.storage.schema import UNFILLED_NAME
from tests.incident_rows import stored_incidents
from tests.storage.conftest import make_incident as make_incident

Maker = Callable[..., Incident]
_STEPS = ("os.rename", "os.remove", "sqlite3.connect")
_STRIDE = 2


def in_child(work: Callable[[], object]) -> bool:
    """Do it in a process that ends at once, nothing closed; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def leave_damaged(folder: Path, incident: Incident) -> None:
    """A store with an incident and a state that lies in the WAL alone; its revision makes no sense any more."""
    store = open_store(folder)
    store.save_incident(incident)
    store.set_state("answer", 42)
    connection = sqlite3.connect(folder / "monitord.db")
    connection.execute("UPDATE alembic_version SET version_num = 'None'")
    connection.commit()


def open_and_die(folder: Path, at: int) -> None:
    """Open the store and be killed at the step of this number, if there is one."""
    count = 0

    def hook(event: str, _arguments: object) -> None:
        nonlocal count
        is_step = event in _STEPS
        count += is_step
        if is_step and count == at:
            os.kill(os.getpid(), 9)

    sys.addaudithook(hook)
    open_store(folder)


@pytest.mark.parametrize("first", range(1, _STRIDE + 1))
def test_a_rebuild_that_is_killed_is_finished_by_the_next_start(
    first: int, tmp_path: Path, make_incident: Maker
) -> None:
    """What stands in no artefact comes back as well, whichever step was the last."""
    died, at = True, first
    while died:
        folder = tmp_path / str(at)
        in_child(lambda folder=folder: leave_damaged(folder, make_incident()))
        assert (folder / "monitord.db-wal").stat().st_size
        died = in_child(lambda folder=folder, at=at: open_and_die(folder, at))
        store = open_store(folder)
        assert store.get_state("answer") == 42, at
        assert len(stored_incidents(store)) == 1, at
        assert store.verify() == [], at
        assert not (folder / UNFILLED_NAME).exists(), at
        store.close()
        at += _STRIDE
    assert at > 3 * _STRIDE
