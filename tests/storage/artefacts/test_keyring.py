"""Where keys come from, who may see them, and that nobody ever does."""

from __future__ import annotations

import base64
import copy
import os
import pickle
from pathlib import Path

import pytest

from monitord.errors import ConfigError, MonitordError, PermissionDeniedError
from monitord.storage.artefacts.errors import WrongKeyError
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring, load_keyring, new_key

SECRET = os.urandom(32)
FORMS = {
    "raw": SECRET,
    "hex": SECRET.hex().encode(),
    "HEX, a line": SECRET.hex().upper().encode() + b"\n",
    "base64": base64.b64encode(SECRET),
    "base64, a line": base64.b64encode(SECRET) + b"\n",
    "base64 for URLs": base64.urlsafe_b64encode(SECRET) + b"\r\n",
}


def key_file(folder: Path, held: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(held)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("held", FORMS.values(), ids=FORMS)
def test_a_key_is_read_from_a_file_and_a_credential(tmp_path: Path, held: bytes) -> None:
    expected = EncryptionKey(SECRET).key_id
    key_file(tmp_path, held)
    assert load_keyring([f"file:{tmp_path}/key"]).active.key_id == expected
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load_keyring(["credential:key"], environment).active.key_id == expected


def test_a_key_is_read_from_the_environment() -> None:
    for held in (SECRET.hex(), base64.b64encode(SECRET).decode(), base64.urlsafe_b64encode(SECRET).decode()):
        keyring = load_keyring(["environment:KEY"], {"KEY": held})
        assert keyring.active.key_id == EncryptionKey(SECRET).key_id


def test_a_new_key_is_one_line_that_can_be_loaded(tmp_path: Path) -> None:
    first, second = new_key(), new_key()
    assert first != second
    path = key_file(tmp_path, first.encode() + b"\n")
    assert load_keyring([f"file:{path}"]).active.key_id != load_keyring(["environment:K"], {"K": second})


def test_the_first_source_encrypts_and_all_of_them_open() -> None:
    environment = {"NEW": new_key(), "OLD": new_key()}
    keyring = load_keyring(["environment:NEW", "environment:OLD"], environment)
    old = load_keyring(["environment:OLD"], environment).active
    assert keyring.key_ids == (keyring.active.key_id, old.key_id)
    assert keyring.find(old.key_id, "x").unwrap(old.wrap(b"data", b"b"), b"b") == b"data"
    with pytest.raises(WrongKeyError, match="is missing"):
        keyring.find("0" * 16, "x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o777])
def test_a_file_that_others_can_read_is_no_secret(tmp_path: Path, mode: int) -> None:
    with pytest.raises(PermissionDeniedError, match="chmod 600"):
        load_keyring([f"file:{key_file(tmp_path, SECRET, mode)}"])


WRONG = {
    "empty": b"",
    "short": SECRET[:31],
    "long": SECRET + SECRET,
    "short hex": SECRET.hex()[:-2].encode(),
    "no base64": b"(" * 44,
    "short base64": base64.b64encode(SECRET[:24]),
    "a raw key and a line end": SECRET + b"\n",
    "zeros": bytes(32),
    "a passphrase": b"aaaabbbbaaaabbbbaaaabbbbaaaabbbb",
    "a large file": b"x" * 100_000,
}


@pytest.mark.parametrize("held", WRONG.values(), ids=WRONG)
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, held: bytes) -> None:
    """The line names the source, and nothing of what is in it."""
    path = key_file(tmp_path, held)
    with pytest.raises(ConfigError) as raised:
        load_keyring([f"file:{path}"])
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    if held:
        assert held[:8].decode("latin-1") not in str(raised.value)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "file:",
        "/etc/key",
        "password:x",
        "environment:MISSING",
        "credential:key",
        "credential:../key",
        "file:/nowhere/key",
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, source: str) -> None:
    key_file(tmp_path, SECRET)
    environment = {} if source == "credential:key" else {"CREDENTIALS_DIRECTORY": str(tmp_path / "inner")}
    with pytest.raises(ConfigError):
        load_keyring([source], environment)


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="invalid encryption key: none"):
        load_keyring([])


def test_a_folder_and_a_pipe_are_no_key_files(tmp_path: Path) -> None:
    """And neither blocks: nobody will ever write to the pipe."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in (".", "pipe"):
        with pytest.raises(MonitordError):
            load_keyring([f"file:{tmp_path / name}"])


def test_nothing_shows_a_key() -> None:
    """Not a representation, an error, a copy or a pickle; the fingerprint is no part of it."""
    key = EncryptionKey(SECRET)
    keyring = Keyring(key, EncryptionKey(os.urandom(32)))
    shown = [repr(key), str(key), repr(keyring), f"{keyring.key_ids}"]
    for form in (SECRET.hex(), base64.b64encode(SECRET).decode(), repr(SECRET), SECRET.hex()[:16]):
        assert not any(form in text for text in shown)
    assert key.key_id not in SECRET.hex()
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy(key)
