"""kill -9 at every step of archiving, deleting and replacing, on real files: one of the two versions is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.wrappers.archived import ArchivingProvider
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
            work(ArchivingProvider(near, Watched(FileStorageProvider(folder / "far"), tick)))
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
    return ArchivingProvider(FileStorageProvider(folder / "near"), FileStorageProvider(folder / "far"))


def test_killed_at_any_step_of_archiving_nothing_is_lost_and_a_second_attempt_finishes(
    tmp_path: Path,
) -> None:
    steps, lived = 0, False
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
        lived = in_a_child_that_dies(folder, lambda provider: provider.archive(KEY), at=steps)
        with closing(opened(folder)) as provider:
            assert get(provider) == DATA
            assert list(provider.list()) == [KEY]
            pointer = provider.archive(KEY)
            assert provider.archive(KEY) == pointer == provider.get_metadata(KEY)
            assert (get(provider), pointer.archived_in) == (DATA, "file")
            assert list(provider.unreferenced()) == []
            assert provider.delete(KEY) == pointer.stored_size < 1000
            assert [name for name in files_of(folder) if not name.endswith(".part")] == []
        steps += 1
    assert steps > 15, "too few steps for this to say anything"


def test_killed_at_any_step_of_a_deletion_a_second_one_finishes(tmp_path: Path) -> None:
    steps, lived = 0, False
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
            provider.archive(KEY)
        lived = in_a_child_that_dies(folder, lambda provider: provider.delete(KEY), at=steps)
        with closing(opened(folder)) as provider:
            provider.delete(KEY)
            assert list(provider.list()) == []
        assert files_of(folder) == []
        steps += 1
    assert steps >= 4


def test_killed_while_another_takes_its_place_the_old_or_the_new_one_is_there(tmp_path: Path) -> None:
    steps, lived, new = 0, False, os.urandom(300_000)
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
            provider.archive(KEY)
        lived = in_a_child_that_dies(
            folder, lambda provider: put(provider, new, at=NOW + timedelta(hours=1)), at=steps
        )
        with closing(opened(folder)) as provider:
            assert get(provider) in ((new,) if lived else (DATA, new))
            provider.archive(KEY)
            assert get(provider) in (DATA, new)
        steps += 1
    assert steps >= 6
