"""What a receiver may be: each wrong one is refused with its line, and no refusal holds its URL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as any_of

from monitord import config
from monitord.config.telling import check_receiver_url, shown_receiver_url
from monitord.errors import ConfigError

SECRET = "hunter2"


def load(folder: Path, **held: object) -> config.LoadedConfig:
    path = folder / "config.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"name": "one", **held}.items()]
    path.write_text("\n".join(["[sampling]", "interval_s = 2", "[[notify.receivers]]", *lines]))
    return config.load(path, {})


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"kind": "pigeon"}, "expected one of webhook, slack"),
        ({"kind": "slack"}, "url: expected one"),
        ({"kind": "slack", "url": f"http://hooks.example/{SECRET}"}, "only to this machine itself"),
        ({"kind": "slack", "url": f"ftp://hooks.example/{SECRET}"}, "expected https://HOST"),
        ({"kind": "slack", "url": f"https://[{SECRET}"}, "expected https://HOST"),
        ({"kind": "slack", "url": f"https://h:{SECRET}/"}, "expected https://HOST"),
        ({"kind": "slack", "url": f"https:///{SECRET}"}, "expected https://HOST"),
        ({"kind": "slack", "url": f"https://h/ {SECRET}"}, "expected https://HOST"),
        ({"kind": "slack", "url": f"credential:../{SECRET}"}, "expected https://HOST"),
        ({"kind": "mail", "url": f"https://{SECRET}@h"}, "to: expected one"),
        ({"kind": "mail", "url": f"https://{SECRET}@h", "to": ["a@b"]}, "expected smtps://HOST"),
        ({"kind": "mail", "url": "smtps://h", "to": ["a@b\nBcc: c@d"]}, "to"),
        ({"kind": "mail", "url": "smtps://h", "to": ["a@b"], "sender": "x"}, "sender"),
        ({"kind": "command"}, "command: expected one"),
        ({"kind": "command", "command": ["page"]}, "absolute path"),
        ({"kind": "command", "command": ["/bin/cat"], "url": f"https://h/{SECRET}"}, "url: expected none"),
        ({"kind": "journald", "sender": "a@b"}, "sender: expected none"),
        ({"kind": "journald", "name": "a b"}, "name"),
        ({"kind": "journald", "colour": 1}, "unknown key (known here: name, kind"),
    ],
)
def test_a_wrong_receiver_is_refused_with_its_line_and_without_its_url(
    tmp_path: Path, held: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, **held)
    assert expected in str(refused.value)
    assert "notify.receivers[0]" in str(refused.value)
    assert f"{tmp_path / 'config.toml'}:" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_receiver_of_each_kind_is_taken(tmp_path: Path) -> None:
    for held in (
        {"kind": "webhook", "url": "https://me:pw@h:8443/x?y=z"}, {"kind": "ntfy", "url": "http://localhost:80/topic"},
        {"kind": "slack", "url": "file:/etc/monitord/slack"}, {"kind": "mattermost", "url": "credential:hook"},
        {"kind": "mail", "url": "environment:MAIL", "to": ["a@b.example"]}, {"kind": "apprise", "url": "tgram://a/b"},
        {"kind": "command", "command": ["/bin/cat", "-"]}, {"kind": "desktop"}, {"kind": "journald"},
    ):  # fmt: skip
        (receiver,) = load(tmp_path, **held).settings.notify.receivers
        assert receiver.kind == held["kind"]


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[[notify.receivers]]\nname = 'a'\nkind = 'journald'\n" * 2)
    with pytest.raises(ConfigError, match="'a' is the name of two"):
        config.load(path, {})


def refusal(kind: str, url: str) -> str:
    try:
        check_receiver_url(kind, url)
    except ValueError as error:
        return str(error)
    return ""


@given(
    any_of.text(max_size=60),
    any_of.sampled_from(["", "https://u:p@", "https://h/", "smtps://h?", "tgram://"]),
)
def test_whatever_the_url_is_neither_a_refusal_nor_what_is_shown_holds_its_path(
    text: str, start: str
) -> None:
    """Made-up URLs: nothing that stands behind a host is ever shown or told."""
    url = f"{start}{text}/s3cr3tW0rd?s3cr3tW0rd#s3cr3tW0rd"
    for kind in ("webhook", "mail", "apprise"):
        assert "s3cr3tW0rd" not in refusal(kind, url)
    assert "s3cr3tW0rd" not in shown_receiver_url(url)
