"""An export tells the story without the secrets and without the names, and tells it consistently."""

from __future__ import annotations

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.redaction import HIDDEN, Redactor, find_secrets, redact_text

KEY = b"k" * 32
MACHINE_ID = "0123456789abcdef0123456789abcdef"


def _redactor() -> Redactor:
    return Redactor(
        users=["alice", "root", "nobody"], hosts=["db-7.prod.example.org"], machine_ids=[MACHINE_ID], key=KEY
    )


def test_one_identity_has_one_pseudonym_everywhere() -> None:
    redactor = _redactor()
    home = redactor.text("/home/alice/app/main.py")
    assert "alice" not in home
    assert home.endswith("/app/main.py")
    pseudonym = home.split("/")[2]
    assert redactor.text("owner alice, group users") == f"owner {pseudonym}, group users"
    assert Redactor(users=["alice"], key=b"x" * 32).text("alice") != pseudonym


def test_a_user_seen_only_in_a_path_is_hidden_elsewhere_too() -> None:
    out = json.dumps(
        _redactor().value({"a": "uid of bob-smith", "b": "/Users/bob-smith/x", "c": "bob-smithson"})
    )
    assert "bob-smith " not in out
    assert '"uid of bob-smith"' not in out
    assert "bob-smithson" in out


def test_root_and_nobody_are_nobody_in_particular() -> None:
    assert _redactor().text("root nobody /root/x") == "root nobody /root/x"


def test_hosts_are_renamed_in_all_spellings() -> None:
    redactor = _redactor()
    full = redactor.text("db-7.prod.example.org")
    assert full.startswith("host-")
    assert redactor.text("db-7 db_7 DB-7 db-77") == f"{full} {full} {full} db-77"


def test_addresses_keep_their_class_and_lose_their_value() -> None:
    redactor = _redactor()
    out = redactor.text(
        "127.0.0.1 ::1 10.1.2.3 10.1.2.3:8080 8.8.4.4 fe80::1:2 2001:4860:4860::8888 dhcp-192-168-0-66 v1.2.3"
    )
    words = out.split()
    assert words[0:2] == ["127.0.0.1", "::1"]
    assert words[2].startswith("ip-private-")
    assert words[3] == words[2] + ":8080"
    assert words[4].startswith("ip-public-")
    assert words[5].startswith("ip-private-")
    assert words[6].startswith("ip-public-")
    assert words[7].startswith("dhcp-ip-private-")
    assert words[8] == "v1.2.3"
    assert redactor.text("192.168.0.66") == words[7].removeprefix("dhcp-")


def test_hardware_addresses_are_found_with_all_three_separators() -> None:
    redactor = _redactor()
    out = {redactor.text(mac) for mac in ("52:54:00:ab:cd:ef", "52-54-00-AB-CD-EF", "52_54_00_ab_cd_ef")}
    assert len(out) == 1
    assert out.pop().startswith("mac-")


def test_the_machine_id_goes_plain_and_dashed() -> None:
    redactor = _redactor()
    dashed = "01234567-89ab-cdef-0123-456789abcdef"
    assert redactor.text(MACHINE_ID) == redactor.text(dashed)
    assert "0123" not in redactor.text(dashed)


def test_times_versions_and_names_are_no_addresses() -> None:
    text = "10:23:45 std::vector a::b 2026-11-20 1.2.3 Chrome/120.0.6099.109 libz.so.1.2.13"
    assert _redactor().text(text) == text


def test_a_secret_found_anywhere_is_removed_everywhere() -> None:
    """The value is recognised once by its key, and removed where nothing announces it, in other codings too."""
    coded = base64.b64encode(b"hunter2/pw!").decode().rstrip("=")
    out = json.dumps(_redactor().value({"log": "said hunter2/pw! again", "argv": ["app", "--password=hunter2/pw!"],
                                        "url": "/x/hunter2%2Fpw%21", "b64": f"x {coded}"}))  # fmt: skip
    assert "hunter2" not in out
    assert coded not in out


def test_known_values_are_removed_and_counted() -> None:
    redactor = Redactor(known=["s3cr3t-pw"], key=KEY)
    assert redactor.text('repr "s3cr3t-pw" and s3cr3t-pw') == f'repr "{HIDDEN}" and {HIDDEN}'
    assert redactor.counts["known_value"] == 2


def test_shape_and_numbers_survive() -> None:
    value = {
        "pid": 42,
        "share": 0.5,
        "late": False,
        "none": None,
        "list": ["a", 1],
        "password": "hunter2",
        "token_count": 7,
    }
    assert _redactor().value(value) == {**value, "password": HIDDEN}


def test_keys_that_become_equal_keep_both_values() -> None:
    out = _redactor().value({"db-7": 1, "db_7": 2})
    assert isinstance(out, dict)
    assert sorted(out.values()) == [1, 2]


def test_what_the_redactor_leaves_passes_the_second_scan() -> None:
    text = "curl -u a:b https://u:p@h/?x=y --token=abcdefgh AKIA" + "IOSFODNN7EXAMPL3"
    assert find_secrets(text)
    assert find_secrets(_redactor().text(text)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_data_keeps_its_shape(value: object) -> None:
    def shape(node: object) -> object:
        if isinstance(node, dict):
            return [shape(inner) for inner in node.values()]
        if isinstance(node, list):
            return [shape(inner) for inner in node]
        return type(node) if isinstance(node, str) else node

    assert shape(_redactor().value(value)) == shape(value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = _redactor()
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert redact_text(once) == once


def test_data_nested_without_end_is_hidden_and_does_not_raise() -> None:
    deep: object = "hunter2"
    for _ in range(20_000):
        deep = [deep]
    value = _redactor().value({"a": deep, "b": "kept"})
    assert isinstance(value, dict)
    assert value["b"] == "kept"
    while isinstance(value, (dict, list)):
        value = value["a"] if isinstance(value, dict) else value[0]
    assert value == HIDDEN


def test_a_text_that_comes_again_is_hidden_and_counted_again() -> None:
    """Also after more texts than are remembered; what it gave away is known from the first time on."""
    redactor = Redactor(key=b"k")
    text = "connect --password=hunter2pass to db"
    first, once = redactor.text(text), dict(redactor.counts)
    for number in range(5_000):
        redactor.text(f"plain words {number}")
    assert redactor.text(text) == first == redactor.text(text)
    assert "hunter2pass" not in first
    assert sum(once.values()) == 1
    assert redactor.counts == {rule: 3 * count for rule, count in once.items()}
    assert "hunter2pass" not in redactor.text("hunter2pass stands alone")
