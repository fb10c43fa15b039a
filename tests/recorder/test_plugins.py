"""Policies and eviction of other packages: real distributions on the path, loaded only where nobody else can write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitord import config
from monitord.actions.workspace import Workspace
from monitord.errors import ConfigError, PermissionDeniedError, StorageError
from monitord.plugins import load_plugin
from monitord.recorder import artefact_stores
from monitord.recorder.artefact_stores import artefact_cache, check_state, check_storage
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.artefacts.providers import open_provider
from monitord.storage.state.opening import factory_of
from tests.incident_rows import stored_incidents
from tests.jobs.test_real_store import incident

CODE = """
class Loud:
    def consider(self, stock, now):
        return self
    def should_archive(self, item):
        return False
    def should_delete(self, item):
        return item.tags["process"] == "loud"
    def get_retention_period(self):
        return None

class Broken(Loud):
    def should_delete(self, item):
        raise RuntimeError("no idea")

class Unmade(Loud):
    def __init__(self):
        raise ValueError("not to be made " + "x" * 5000 + chr(27))

class Ageless(Loud):
    def get_retention_period(self):
        raise OSError("no period")

class Nothing(Loud):
    def consider(self, stock, now):
        return None

class Printing(Loud):
    def should_delete(self, item):
        print("}{", end="")
        return False

class Everything(Loud):
    def should_delete(self, item):
        return True

class Oldest:
    def choose(self, entries):
        return next(iter(entries))
"""
POINTS = """[monitord.retention_policies]
loud = own_things:Loud
broken = own_things:Broken
absent = own_things:Absent
unmade = own_things:Unmade
ageless = own_things:Ageless
nothing = own_things:Nothing
printing = own_things:Printing
everything = own_things:Everything

[monitord.cache_strategies]
oldest = own_things:Oldest

[monitord.state_backends]
loud = own_things:Loud

[monitord.storage_providers]
loud = own_things:Loud
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an installed distribution that has the entry points."""
    folder = tmp_path / "packages"
    about = folder / "own_things-1.0.dist-info"
    about.mkdir(parents=True, mode=0o755)
    (folder / "own_things.py").write_text(CODE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-things\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("own_things", None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    with closing(open_store(tmp_path / "data")) as opened:
        yield opened


def workspace(store: SQLiteProfileStore, tmp_path: Path, text: str) -> Workspace:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return Workspace(store.data_dir, path)


@pytest.mark.usefixtures("packages")
def test_an_own_policy_chooses_evidence(store: SQLiteProfileStore, tmp_path: Path) -> None:
    """What it names becomes a summary; pinned and other incidents stay; one that raises is said and stops no other."""
    made = {name: incident(hours=1, size=200, name=name) for name in ("loud", "quiet")}
    pinned = incident(hours=1, size=200, name="loud")
    for each in (*made.values(), pinned):
        store.save_incident(each)
    store.pin(pinned.correlation_id)
    done = run_in_child(
        workspace(store, tmp_path, '[retention]\npolicies = ["broken", "loud"]\n'), tmp_path / "packages"
    )
    assert '"failed"' in done
    assert "no idea" in done
    summaries = {row.correlation_id for row in stored_incidents(store) if row.is_summary}
    assert summaries == {made["loud"].correlation_id}
    done = run_in_child(
        workspace(store, tmp_path, '[retention]\npolicies = ["loud"]\n'), tmp_path / "packages"
    )
    assert '"ok"' in done


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", ["broken", "absent", "unmade", "ageless", "nothing"])
def test_a_policy_that_is_broken_in_any_way_stops_no_other(
    store: SQLiteProfileStore, tmp_path: Path, name: str
) -> None:
    """It can't be loaded or made, raises when asked, or answers nonsense: named in one short line; the others still count."""
    made, pinned = (incident(hours=1, size=200, name="loud") for _ in range(2))
    for each in (made, pinned):
        store.save_incident(each)
    store.pin(pinned.correlation_id)
    place = workspace(store, tmp_path, f'[retention]\npolicies = ["{name}", "printing", "everything"]\n')
    done = run_in_child(place, tmp_path / "packages")
    answer = json.loads(done)
    assert (answer["outcome"], answer["detail"].startswith(f"{name}: ")) == ("failed", True)
    assert len(done) < 1000
    assert "evidence of 1 incident went" in done
    summaries = {row.correlation_id for row in stored_incidents(store) if row.is_summary}
    assert summaries == {made.correlation_id}, "whatever a policy says, what is pinned stays"


