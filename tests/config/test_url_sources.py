"""Every URL of the configuration may be given by the source that holds it: checked unread, read when it is used.

The table below has each of them with one use of it. A new key that looks like a URL fails until it stands there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from monitord.actions import event_copy, fleet, otlp, shipping, state
from monitord.actions.configuration import check_config, shown_settings
from monitord.actions.doctor import _open_passwords
from monitord.actions.storage_health import check_storage
from monitord.actions.workspace import Workspace
from monitord.analytics.tiering import Tiering, limits_of
from monitord.config import Settings, load
from monitord.config.settings import FileSettings
from monitord.daemon import uploader
from monitord.errors import ConfigError, MonitordError
from monitord.notify.sending import hand_over, url_of
from monitord.recorder.artefact_stores import place_of
from monitord.storage import open_store
from monitord.storage.artefacts.secret_sources import is_source, read_url
from tests.cli.conftest import make_incident
from tests.metrics.collector import collecting

SECRET = "hunter2-of-the-url"
SOURCES = ("file:/nowhere/url", "credential:nowhere", "environment:NOT_SET_HERE")
RECEIVER = "notify.receivers.url"


def keys() -> Iterator[str]:
    """Every key that is called a URL, of every section and of the tables in lists."""
    for section in msgspec.structs.fields(FileSettings):
        tables = [(section.name, section.type)]
        for field in msgspec.structs.fields(section.type) if _is_struct(section.type) else ():
            tables += [(f"{section.name}.{field.name}", one) for one in _structs_in(field.type)]
        for name, table in tables:
            if _is_struct(table):
                found = (field.name for field in msgspec.structs.fields(table))
                yield from (f"{name}.{key}" for key in found if re.search(r"url$|^endpoint$", key))


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _structs_in(kind: object) -> list[type]:
    if _is_struct(kind):
        return [kind]  # type: ignore[list-item]
    return [one for part in getattr(kind, "__args__", ()) for one in _structs_in(part)]


def written(key: str, value: str) -> str:
    """A file that has this key, with what it can't be without."""
    if key == RECEIVER:
        return f'[[notify.receivers]]\nname = "x"\nkind = "webhook"\nurl = "{value}"\n'
    section, _, name = key.partition(".")
    others = "warm_mb = 50\nwarm_days = 1\n" if section == "analytics" else ""
    others = 'signals = ["logs"]\n' if section == "otlp" else others
    return f'[{section}]\n{others}{name} = "{value}"\n'


# --------------------------------------------------------------------- one use of each: it reaches what is held


def _stored(workspace: Workspace, folder: Path) -> None:
    assert uploader.run(workspace.settings, workspace.data_dir)
    assert any(folder.iterdir())
    check_storage(workspace).require_ok()


def _archived(workspace: Workspace, folder: Path) -> None:
    assert uploader.run(workspace.settings, workspace.data_dir)
    check_storage(workspace).require_ok()
    assert folder.exists()


def _shipped(workspace: Workspace, folder: Path) -> None:
    shipping.ship(workspace)
    assert [*folder.rglob("*.parquet")]


def _cold(workspace: Workspace, folder: Path) -> None:
    Tiering(workspace.data_dir, limits_of(workspace.settings)).run()
    assert (folder / "cold").exists()


def _asked(workspace: Workspace, folder: Path) -> None:
    (folder / "v1").mkdir(exist_ok=True)
    assert fleet.hosts(workspace, fleet.Asked()) == []


def _shared(workspace: Workspace, folder: Path) -> None:
    with state.opened(workspace, None, writes=True) as held:
        assert held.get("absent") is None
    assert (folder / "x.db").exists()


def _copied(workspace: Workspace, folder: Path) -> None:
    event_copy.copy_events(workspace)
    assert (folder / "x.db").exists()


USES: dict[str, tuple[str, Callable[[Workspace, Path], object]]] = {
    "storage.url": ("file://{folder}?quarantine={folder}-q", _stored),
    "storage.archive_url": ("file://{folder}?quarantine={folder}-q", _archived),
    "ship.url": ("file://{folder}", _shipped),
    "analytics.cold_url": ("file://{folder}/cold", _cold),
    "fleet.url": ("file://{folder}", _asked),
    "state.url": ("sqlite:///{folder}/x.db", _shared),
    "events.url": ("sqlite:///{folder}/x.db", _copied),
    "otlp.endpoint": ("http://127.0.0.1:{port}/{name}", lambda workspace, _folder: otlp.send(workspace)),
    RECEIVER: (
        "http://127.0.0.1:{port}/{name}/v1/logs",
        lambda workspace, _folder: _told(workspace.settings),
    ),
}


def _told(settings: Settings) -> None:
    (receiver,) = settings.notify.receivers
    assert url_of(receiver).startswith("http://127.0.0.1:")


def test_the_table_has_every_url_of_the_schema() -> None:
    """By their names: `url`, `…_url`, `endpoint`."""
    assert set(keys()) == set(USES)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("key", USES)
