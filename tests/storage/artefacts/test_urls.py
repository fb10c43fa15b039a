"""URLs of storage: every part is read or refused with what was expected, and no secret is ever shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.errors import ConfigError, MonitordError, StorageError
from monitord.installation import install_command
from monitord.storage.artefacts.keyring import load_keyring
from monitord.storage.artefacts.providers import PROVIDERS, open_provider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.urls import StorageConfig, StorageType, parse_url, read_secret, shown_url
from tests.contracts.test_providers import KEY, PLUGIN, get, put

ROOT = Path(__file__).parents[3]


def test_a_url_is_taken_apart() -> None:
    url = parse_url("rediss://me:pass%40word@cache.example:6380/3?ttl=7d&prefix=a%3Ab%26")
    assert (url.scheme, url.host, url.port, url.path) == ("rediss", "cache.example", 6380, "/3")
    assert (url.user, url.password) == ("me", "pass@word")
    assert url.options == {"ttl": "7d", "prefix": "a:b&"}
    assert url.seconds("ttl", None) == 7 * 86400
    assert url.storage_type is StorageType.REDIS
    assert parse_url("s3://bucket/some/prefix").path == "/some/prefix"
    assert parse_url("file:///var/lib/a%20b").path == "/var/lib/a b"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("15min", 900), ("12h", 43200), ("7d", 604800)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert parse_url(f"redis://h?ttl={text}").seconds("ttl", None) == seconds


def test_a_plain_path_means_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_url("./kept here").path == str(tmp_path / "kept here")
    assert parse_url(str(tmp_path)).storage_type is StorageType.FILE
    provider = open_provider("./kept")
    assert isinstance(provider, FileStorageProvider)
    assert provider.base_path == tmp_path / "kept"


BAD = [
    *(
        "",
        "file",
        "redis:",
        "//x",
        ":///x",
        "FILE:///x",
        "1x://h",
        "file:/x",
        "file:///a b",
        "file:///a\nb",
        "memory:// ",
    ),
    *(
        "file://",
        "file:///",
        "file://host/x",
        "file://localhost:1/x",
        "file:///x?quarantine=relative",
        "file:///x#y",
    ),
    *(
        "memory://host",
        "memory:///x",
        "memory://?max_bytes=-1",
        "memory://?max_bytes=x",
        "memory://?max_bytes=²",
    ),
    *(
        "redis://",
        "redis:///0",
        "redis://h/x",
        "redis://h/0/1",
        "redis://h:x",
        "redis://h:99999",
        "redis://h?ttl=0",
    ),
    *("redis://h?ttl=-1", "redis://h?ttl=1y", "redis://h?ttl=", "redis://h?ttl=1s&ttl=2s", "redis://h?ttl"),
    *(
        "redis://h?timeout=soon",
        "redis://[::1",
        "redis://h?password_file=relative/path",
        "redis://h?password_file=x",
    ),
    *(
        "s3://",
        "s3:///prefix",
        "s3://b:1",
        "s3://u:p@b",
        "s3://b/../x",
        "s3://b/a//b",
        "s3://b/a b",
        "s3://b?tags=no",
    ),
    *("s3://b?endpoint=x", "s3://b?allow_http=1", "gs://b?endpoint=https://x", "az://c?region=x"),
]


@pytest.mark.parametrize("text", BAD)
def test_a_url_that_cannot_be_right_is_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_provider(text)
    assert raised.value.exit_code == 6
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) > 20


def test_an_unknown_scheme_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of plug-ins among them; what only tests use is not offered."""
    monkeypatch.syspath_prepend(PLUGIN)
    with pytest.raises(ConfigError) as raised:
        open_provider("ftp://host/x")
    named = {scheme for scheme in (*PROVIDERS, "shelf") if f"{scheme}://" in str(raised.value)}
    assert named == {*PROVIDERS, "shelf"} - {"memory"}


@pytest.mark.parametrize(
    "url", ["file:///x?color=red", "memory://?color=red", "redis://h?color=red", "s3://b?color=red"]
)
def test_an_unknown_option_names_the_known_ones(url: str) -> None:
    with pytest.raises(ConfigError, match=r"option 'color', expected \w+") as raised:
        open_provider(url)
    assert "red" not in str(raised.value).removeprefix("redis").replace("redis://", "")


