"""Asking the recorder to reload: an answer, or why there is none."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.actions.reloading import reload_recorder
from monitord.errors import ConfigError, NotFoundError, PermissionDeniedError, UnreachableError
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import STATUS_FILE

RUN, EARLIER = "2026-01-02T00:00:00+00:00", "2026-01-01T00:00:00+00:00"


def tell(folder: Path, attempts: object, started_at: str = RUN, **reload: object) -> None:
    told = {"started_at": started_at, "reload": {"attempts": attempts, **reload}}
    (folder / STATUS_FILE).write_text(json.dumps(told))


def test_its_answer_is_waited_for_and_what_waits_for_a_restart_is_given(tmp_path: Path) -> None:
    tell(tmp_path, 3, at=str(datetime.now(UTC)))
    with hold(tmp_path / DAEMON_LOCK, "taken"):
        asked: list[int] = []

        def ask(pid: int) -> None:
            asked.append(pid)
            tell(tmp_path, 4, refused=None, needs_restart=["sampling.ring_s"])

        assert reload_recorder(tmp_path, ask) == ["sampling.ring_s"]
    assert asked == [os.getpid()]


def test_a_refusal_is_raised_with_its_reason(tmp_path: Path) -> None:
    """Also where the status of an earlier run counted higher."""
    tell(tmp_path, 9, EARLIER)
    with hold(tmp_path / DAEMON_LOCK, "taken"), pytest.raises(ConfigError, match=r"a\.toml:2: no such rule"):
        reload_recorder(tmp_path, lambda _pid: tell(tmp_path, 1, refused="a.toml:2: no such rule"))


@pytest.mark.parametrize("attempts", [3, None, "4", [], 2.5])
def test_no_answer_is_no_success(tmp_path: Path, attempts: object) -> None:
    """A recorder that hangs, an old one, and a status that is damaged."""
    tell(tmp_path, 3)
    with hold(tmp_path / DAEMON_LOCK, "taken"), pytest.raises(UnreachableError, match="did not answer"):
        reload_recorder(tmp_path, lambda _pid: tell(tmp_path, attempts), patience_s=0.3)


def test_where_nobody_records_nobody_is_asked(tmp_path: Path) -> None:
    for written in (False, True):
        if written:
            tell(tmp_path, 3)
        with pytest.raises(NotFoundError, match="service start"):
            reload_recorder(tmp_path, lambda _pid: pytest.fail("asked"))


@pytest.mark.root
def test_a_pid_in_somebody_elses_file_is_sent_nothing(tmp_path: Path) -> None:
    """Its owner could have written the number of any process there."""
    tell(tmp_path, 3)
    with hold(tmp_path / DAEMON_LOCK, "taken"):
        os.chown(tmp_path / DAEMON_LOCK, 65534, 65534)
        with pytest.raises(PermissionDeniedError, match="--system"):
            reload_recorder(tmp_path)
