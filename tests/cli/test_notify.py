"""`notify test`, and what other commands say of receivers: who took it, why not, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitord.recorder.status import MESSAGES_FILE
from tests.cli.test_recorder import recorder
from tests.notify.servers import Receiver, receiving, talking

SECRET = "hunter2-Zx81Qw90"


@pytest.fixture
def config(tmp_path: Path, environment: dict[str, str]) -> Path:
    path = tmp_path / "notify.toml"
    environment["MONITORD_CONFIG"] = str(path)
    return path


def table(name: str, kind: str, **held: object) -> str:
    lines = {"name": name, "kind": kind, **held}
    return (
        "[[notify.receivers]]\n"
        + "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
        + "\n"
    )


def test_every_receiver_is_tried_and_one_that_fails_is_named(config: Path, cli) -> None:
    with receiving(Receiver()) as good, receiving(Receiver([(500, {})])) as bad:
        config.write_text(
            table("good", "webhook", url=f"{good.url}/{SECRET}")
            + table("bad", "slack", url=f"{bad.url}/{SECRET}")
            + table("off", "webhook", url=good.url, enabled=False)
        )
        answer = cli("notify", "test")
        assert answer.code == 1
        assert "good (webhook http://127.0.0.1:" in answer.out
        assert "sent" in answer.out.splitlines()[0]
        assert "failed: answered 500" in answer.out.splitlines()[1]
        assert answer.err == "monitord: 1 receiver took no message: bad\n"
        one = cli("notify", "test", "good", "--json")
        assert one.code == 0
        (told,) = json.loads(one.out)
        assert (told["name"], told["kind"], told["error"]) == ("good", "webhook", None)
    assert [body["kind"] for body in good.bodies()] == ["test", "test"]
    assert len(bad.got) == 1
    assert SECRET not in answer.out + answer.err + one.out + one.err


def test_a_receiver_that_never_comes_to_an_end_keeps_nobody_waiting(config: Path, cli) -> None:
    """It answers a header a moment, for ever: each comes in time, and the answer never."""
    with talking(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n") as port:
        config.write_text(
            "[notify]\ndeadline_s = 1\n" + table("bad", "webhook", url=f"http://127.0.0.1:{port}/")
        )
        answer = cli("notify", "test")
    assert answer.code == 1
    assert "failed: did not answer within 1 s" in answer.out


def test_without_a_receiver_it_says_what_to_do_and_a_wrong_name_is_refused(config: Path, cli) -> None:
    config.write_text("")
    nobody = cli("notify", "test")
    assert nobody.code == 3
    assert "[[notify.receivers]]" in nobody.err
    config.write_text(table("team", "journald"))
    wrong = cli("notify", "test", "tem")
    assert wrong.code == 2
    assert "expected one of team" in wrong.err


def test_no_command_shows_what_opens_the_door_of_a_receiver(config: Path, cli, data_dir: Path) -> None:
    """In its URL, its path, its options, and the words of its command."""
    config.write_text(
        table("a", "slack", url=f"https://hooks.example/services/{SECRET}")
        + table("b", "webhook", url=f"https://me:{SECRET}@hooks.example/?token={SECRET}")
        + table("c", "mail", url=f"smtps://me:{SECRET}@mail.example", to=["a@b.example"])
        + table("d", "apprise", url=f"tgram://{SECRET}/1")
        + table("e", "command", command=["/bin/true", "--token", SECRET])
    )
    data_dir.mkdir(mode=0o700)
    for words in (
        ["config", "show"], ["config", "show", "--json"], ["config", "show", "--origin"], ["config", "get", "notify"],
        ["config", "validate"], ["doctor"], ["doctor", "--json"], ["status"],
    ):  # fmt: skip
        answer = cli(*words)
        assert SECRET not in answer.out + answer.err, words
    shown = json.loads(cli("config", "show", "--json").out)["notify"]["receivers"]
    assert [one.get("url") for one in shown] == [
        "https://hooks.example/***", "https://hooks.example/***", "smtps://mail.example", "tgram://***", None,
    ]  # fmt: skip


def test_status_tells_what_was_sent_waits_is_held_and_was_given_up(here, data_dir: Path) -> None:
    told = {
        "kind": "slack",
        "sent": 1234,
        "waiting": 2,
        "held": 3,
        "failed": 4,
        "last_error": "answered 503\x1b[31m",
    }
    data_dir.mkdir(mode=0o700)
    (data_dir / MESSAGES_FILE).write_text(
        json.dumps({"complaints": [], "receivers": {"team": told, "odd": 7}})
    )
    with recorder(data_dir):
        line = " ".join(here("status").out.split())
        assert "team: 1,234 sent, 2 waiting, 3 held for later, 4 given up, answered 503\\x1b[31m" in line
        assert json.loads(here("status", "--json").out)["messages"]["receivers"]["team"]["sent"] == 1234
        for damage in (
            "",
            "[]",
            '{"receivers": 7}',
            '{"receivers": {"a": {"sent": "x", "last_sent_at": 7}}}',
        ):
            (data_dir / MESSAGES_FILE).write_text(damage)
            assert here("status").code == 0