def run_in_child(place: Workspace, packages: Path) -> str:
    """Run the errand as the recorder does, with the distribution on the path: it gives its rights up."""
    code = f"import sys; sys.path.insert(0, {str(packages)!r}); from monitord.actions.own_policies import main; main()"
    words = [
        sys.executable,
        "-c",
        code,
        "--data-dir",
        str(place.data_dir),
        "--config",
        str(place.config_path),
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        return child.stdout.read()


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    "text", ['[retention]\npolicies = ["nobodys"]\n', '[storage]\ncache_eviction = "nobodys"\n']
)
def test_a_name_that_no_package_has_is_refused(tmp_path: Path, text: str) -> None:
    """At `config validate`, with the line and the names that there are."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config.toml:2: invalid .*nobodys.*installed: .*(loud|oldest)"):
        check_storage(config.load(path, {}))


@pytest.mark.usefixtures("packages")
def test_own_eviction_is_taken_up(tmp_path: Path) -> None:
    """The cache asks the plug-in who goes."""
    path = tmp_path / "config.toml"
    path.write_text('[storage]\ncache_eviction = "oldest"\n')
    loaded = config.load(path, {})
    check_storage(loaded)
    cache = artefact_cache(loaded.settings.storage)
    assert cache is not None
    assert type(cache.config.strategy).__name__ == "Oldest"


@pytest.mark.usefixtures("packages")
def test_a_plugin_that_can_not_be_had_is_one_line() -> None:
    """A name that its module lacks: an error of ours."""
    with pytest.raises(StorageError, match="Absent"):
        load_plugin("monitord.retention_policies", "absent")


LOADERS: tuple[Callable[[], object], ...] = (
    lambda: load_plugin("monitord.retention_policies", "loud"),
    lambda: load_plugin("monitord.cache_strategies", "oldest"),
    lambda: factory_of("loud://somewhere"),
    lambda: open_provider("loud://somewhere/x"),
)


def test_code_of_other_packages_is_loaded_in_one_place() -> None:
    """Every room that takes entry points loads them by `load_entry`, which looks first at who could have written them."""
    rooms = Path(artefact_stores.__file__).parents[1]
    loading = [path for path in rooms.rglob("*.py") if "entry.load()" in path.read_text()]
    assert [path.name for path in loading] == ["plugins.py"]
    asking = [path for path in rooms.rglob("*.py") if "entry_points(group=" in path.read_text()]
    assert all("load_entry" in path.read_text() for path in asking)
    assert len(asking) == 3


@pytest.mark.root
@pytest.mark.parametrize("where", ["file", "folder", "listing"])
@pytest.mark.parametrize("load", LOADERS, ids=["policy", "eviction", "state", "provider"])
def test_root_loads_nothing_that_others_could_have_written(
    packages: Path, where: str, load: Callable[[], object]
) -> None:
    """A file or a folder that others may write, or that is another's: refused before a line of it runs."""
    places = {
        "file": packages / "own_things.py",
        "folder": packages,
        "listing": packages / "own_things-1.0.dist-info" / "entry_points.txt",
    }
    place = places[where]
    place.chmod(0o777)
    (packages / "own_things.py").write_text("raise SystemExit('it ran')\n")
    for _ in range(2):
        with pytest.raises(PermissionDeniedError, match="only root can write"):
            load()
        place.chmod(0o755)
        os.chown(place, 65534, 65534)


@pytest.mark.parametrize("key", ["state.url", "storage.url"])
def test_validating_runs_nothing_of_a_plugin(key: str, packages: Path, tmp_path: Path) -> None:
    """That a scheme is known is read from what is installed; its code runs when it is used."""
    (packages / "own_things.py").write_text("raise RuntimeError('it ran')\n")
    path = tmp_path / "config.toml"
    section, _, name = key.partition(".")
    path.write_text(f'[{section}]\n{name} = "loud://x"\n')
    loaded = config.load(path, {})
    check_storage(loaded)
    check_state(loaded)
    for load in LOADERS:
        with pytest.raises(StorageError, match="it ran"):
            load()
