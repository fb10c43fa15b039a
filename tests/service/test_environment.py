"""Root's own environment: what is taken over, what is refused, and which version runs."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from monitord.errors import MonitordError, PermissionDeniedError
from monitord.ownership import is_for_all, lasting_path
from monitord.service.environment import InstallInto, StartOrGoBack, UseVersion, unpack
from monitord.service.packing import pack
from monitord.service.steps import Command, CommandLink

SITE = "lib/python3.11/site-packages"


def tar_of(*members: tuple[str, bytes | None], kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content or b""), "/etc/shadow"
            tar.addfile(member, io.BytesIO(content or b""))
    return io.BytesIO(out.getvalue())


def test_what_is_packed_can_be_taken_over_and_runs(tmp_path: Path) -> None:
    """From this checkout: monitord with what it ships, and what it requires; by no script that names a folder."""
    sent = io.BytesIO()
    count = pack(sent)
    sent.seek(0)
    assert unpack(sent, tmp_path) == count
    site = tmp_path / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for name in (
        "monitord/cli/app.py",
        "monitord/_migrations/env.py",
        "monitord/_service/systemd/monitord.service",
    ):
        assert (site / name).is_file()
    assert (tmp_path / "bin/py-spy").stat().st_mode & 0o777 == 0o755
    assert not [path for path in (tmp_path / "bin").iterdir() if path.read_bytes()[:2] == b"#!"]
    assert not list(site.glob("pip")) + list(site.glob("*.pth"))
    code = "import sys; sys.path.insert(0, sys.argv[1]); sys.argv[1:] = ['--version']; from monitord.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(site)], cwd="/", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        f"{SITE}/../../../x",
        "bin/../../x",
        f"{SITE}//x",
        "pyvenv.cfg",
        "bin",
        "bin/a\nb",
        f"{SITE}/./x",
    ],
)
def test_a_name_outside_an_environment_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    with pytest.raises(MonitordError, match="not a file of an environment"):
        unpack(tar_of((name, b"x")), tmp_path / "env")
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
def test_only_plain_files_are_taken_over(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(MonitordError, match="not a file of an environment"):
        unpack(tar_of(("bin/x", None), kind=kind), tmp_path)


def test_no_file_is_taken_over_twice_and_no_planted_link_is_followed(tmp_path: Path) -> None:
    with pytest.raises(MonitordError, match="comes twice"):
        unpack(tar_of(("bin/x", b"1"), ("bin/x", b"2")), tmp_path)
    (tmp_path / "bin/y").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MonitordError, match="comes twice"):
        unpack(tar_of(("bin/y", b"1")), tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.root
def test_nothing_that_others_can_change_is_packed(tmp_path: Path) -> None:
    """The child says which file and why, and sends nothing whole."""
    package = tmp_path / "site/monitord_extra"
    package.mkdir(parents=True)
    tmp_path.chmod(0o755)
    (package / "__init__.py").write_text("")
    code = (
        "import sys, io; from pathlib import Path; from monitord.service import packing;"
        "packing._PACKAGE = Path(sys.argv[1]); packing._BESIDE = {}; packing._required = lambda name: ();"
        "packing.pack(io.BytesIO())"
    )
    for mode, owner, expected in (
        (0o644, 0, None),
        (0o646, 0, "can be written by others"),
        (0o644, 4321, "belongs to uid"),
    ):
        (package / "__init__.py").chmod(mode)
        os.chown(package / "__init__.py", owner, 0)
        ran = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True)
        assert (ran.returncode == 0) == (expected is None), ran.stderr
        assert expected is None or expected in ran.stderr


class Manager:
    """A service manager whose service starts from some versions only."""

    def __init__(self, home: Path, good: set[str]) -> None:
        self.home, self.good, self.tried = home, good, [""]

    def __call__(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        version = (self.home / "current").resolve().name
        self.tried.append(version)
        return subprocess.CompletedProcess(argv, 0 if version in self.good else 1, "", "it failed")


def versions(home: Path, *names: str) -> Path:
    for name in names:
        (home / "versions" / name / "bin").mkdir(parents=True)
    return home


def test_a_version_is_used_in_one_step_and_the_one_before_it_stays(tmp_path: Path) -> None:
    home = tmp_path
    for name in ("1", "2", "3"):
        versions(home, name)
        UseVersion(home / "versions" / name).do(Manager(home, set()))
        assert (home / "current").resolve() == home / "versions" / name
    assert (home / "previous").resolve() == home / "versions/2"
    assert sorted(path.name for path in (home / "versions").iterdir()) == ["2", "3"]


def test_what_does_not_start_gives_way_to_the_version_before_it(tmp_path: Path) -> None:
    home = versions(tmp_path, "1", "2")
    manager, start = Manager(home, {"1"}), StartOrGoBack(Command(("start",)), home)
    UseVersion(home / "versions/1").do(manager)
    start.do(manager)
    UseVersion(home / "versions/2").do(manager)
    with pytest.raises(MonitordError, match=r"it failed; 1, which ran before, runs again"):
        start.do(manager)
    assert (home / "current").resolve().name == "1"
    manager.good = set()
    UseVersion(home / "versions/2").do(manager)
    with pytest.raises(MonitordError, match="does not start either"):
        start.do(manager)


def test_the_first_version_has_nothing_to_give_way_to(tmp_path: Path) -> None:
    home = versions(tmp_path, "1")
    UseVersion(home / "versions/1").do(Manager(home, set()))
    with pytest.raises(MonitordError, match=r"it failed$"):
        StartOrGoBack(Command(("start",)), home).do(Manager(home, set()))


def test_the_command_is_linked_where_nothing_else_is(tmp_path: Path) -> None:
    link, target, run = tmp_path / "bin/monitord", tmp_path / "current/bin/monitord", Manager(tmp_path, set())
    assert CommandLink(link, target).do(run).startswith("left")  # a machine without such a folder
    link.parent.mkdir()
    assert CommandLink(link, target).do(run).startswith("linked")
    assert link.readlink() == target
    assert CommandLink(link, target).do(run).startswith("unchanged")
    link.unlink()
    link.write_text("somebody's")
    assert CommandLink(link, target).do(run).startswith("left")
    assert link.read_text() == "somebody's"


def test_what_is_written_down_names_the_version_in_use() -> None:
    """A client's configuration outlives the version that wrote it."""
    assert lasting_path("/opt/monitord/versions/1.0-x/bin/python") == "/opt/monitord/current/bin/python"
    assert lasting_path("/usr/bin/python3") == "/usr/bin/python3"


