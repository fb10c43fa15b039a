"""A release holds what monitord needs, nothing else, and works where no checkout is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord import __version__
from tests.flow.recorder import QUICK, TARGETS, Recorder
from tests.packaging.conftest import CHECKOUT, Installed, Release
from tests.patience import PATIENCE_S

ROWS = 12
SHIPPED = {"monitord": "monitord", "migrations": "monitord/_migrations"} | {
    name: f"monitord/_service/{name}" for name in ("systemd", "launchd")
}  # where a folder of the checkout lies in the wheel

BURNER = "shipped-burner"
RULE = f"""\
[[rules]]
name = "cpu-hog"
match.names = ["{BURNER}"]
metric = "cpu"
above = 10
window_s = 2
min_share = 0.5
clear_below = 2
"""  # low, because others may want the same cores; by name, because they burn too


class InstalledRecorder(Recorder):
    """The recorder of the flow tests, started by the installed command."""

    def __init__(self, folder: Path, installed: Installed) -> None:
        super().__init__(folder, QUICK + RULE)
        self.installed = installed

    def words(self, *command: str) -> list[str]:
        return [self.installed.monitord, *super().words(*command)[3:]]

    def forked(self, *command: str) -> list[str]:
        return self.words(*command)

    def recording(self) -> list[str]:
        return self.words("run")

    def answer(self, *command: str) -> tuple[int, str]:
        """By the installed command, and not by the checkout's."""
        done = self.command(*command)
        return done.returncode, done.stdout


@pytest.fixture
def recorder(from_wheel: Installed, tmp_path: Path) -> Iterator[InstalledRecorder]:
    made = InstalledRecorder(tmp_path, from_wheel)
    yield made
    made.close()


@pytest.fixture
def old_dir(from_wheel: Installed, tmp_path: Path) -> Path:
    """A database of the first schema, made by the shipped migrations, with young rows in it."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    code = "import sys, pathlib, monitord.storage.migrate as m; m.migrate(pathlib.Path(sys.argv[1]), '0001')"
    subprocess.run([from_wheel.python, "-c", code, data_dir], check=True)
    connection = sqlite3.connect(data_dir / "monitord.db")
    for n in range(ROWS):
        connection.execute(
            "INSERT INTO profile_capture (process_name, pid, trigger_metric, trigger_value, captured_at,"
            " profile_path, duration_seconds, notes) VALUES (?, ?, 'cpu', 97.5, datetime('now', ?), ?, 10, '{}')",
            (f"old-{n}", 100 + n, f"-{n + 1} minutes", f"/srv/{n}.sample"),
        )
    connection.commit()
    connection.close()
    return data_dir


def sources(folder: str) -> set[str]:
    paths = (CHECKOUT / folder).rglob("*")
    return {
        path.relative_to(CHECKOUT / folder).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_is_the_package_its_migrations_and_its_service_files(release: Release) -> None:
    """Every file of them and no other: no test, no benchmark, no cache."""
    with zipfile.ZipFile(release.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    manual = {name for name in names if name.endswith(".data/data/share/man/man1/monitord.1")}
    assert len(manual) == 1
    names -= manual
    wanted = {f"{target}/{path}" for folder, target in SHIPPED.items() for path in sources(folder)}
    assert names == wanted
    assert {"monitord/default_rules.toml", "monitord/_migrations/env.py"} <= names


def test_the_sdist_can_be_tested_and_shown(release: Release) -> None:
    """`make test` and `make demo` work from it: the papers, the tests, the pins and the examples are there."""
    with tarfile.open(release.sdist) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    papers = {path.name for path in CHECKOUT.glob("*.md")}
    assert papers <= tops
    assert tops - papers == {
        *SHIPPED, "assets", "man", "tests", "benchmarks", "docs", "examples", "Makefile", "constraints.txt", "pyproject.toml",
        "PKG-INFO", ".gitignore",
    }  # fmt: skip


def test_the_pins_are_versions_only() -> None:
    """A constraint says which version; where it comes from is the business of whoever installs."""
    for line in (CHECKOUT / "constraints.txt").read_text().splitlines():
        name, equals, version = line.partition("==")
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum(), line
        assert equals, line
        assert version.replace(".", "").isalnum(), line


def test_what_runs_is_what_was_installed(installed: Installed) -> None:
    done = installed.run("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"monitord {__version__}\n", "")
    where = [installed.python, "-c", "import monitord; print(monitord.__file__)"]
    module = subprocess.run(where, capture_output=True, text=True, check=True).stdout
    assert Path(module.strip()).is_relative_to(installed.home)


def test_man_finds_the_page_of_an_installation(installed: Installed) -> None:
    """Below the environment's `share/man`, where pipx and man look; it is what this very program prints."""
    page = installed.home / "share/man/man1/monitord.1"
    assert page.read_text(encoding="utf-8") == installed.run("help", "--man").stdout