def test_a_plugin_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGIN)
    with pytest.raises(StorageError, match="cannot load the plug-in shelf_storage_that_is_not_there:open_it"):
        open_provider("broken://x")


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("redis://h", "redis", "redis"), ("s3://b", "obstore", "s3")]
)
def test_what_is_not_installed_is_said_with_what_to_type(url: str, package: str, extra: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"  # what Python does for a package that is not there
        "from monitord.storage.artefacts.providers import open_provider\n"
        f"try: open_provider({url!r})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("StorageError "), done.stderr
    assert f"; install it: {install_command(extra)}" in done.stdout


def test_only_what_is_opened_is_loaded() -> None:
    """The daemon that keeps files carries neither Redis nor S3 nor the search for plug-ins."""
    code = (
        "import sys, tempfile\n"
        "from monitord.storage.artefacts.providers import open_provider\n"
        "open_provider(f'file://{tempfile.mkdtemp()}/x'); open_provider('memory://')\n"
        "print([name for name in ('redis', 'obstore', 'importlib.metadata') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


words = st.text("ABCXYZ0189", min_size=6, max_size=20).map(lambda text: f"§Qz{text}§")


@given(
    secret=words,
    scheme=st.sampled_from(["redis", "s3", "file", "ftp", "no scheme", ""]),
    broken=st.booleans(),
)
def test_no_secret_is_ever_shown(secret: str, scheme: str, broken: bool) -> None:
    """Wherever it stands in a URL, right or wrong: not in the text, not in the error, not in the repr."""
    raw, quoted = secret, quote(secret)
    for written in (raw, quoted):
        for text in (
            f"{scheme}://user:{written}@host/path",
            f"{scheme}://{written}@host/path?x=1",
            f"{scheme}://us/er:{written}@host/path",
            f"{scheme}://host/path?password={written}",
            f"{scheme}://host?secret_access_key={written}&ttl=1s",
            f"{scheme}://host?endpoint=https://user:{written}@minio",
            f"{scheme}:user:{written}@host",
            f"user:{written}@host",
        ):
            shown = [shown_url(text)]
            try:
                url = parse_url(text + (":x#\n" if broken else ""))
                shown += [str(url), repr(url) if url.user is None and not url.options else ""]
                open_provider(url)
            except MonitordError as error:
                shown.append(str(error))
            assert not any(raw in line or quoted in line or raw[1:-1] in line for line in shown), shown


def test_what_is_no_secret_is_shown() -> None:
    text = "s3://bucket/prefix?endpoint=https://minio:9000&region=eu&access_key_id_file=/run/key"
    assert shown_url(text) == str(parse_url(text)) == text
    assert str(parse_url("redis://me:word@host:6379/0?ttl=7d")) == "redis://***@host:6379/0?ttl=7d"


def test_secrets_come_from_files_and_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("swordfish \n")
    assert read_secret(str(file)) == "swordfish "
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret("secret") == "swordfish "
    for content in (b"", b"\n", b"\xff\xfe", b"x" * 70_000):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="invalid secret in"):
            read_secret("secret")
    with pytest.raises(ConfigError, match=r"cannot read the secret in .*absent"):
        read_secret(str(tmp_path / "absent"))


def test_a_credential_that_is_nowhere_is_told_with_a_line_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For keys and for a provider's secrets alike; a user's own service keeps its under $XDG_RUNTIME_DIR."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for ask in (read_secret, lambda name: load_keyring([f"credential:{name}"])):
        with pytest.raises(ConfigError, match=r"systemd-run --pipe --wait -p LoadCredential=absent:/path"):
            ask("absent")
    if os.geteuid() != 0:
        held = tmp_path / "credentials/monitord.service/secret"
        held.parent.mkdir(parents=True)
        held.write_text("swordfish")
        assert read_secret("secret") == "swordfish"


def test_a_config_says_what_kind_it_is(tmp_path: Path) -> None:
    config = StorageConfig(parse_url(f"file://{tmp_path}"), max_size=10, compression=False, encryption=True)
    assert (config.provider_type, config.base_path) == (StorageType.FILE, tmp_path)
    kinds = {scheme: parse_url(f"{scheme}://x").storage_type for scheme in (*PROVIDERS, "shelf")}
    assert set(kinds.values()) == set(StorageType)
    assert kinds["shelf"] is StorageType.CUSTOM


def test_memory_has_a_limit_when_one_is_given() -> None:
    from monitord.storage.artefacts.errors import DiskFullError

    provider = open_provider("memory://?max_bytes=2000")
    assert isinstance(provider, MemoryStorageProvider)
    stored = put(provider, KEY, b"x" * 1000)
    with pytest.raises(DiskFullError, match="2000 bytes"):
        put(provider, "other", b"x" * 1000)
    with pytest.raises(DiskFullError):
        put(provider, KEY, b"x" * 2000)
    assert get(provider, KEY) == (stored, b"x" * 1000)
    put(provider, KEY, b"y" * 1000)
    provider.delete(KEY)
    put(provider, "other", b"x" * 1000)
