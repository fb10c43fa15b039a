"""What can't be undone waits for a confirmation: one form, told at once, and nothing was done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.actions import artefacts, incidents, scripts, service, upkeep
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.storage import open_store
from monitord.storage.queries import StoreReader
from tests.cli.conftest import make_incident


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    store = open_store(tmp_path / "data")
    store.save_incident(make_incident())
    store.close()
    yield Workspace(tmp_path / "data")
    with StoreReader(tmp_path / "data") as reader:
        assert reader.counts().incidents == 1


def a_key(workspace: Workspace) -> str:
    return sorted(path.name for path in (workspace.data_dir / "artefacts").iterdir())[0]


def an_id(workspace: Workspace) -> str:
    with workspace.reader() as reader:
        return reader.recent()[0].correlation_id


REFUSED: dict[str, Callable[[Workspace], object]] = {
    "delete": lambda workspace: incidents.delete(workspace, [an_id(workspace)], confirmed=False),
    "storage rm": lambda workspace: artefacts.remove_artefacts(
        workspace, [a_key(workspace)], confirmed=False
    ),
    "storage rebuild": lambda workspace: upkeep.rebuild_database(workspace, confirmed=False),
    "profile clear": lambda workspace: scripts.clear_profiles(workspace, 7, confirmed=False),
    "service uninstall --system --purge": lambda workspace: service.uninstall_plan(
        None, workspace, system=True, purge=True, confirmed=False
    ),
}


@pytest.mark.parametrize("command", REFUSED)
def test_it_is_refused_at_once_with_the_words_to_type(workspace: Workspace, command: str) -> None:
    """Also by what answers with an iterator: nobody has to ask it for its first item."""
    with pytest.raises(UsageError) as refused:
        REFUSED[command](workspace)
    assert re.fullmatch(
        rf"nothing deleted; to [^`]+: `monitord {command}( [^`]+)? --yes`", str(refused.value)
    )
