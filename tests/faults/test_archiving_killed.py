"""kill -9 at every step of archiving, deleting and replacing, on real files: one of the two versions is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from tests.storage.test_archiving import DATA, KEY, NOW, Watched, files_of, get, put


def in_a_child_that_dies(folder: Path, work: Callable[[ArchivingProvider], object], at: int) -> bool:
    """Do it in a process that is killed at the given step, with real files; whether it lived to its end."""
    child = os.fork()
    if child == 0:
        left = at

        def tick(_what: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            near = Watched(FileStorageProvider(folder / "near"), tick)
            far = Watched(FileStorageProvider(folder / "far"), tick)
            work(ArchivingProvider(near, far, PendingDeletions(folder / "deletions")))
            code = 0
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def opened(folder: Path) -> ArchivingProvider:
    near, far = (FileStorageProvider(folder / name) for name in ("near", "far"))
    return ArchivingProvider(near, far, PendingDeletions(folder / "deletions"))


def delete(provider: ArchivingProvider) -> None:
    """Here, and then in the archive."""
    provider.delete(KEY)
    provider.delete_pending()


def replace(provider: ArchivingProvider, new: bytes) -> None:
    """Here, and then the older version's copy goes."""
    put(provider, new, at=NOW + timedelta(hours=1))
    provider.delete_pending()


def test_killed_at_any_step_of_archiving_nothing_is_lost_and_a_second_attempt_finishes(
    tmp_path: Path,
) -> None:
    steps, lived = 0, False
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
        lived = in_a_child_that_dies(folder, lambda provider: provider.upload(KEY), at=steps)
        with closing(opened(folder)) as provider:
            assert get(provider) == DATA
            assert list(provider.list()) == [KEY]
            pointer = provider.upload(KEY)
            assert provider.upload(KEY) == pointer == provider.get_metadata(KEY)
            assert (get(provider), pointer.archived_in) == (DATA, "file")
            assert provider.delete_pending() == 0
            assert provider.delete(KEY) == pointer.stored_size < 1000
            assert provider.delete_pending() == 1
            assert [name for name in files_of(folder) if not name.endswith((".part", ".lock"))] == []
        steps += 1
    assert steps > 15, "too few steps for this to say anything"


def test_killed_at_any_step_of_a_deletion_a_second_one_finishes(tmp_path: Path) -> None:
    steps, lived = 0, False
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
            provider.upload(KEY)
        lived = in_a_child_that_dies(folder, delete, at=steps)
        with closing(opened(folder)) as provider:
            delete(provider)
            assert list(provider.list()) == []
        assert [name for name in files_of(folder) if not name.endswith(".lock")] == []
        steps += 1
    assert steps >= 4


def test_killed_while_another_takes_its_place_the_old_or_the_new_one_is_there(tmp_path: Path) -> None:
    steps, lived, new = 0, False, os.urandom(300_000)
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
            provider.upload(KEY)
        lived = in_a_child_that_dies(folder, lambda provider: replace(provider, new), at=steps)
        with closing(opened(folder)) as provider:
            assert get(provider) in ((new,) if lived else (DATA, new))
            provider.upload(KEY)
            assert get(provider) in (DATA, new)
            provider.delete_pending()
            assert get(provider) in (DATA, new)
            assert len(files_of(folder / "far")) == 1, "of the version that is here, and no other"
        steps += 1
    assert steps >= 6
