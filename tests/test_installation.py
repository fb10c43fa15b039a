"""What to type to add to this monitord is right for pipx, uv, environments with and without pip, and systems."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from monitord.installation import install_command, reinstall_command
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[1]


def prefix_of(kind: str, tmp_path: Path) -> Path:
    """An environment as each installer leaves it."""
    prefix = tmp_path / "monitord"
    site = prefix / "lib" / "python3.11" / "site-packages"
    (site / "pip" if kind in ("venv", "system") else site).mkdir(parents=True)
    marks = {
        "pipx": prefix / "pipx_metadata.json",
        "uv tool": prefix / "uv-receipt.toml",
        "system": prefix / "lib" / "python3.11" / "EXTERNALLY-MANAGED",
    }
    if kind in marks:
        marks[kind].touch()
    return prefix


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("pipx", "pipx inject monitord "),
        ("uv tool", "uv pip install --python "),
        ("venv", f"{sys.executable} -m pip install "),
        ("system", f"{sys.executable} -m pip install --break-system-packages "),
    ],
)
def test_each_installer_has_its_line(kind: str, begins: str, tmp_path: Path) -> None:
    assert install_command("mcp", prefix_of(kind, tmp_path)).startswith(begins)


@pytest.mark.parametrize("kind", ["pipx", "uv tool", "venv", "system", "bare"])
def test_a_package_is_installed_anew_by_the_same_installer(kind: str, tmp_path: Path) -> None:
    line = reinstall_command("py-spy", prefix_of(kind, tmp_path))
    assert line.endswith("install py-spy") or "reinstall py-spy" in line
    assert ("pipx runpip monitord" in line) == (kind == "pipx")


def test_an_environment_without_pip_gets_one_first_or_uses_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `python -m venv --without-pip` and `uv venv` make it."""
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    python = tmp_path / "bare" / "bin" / Path(sys.executable).name
    assert install_command("mcp", tmp_path / "bare").startswith(
        f"{python} -m ensurepip && {python} -m pip install "
    )
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    assert install_command("mcp", tmp_path / "bare").startswith(f"uv pip install --python {python} ")


def test_the_line_for_this_installation_is_one_that_pip_takes() -> None:
    """What each extra needs is installed here: the printed command finds nothing to do, and ends well."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    line = install_command("metrics")
    words = shlex.split(line)
    assert set(extras["metrics"]) <= set(words)
    if " -m pip install " in line:
        done = subprocess.run(
            [*words, "--dry-run", "--no-index"], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr


def test_the_extra_all_is_every_other_one() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = extras.pop("all")
    assert sorted(named.removeprefix("monitord[").removesuffix("]").split(",")) == sorted(extras)