def test_an_environment_is_made_only_where_root_alone_can_write(tmp_path: Path) -> None:
    from monitord.service.environment import BuildEnvironment

    home = tmp_path / "opt/monitord"
    home.mkdir(parents=True)
    home.chmod(0o777)
    with pytest.raises(PermissionDeniedError, match="cannot make an environment in"):
        BuildEnvironment(home / "versions/1", Path(sys.executable).resolve(), 0).do(Manager(home, set()))
    assert not (home / "versions/1").exists()


def wheel_of(folder: Path, version: str = "9.9", code: str = "print('monitord 9.9')") -> Path:
    """A wheel of the name monitord that requires nothing."""
    path = folder / f"monitord-{version}-py3-none-any.whl"
    info = f"monitord-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("monitord/__init__.py", "")
        wheel.writestr("monitord/cli.py", f"def main():\n    {code}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: monitord\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def opt() -> Iterator[Path]:
    """A place like /opt: root's, and everybody can enter it."""
    folder = Path(tempfile.mkdtemp(prefix="monitord-opt-"))
    folder.chmod(0o755)
    yield folder / "opt/monitord"
    shutil.rmtree(folder)


SYSTEM_PYTHON = Path("/usr/bin/python3")
needs_system_python = pytest.mark.skipif(
    not is_for_all(SYSTEM_PYTHON) or importlib.util.find_spec("ensurepip") is None,
    reason="no /usr/bin/python3 with venv: apt-get install python3-venv",
)


@pytest.mark.root
@needs_system_python
def test_an_environment_is_made_of_a_folder_of_wheels_without_an_index(opt: Path, tmp_path: Path) -> None:
    """Root's own, open to everybody, with a program that obeys nobody's environment."""
    wheel_of(tmp_path)
    step = InstallInto(opt / "versions/1", SYSTEM_PYTHON, str(tmp_path))
    assert "made" in step.do(Manager(opt, set()))
    program = opt / "versions/1/bin/monitord"
    assert program.read_text().splitlines()[0] == f"#!{opt}/versions/1/bin/python -I"
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(5)")
    ran = subprocess.run([program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "monitord 9.9\n"), ran.stderr
    assert not [path for path in opt.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert sorted(path.name for path in (opt / "versions").iterdir()) == ["1"]


@pytest.mark.root
@needs_system_python
@pytest.mark.parametrize("strange", ["another's", "open", "a link", "a pipe"])
def test_a_wheel_that_another_user_could_change_is_not_installed(
    strange: str, opt: Path, tmp_path: Path
) -> None:
    """Neither by name nor from a folder; of who called sudo it is taken, as the environment itself is."""
    wheel = wheel_of(tmp_path)
    if strange == "another's":
        os.chown(wheel, 4321, 4321)
    elif strange == "open":
        wheel.chmod(0o666)
    else:
        target = wheel.rename(tmp_path / "elsewhere")
        wheel.symlink_to(target) if strange == "a link" else os.mkfifo(wheel, 0o600)
    for source in (wheel, tmp_path):
        with pytest.raises(MonitordError, match="cannot install"):
            InstallInto(opt / "versions/1", SYSTEM_PYTHON, str(source)).do(Manager(opt, set()))
    assert list((opt / "versions").iterdir()) == []


@pytest.mark.root
@needs_system_python
def test_what_does_not_run_leaves_no_environment(opt: Path, tmp_path: Path) -> None:
    wheel_of(tmp_path, code="raise SystemExit('it is broken')")
    with pytest.raises(MonitordError, match="it is broken"):
        InstallInto(opt / "versions/1", SYSTEM_PYTHON, str(tmp_path)).do(Manager(opt, set()))
    assert list((opt / "versions").iterdir()) == []


@pytest.mark.root
@needs_system_python
@pytest.mark.parametrize(
    "source", ["evil", "--requirement=/tmp/x", "monitord @ file:///x", "git+https://x/monitord", ""]
)
def test_only_monitord_is_installed_and_only_from_wheels(source: str, opt: Path, tmp_path: Path) -> None:
    """A source distribution's code would run as root before anything is installed."""
    with pytest.raises(MonitordError, match="expected a wheel, a folder of wheels, or a requirement"):
        InstallInto(opt / "versions/1", SYSTEM_PYTHON, source or str(tmp_path)).do(Manager(opt, set()))
    assert list((opt / "versions").iterdir()) == []