def test_a_source_is_checked_unread_and_shown_as_it_is(key: str, source: str, tmp_path: Path) -> None:
    """`config validate` passes where the source is not there, or not this user's to read; `config show` has it."""
    path = tmp_path / "config.toml"
    path.write_text(written(key, source))
    loaded = load(path, {})
    check_config(loaded)
    assert source in repr(shown_settings(loaded))


@pytest.mark.parametrize("key", USES)
@pytest.mark.parametrize("wrong", ["file:relative", "credential:../x", "environment:A-B", "plain words"])
def test_what_is_neither_is_refused_with_the_line(key: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(written(key, wrong))
    with pytest.raises(ConfigError, match=r"config\.toml.*expected") as refused:
        check_config(load(path, {}))
    assert "environment:NAME" in str(refused.value)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One stored incident."""
    with closing(open_store(tmp_path / "data")) as store:
        store.save_incident(make_incident())
    return Workspace(tmp_path / "data", tmp_path / "config.toml")


def held_in(workspace: Workspace, tmp_path: Path, key: str, url: str) -> Path:
    """The configuration names a file that has this URL; that file."""
    held = tmp_path / "held"
    held.write_text(f"{url}\nnot this\n")
    held.chmod(0o600)
    assert workspace.config_path is not None
    workspace.config_path.write_text(written(key, f"file:{held}"))
    return held


@pytest.mark.parametrize("key", USES)
def test_the_url_is_read_when_it_is_used(key: str, workspace: Workspace, tmp_path: Path) -> None:
    """Every user of it reaches what the file names; without the file it says so, by the file's name."""
    folder = tmp_path / "far"
    folder.mkdir(mode=0o700)
    (tmp_path / "far-q").mkdir(mode=0o700)
    url, use = USES[key]
    with collecting() as collector:
        held = held_in(
            workspace, tmp_path, key, url.format(folder=folder, port=collector.port, name=collector.name)
        )
        use(workspace, folder)
        held.unlink()
        with pytest.raises((MonitordError, AssertionError), match=r"held|checks fail"):
            use(workspace, folder)


@pytest.mark.parametrize("key", USES)
@pytest.mark.parametrize("form", ["{secret}", "what://:{secret}@host:port/x", "https://u:{secret}@[bad/"])
def test_no_error_shows_what_a_source_holds(
    key: str, form: str, workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A key in the wrong file, a URL that can't be read: one line that names the source."""
    folder = tmp_path / "far"
    folder.mkdir()
    held_in(workspace, tmp_path, key, form.format(secret=SECRET))
    with pytest.raises((MonitordError, AssertionError)) as refused:
        USES[key][1](workspace, folder)
    said = capfd.readouterr()
    assert SECRET not in f"{refused.value}{said.out}{said.err}"
    if key == RECEIVER:
        (receiver,) = workspace.settings.notify.receivers
        assert SECRET not in str(hand_over(receiver, {}, 1.0))


@pytest.mark.parametrize("key", sorted({*USES} - {RECEIVER, "otlp.endpoint"}))  # which has no password
def test_the_doctor_names_a_password_that_everybody_can_read(key: str, tmp_path: Path) -> None:
    """With what to write instead; a file for its owner alone is well, and so is a URL without one."""
    path = tmp_path / "config.toml"
    path.write_text(written(key, f"postgresql://u:{SECRET}@host/x"))
    path.chmod(0o644)
    (check,) = _open_passwords(load(path, {}))
    assert (check.name, check.outcome) == (key, "warning")
    assert (str(path) in check.detail, "file:/PATH" in (check.fix or "")) == (True, True)
    assert SECRET not in f"{check.detail}{check.fix}"
    path.chmod(0o600)
    assert list(_open_passwords(load(path, {}))) == []
    path.chmod(0o644)
    path.write_text(written(key, "postgresql://u@host/x?sslmode=require"))
    assert list(_open_passwords(load(path, {}))) == []


def test_a_path_with_a_nul_in_it_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="expected the URL of events in its first line"):
        read_url("file:/tmp/a\0b", "events")


def test_where_evidence_lies_is_said_without_reading_the_source(tmp_path: Path) -> None:
    """Another user may ask than the one that may read it."""
    (tmp_path / "c.toml").write_text(written("storage.url", "file:/etc/monitord/bucket.url"))
    said = place_of(load(tmp_path / "c.toml", {}).settings.storage, tmp_path, "a-key")
    assert said == "a-key, at the URL in file:/etc/monitord/bucket.url"


def test_an_endpoint_is_read_from_a_file_however_its_path_is_written(
    workspace: Workspace, tmp_path: Path
) -> None:
    """`file:///PATH` is no endpoint, and so can be nothing but the file."""
    with collecting() as collector:
        held = held_in(workspace, tmp_path, "otlp.endpoint", collector.endpoint)
        assert workspace.config_path is not None
        workspace.config_path.write_text(written("otlp.endpoint", f"file://{held}"))
        assert otlp.send(workspace) == "0 incidents"


def test_a_source_is_what_the_configuration_takes_as_one() -> None:
    """Two rooms know the forms, because storage reads no configuration: they agree."""
    for place in ("s3://b", "file:///x", "/srv/x", "", "memory://"):
        assert not is_source(place)
    assert all(map(is_source, SOURCES))
