"""What the doctor says of each receiver, without sending anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitord.config.telling import ReceiverSettings
from monitord.doctor import Surroundings, run_checks
from monitord.doctor.receivers import check_receivers
from monitord.notify.receivers import RECEIVERS
from tests.notify.servers import Receiver, receiving

UNIT = Path("etc/systemd/system/monitord.service")


def told(root: Path, **held: Any) -> tuple[str, str, str | None]:
    receiver = ReceiverSettings(name="one", **held)
    (check,) = check_receivers(Surroundings(root, "0", root=root, receivers=(receiver,)))
    assert check.name == "receiver one"
    return check.outcome, check.detail, check.fix


def test_nothing_is_sent_and_nothing_secret_is_said(tmp_path: Path) -> None:
    with receiving(Receiver()) as place:
        outcome, detail, fix = told(tmp_path, kind="webhook", url=f"{place.url}/hunter2")
    assert (outcome, fix, place.got) == ("ok", None, [])
    assert "hunter2" not in detail
    assert "not tried here" in detail


def test_what_stands_in_the_way_is_said_with_what_to_type(tmp_path: Path) -> None:
    program = tmp_path / "page"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o777)
    for held, said in (
        ({"kind": "webhook", "url": f"file:{tmp_path}/none"}, "/none: No such file"),
        ({"kind": "command", "command": (str(tmp_path / "none"),)}, "not a program"),
        ({"kind": "command", "command": (str(program),)}, "can be written by others"),
        ({"kind": "slack", "url": "environment:NO_SUCH_VARIABLE"}, "not set"),
    ):
        outcome, detail, fix = told(tmp_path, **held)  # type: ignore[arg-type]  # of each kind its own
        assert outcome == "warning"
        assert said in detail
        assert fix == "monitord notify test one"


@pytest.mark.parametrize("dropped_in", [None, "[Service]\nIPAddressAllow=10.0.0.7\n"])
def test_a_unit_that_reaches_this_machine_alone_is_told_with_its_cure(
    tmp_path: Path, dropped_in: str | None
) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).write_text("[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n")
    if dropped_in is not None:
        (tmp_path / f"{UNIT}.d").mkdir()
        (tmp_path / f"{UNIT}.d/override.conf").write_text(dropped_in)
    outcome, _, fix = told(tmp_path, kind="webhook", url="https://hooks.example/x")
    assert outcome == ("warning" if dropped_in is None else "ok")
    assert dropped_in is not None or "systemctl edit monitord" in str(fix)
    assert told(tmp_path, kind="webhook", url="http://127.0.0.1:1/")[0] == "ok"


@pytest.mark.parametrize("name", ["config.toml", "conf.d/50-team.toml"])
def test_a_url_that_everybody_can_read_is_told_with_what_to_do(tmp_path: Path, name: str) -> None:
    """The machine's configuration is open to its users, and who knows the URL can send in its name."""
    secret = "https://hooks.example/services/hunter2"
    path = tmp_path / "etc/monitord" / name
    path.parent.mkdir(parents=True)
    path.write_text(f'url = "{secret}"\n')
    path.chmod(0o644)
    outcome, detail, fix = told(tmp_path, kind="webhook", url=secret)
    assert (outcome, "everybody on this machine can read its URL" in detail) == ("warning", True)
    assert "mode 0600" in str(fix)
    assert "hunter2" not in detail + str(fix)
    path.chmod(0o600)
    assert told(tmp_path, kind="webhook", url=secret)[0] == "ok"


def test_every_kind_is_checked_and_none_is_configured_by_default(tmp_path: Path) -> None:
    needs = {"mail": {"to": ("a@b.example",), "url": "smtps://h"}, "command": {"command": ("/bin/true",)}}
    by_http = {kind: {"url": "https://h/x"} for kind in ("webhook", "slack", "mattermost", "ntfy")}
    for kind in RECEIVERS:
        held = {**by_http, **needs, "apprise": {"url": "json://h"}}.get(kind, {})
        assert told(tmp_path, kind=kind, **held)[0] in ("ok", "warning")
    assert [check for check in run_checks(Surroundings(tmp_path, "0")) if "receiver" in check.name] == []