def test_the_default_rules_need_no_checkout(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("rules", "list", "-o", "json", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert {"cpu", "memory", "disk_io", "network"} <= {rule["metric"] for rule in json.loads(done.stdout)}


def test_the_service_file_names_the_installed_command(installed: Installed) -> None:
    """The shipped template is found, and what it would start is this very installation."""
    done = installed.run("service", "install", "--print")
    assert done.returncode == 0, done.stderr
    assert installed.monitord in done.stdout
    assert "Type=notify" in done.stdout or "<key>ProgramArguments</key>" in done.stdout


def test_it_catches_a_burner_and_ends_on_request(recorder: InstalledRecorder, tmp_path: Path) -> None:
    """Installed, started, a process goes wrong, the guilty function is named, SIGTERM ends it with exit 0."""
    recorder.start()
    name = tmp_path / BURNER
    name.symlink_to(Path(sys.executable).resolve())
    burner = recorder.spike(str(name), str(TARGETS / "burn.py"), "100")
    incident = recorder.incident(pid=burner.pid)
    assert "guilty_loop" in {hotspot["function"] for hotspot in incident["hotspots"]}
    assert recorder.stop(signal.SIGTERM) == 0
    assert recorder.left_behind() == []


def old_names(recorder: InstalledRecorder) -> set[str]:
    return {row["process_name"] for row in recorder.incidents() if row["process_name"].startswith("old-")}


def test_an_old_database_is_upgraded_by_command(old_dir: Path, recorder: InstalledRecorder) -> None:
    """Until then `recent` says what to type; then every old row is shown, and a copy was kept."""
    refused = recorder.command("recent")
    assert refused.returncode != 0
    assert "monitord db upgrade" in refused.stderr
    assert recorder.command("db", "upgrade").returncode == 0
    assert old_names(recorder) == {f"old-{n}" for n in range(ROWS)}
    assert recorder.ask("show", "1")["process_name"] == "old-0"
    assert (old_dir / "monitord.db.before-0001").exists()


def test_an_old_database_is_upgraded_by_a_start(old_dir: Path, recorder: InstalledRecorder) -> None:
    """Nobody has to know about schemas: the daemon of a newer release takes the rows along."""
    recorder.start()
    assert old_names(recorder) == {f"old-{n}" for n in range(ROWS)}
    assert recorder.stop() == 0


@pytest.mark.parametrize("command", [("db", "upgrade"), ("recent",), ("run",)], ids=" ".join)
def test_a_newer_schema_is_refused_untouched(
    old_dir: Path, recorder: InstalledRecorder, command: tuple[str, ...]
) -> None:
    """One line that names the unknown schema; not a byte of the database changes."""
    database = old_dir / "monitord.db"
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    os.utime(database, (1, 1))
    before = (database.read_bytes(), database.stat().st_mtime_ns)
    done = recorder.command(*command)
    assert done.returncode == 1
    assert "9999" in done.stderr.strip().splitlines()[-1]
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before


@pytest.mark.parametrize(("says", "is_built"), [({}, False), ({"MONITORD_WITHOUT_ASSETS": "1"}, True)])
def test_a_wheel_without_the_pages_assets_is_refused_with_one_line(
    release: Release, tmp_path: Path, says: dict[str, str], is_built: bool
) -> None:
    """From a source distribution that lost them, as from a fresh checkout; one may say that no page is wanted."""
    subprocess.run(["tar", "-xzf", release.sdist, "-C", tmp_path], check=True, timeout=PATIENCE_S)
    (source,) = tmp_path.iterdir()
    shutil.rmtree(source / "monitord" / "web" / "assets")
    words = [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", source]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | says, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode == 0) is is_built, done.stdout + done.stderr
    said = [line for line in (done.stdout + done.stderr).splitlines() if "make assets" in line]
    assert len(said) == (0 if is_built else 1)
    assert "Traceback" not in done.stdout + done.stderr
