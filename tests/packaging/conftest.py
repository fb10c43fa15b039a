"""What people install: built the way a release is built, put into clean environments far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Release:
    """Both files of a release; the wheel was made from the sdist, as a packager would."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that holds monitord and what it requires, and nothing of the checkout."""

    home: Path

    @property
    def python(self) -> str:
        return str(self.home / "bin/python")

    @property
    def monitord(self) -> str:
        return str(self.home / "bin/monitord")

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.monitord, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=os.environ | environment,
        )


def _call(*words: str | Path, cwd: Path) -> None:
    """Run one step of an installation; its output only if it fails."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    _call(sys.executable, CHECKOUT / "assets" / "fetch.py", cwd=folder)
    _call(sys.executable, "-m", "build", "--outdir", folder, CHECKOUT, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Release(sdist, wheel)


def _install(what: Path, folder: Path) -> Installed:
    """Install without compiling the libraries: of thousands of modules a few hundred are ever imported."""
    home = folder / "environment"
    venv.create(home, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", home / "bin/python")
    options = ("-qq", "--no-compile", "-c", CHECKOUT / "constraints.txt")
    _call(*pip, "install", *options, what, cwd=folder)
    return Installed(home)


@pytest.fixture(scope="session")
def from_wheel(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return _install(release.wheel, tmp_path_factory.mktemp("from-wheel"))


@pytest.fixture(scope="session")
def from_checkout(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What `pipx install .` and `uv tool install .` do: not editable, no help from the sources later."""
    return _install(CHECKOUT, tmp_path_factory.mktemp("from-checkout"))


@pytest.fixture(params=["wheel", "checkout"])
def installed(request: pytest.FixtureRequest) -> Installed:
    found = request.getfixturevalue(f"from_{request.param}")
    assert isinstance(found, Installed)
    return found


@pytest.fixture(autouse=True)
def _far_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another working directory and no module path: what runs is what was installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
