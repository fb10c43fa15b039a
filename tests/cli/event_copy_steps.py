"""Copies a store's events, killed at one step after the other, and then once more undisturbed.

`python -m tests.cli.event_copy_steps DATA URL`: what is at the URL goes before each step; what is there after
it must be what one undisturbed round left. Prints how many steps a round has, and how many times it was killed. A step is a statement or a commit of the database, or a file that is opened, renamed or removed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, event
from sqlalchemy.engine import Engine

from monitord.actions import event_copy
from monitord.actions.workspace import Workspace
from monitord.fleet.ship_state import read_state
from monitord.model import Event
from monitord.storage.events.far import FarEvents, schema_of

_CHANGES = {"os.rename", "os.remove", "os.mkdir"}
_NEVER = 1 << 30


def copy(data: Path, url: str, dies_at: int) -> int:
    """How many steps a round had; in a child that is killed before step `dies_at`."""
    steps = 0

    def step(*_words: Any, **_more: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, _arguments: tuple[Any, ...]) -> None:
        if name in _CHANGES:
            step()

    sys.addaudithook(hook)
    event.listen(Engine, "before_cursor_execute", step)
    event.listen(Engine, "commit", step)
    event_copy.BATCH = 25
    event_copy.copy_events(Workspace(data), url)
    return steps


def in_child(data: Path, url: str, dies_at: int) -> tuple[int, int]:
    """The wait status, and the steps of a round that ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(copy(data, url, dies_at)).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001  whatever it is, it must not go on as the parent
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    os.close(writing)
    with os.fdopen(reading) as said:
        return status, int(said.read() or 0)


def there(url: str, host_id: str) -> list[Event]:
    """All events of the copy."""
    with FarEvents.to_ask(url, host_id, None, 60) as far:
        return far.events.query_events(limit=None)


def empty(url: str, schema: str) -> None:
    """Remove what is there."""
    if url.startswith("sqlite:"):
        for path in Path(url.removeprefix("sqlite:///")).parent.glob("far-*"):
            path.unlink()
        return
    with create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool
    ).begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def main(data: Path, url: str) -> None:
    status, count = in_child(data, url, _NEVER)
    assert status == 0
    known = read_state(data)
    assert known is not None
    schema = schema_of(known.host_id)
    expected = there(url, known.host_id)
    killed = 0
    for dies_at in range(1, count + 1, int(os.environ.get("MONITORD_COPY_KILLS", "3"))):
        empty(url, schema)
        status, _steps = in_child(data, url, dies_at)
        assert status in (0, signal.SIGKILL), (dies_at, status)
        killed += status == signal.SIGKILL
        status, _steps = in_child(data, url, _NEVER)
        assert status == 0, dies_at
        assert there(url, known.host_id) == expected, dies_at
    print(count, killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
