"""Source files are read as the target itself could read them, inside its root, and nothing else ever is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from monitord.capture.reading import with_sources
from monitord.capture.sources import Reader, Root, Sources, decoded
from monitord.capture.target import Identity, Target
from monitord.capture.tool_runner import Runner
from monitord.model import Hotspot
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of
from tests.strangers import unshared

ROOT_READER = Reader(0)
ME = Reader(os.geteuid(), frozenset({os.getegid()}))
SOURCE = "def hot():\n    return 1\n"


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A root with a program in it, and a secret beside it."""
    (tmp_path / "outside.py").write_text("secret = 1\n")
    root = tmp_path / "root"
    (root / "app" / "package" / "inner").mkdir(parents=True)
    for folder in ("package", "package/inner"):
        (root / "app" / folder / "__init__.py").touch()
    (root / "app" / "package" / "inner" / "hot.py").write_text(SOURCE)
    return root


def _read(root: Path, file: str, reader: Reader = ROOT_READER) -> bytes | None:
    opened = Root(str(root), reader)
    try:
        return opened.read(file)[0]
    except OSError:
        return None
    finally:
        opened.close()


def test_a_file_is_read_with_the_number_of_its_packages(inside: Path) -> None:
    opened = Root(str(inside), ROOT_READER)
    before = len(list(Path("/proc/self/fd").iterdir()))
    raw, found, packages = opened.read("/app/package/inner/hot.py")
    assert (raw, found.st_size, packages) == (SOURCE.encode(), len(SOURCE), 2)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "every folder is closed again"
    text = Sources(opened, time.time()).get("/app/package/inner/hot.py")
    assert text is not None
    assert text.module == "package.inner.hot"
    opened.close()


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("current", "app"),
        ("current", "/app"),
        ("current", "../../../../app"),
        ("current", "./app/package/.."),
        ("current", "/../../app"),
    ],
)
def test_links_are_followed_inside_the_root(inside: Path, link: str, target: str) -> None:
    (inside / link).symlink_to(target)
    assert _read(inside, f"/{link}/package/inner/hot.py") == SOURCE.encode()


def test_no_link_leads_out(inside: Path, tmp_path: Path) -> None:
    for number, target in enumerate((str(tmp_path / "outside.py"), "../outside.py", "../../outside.py")):
        (inside / f"evil{number}.py").symlink_to(target)
        assert _read(inside, f"/evil{number}.py") is None
    assert _read(inside, "/../outside.py") is None
    (inside / "up").symlink_to("..")
    assert _read(inside, "/up/outside.py") is None
    (inside / "loop").symlink_to("loop")
    assert _read(inside, "/loop/x.py") is None


def test_what_is_no_regular_file_is_not_read(inside: Path) -> None:
    """A FIFO would keep its reader waiting for ever."""
    os.mkfifo(inside / "pipe.py")
    (inside / "folder.py").mkdir()
    (inside / "big.py").write_bytes(b"#" * 1_000_001)
    for name in ("pipe.py", "folder.py", "big.py", "gone.py", "", "app/package/inner/hot.py/x.py"):
        assert _read(inside, f"/{name}") is None


def test_what_the_targets_user_may_not_read_is_not_read_for_it(inside: Path) -> None:
    """A process can name any file in its frames: monitord lends nobody its rights."""
    file, folder = inside / "app" / "package" / "inner" / "hot.py", inside / "app"
    stranger, member = Reader(54321), Reader(54321, frozenset({os.getegid()}))
    for mode, by_owner, by_member, by_stranger in (
        (0o644, True, True, True),
        (0o640, True, True, False),
        (0o600, True, False, False),
        (0o044, False, True, True),
        (0o604, True, False, True),
    ):
        if os.geteuid() != 0 and not by_owner:
            continue  # what is ours and closed to us nobody reads
        file.chmod(mode)
        assert bool(_read(inside, "/app/package/inner/hot.py", stranger)) is by_stranger
        assert bool(_read(inside, "/app/package/inner/hot.py", member)) is by_member
        if ME.uid == 0:
            owner = Reader(12345)
            os.chown(file, 12345, -1)
            assert bool(_read(inside, "/app/package/inner/hot.py", owner)) is by_owner
            os.chown(file, 0, -1)
    file.chmod(0o644)
    folder.chmod(0o700)
    assert _read(inside, "/app/package/inner/hot.py", stranger) is None
    folder.chmod(0o755)


@pytest.mark.parametrize(
    "file", ["/etc/shadow", "/proc/self/environ", "relative.py", "<string>", "/a\0b.py", "", "/app/x.txt"]
)
def test_only_absolute_names_of_source_files_are_looked_at(file: str, inside: Path) -> None:
    opened = Root(str(inside), ROOT_READER)
    assert Sources(opened, time.time()).get(file) is None
    opened.close()


def test_so_many_files_and_no_more(inside: Path) -> None:
    for number in range(40):
        (inside / f"m{number}.py").write_text(SOURCE)
    opened = Root(str(inside), ROOT_READER)
    sources = Sources(opened, time.time())
    assert sum(sources.get(f"/m{number}.py") is not None for number in range(40)) == 12
    opened.close()


def test_a_file_written_after_the_start_is_newer(inside: Path) -> None:
    opened = Root(str(inside), ROOT_READER)
    hot = "/app/package/inner/hot.py"
    assert Sources(opened, time.time()).get(hot).is_newer is False  # type: ignore[union-attr]
    assert Sources(opened, time.time() - 3600).get(hot).is_newer is True  # type: ignore[union-attr]
    opened.close()


@pytest.mark.parametrize("raw", [b"x = 1\0", b"# coding: no-such\n", b"\xff\xfe", b"# coding: ascii\n\xe4"])
def test_what_is_no_text_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        decoded(raw)


def test_declared_encodings_are_heard() -> None:
    assert decoded(b"# coding: latin-1\r\nname = '\xe4'\r\n") == "# coding: latin-1\nname = 'ä'\n"
    assert decoded(b"\xef\xbb\xbfx = 1\n") == "x = 1\n"


# ------------------------------------------------------------------------- with a process and a child


def test_a_capture_names_statement_line_and_module(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    spot = service.capture(key_of(process), t.SHORT, folder)[-1].hotspots[0]
    assert (spot.function, spot.source_state, spot.module, spot.arity) == (
        "leaf_burner",
        "same",
        "target0",
        0,
    )
    assert spot.source_line in ("total += number * number", "for number in range(20000):")
    assert spot.stmt_id is not None
    assert spot.func_hash is not None
    assert spot.share_error is not None
    assert 0 < spot.share_error < 0.3
    assert spot.statements[0].stmt_id == spot.stmt_id


def test_it_can_be_switched_off(targets: Targets, folder: Path) -> None:
    process = targets.python(t.PYTHON_BURNER)
    service = ProfileCaptureService(Consent(), reads_sources=False)
    spot = service.capture(key_of(process), t.SHORT, folder)[-1].hotspots[0]
    assert (spot.source_state, spot.source_line, spot.stmt_id) == (None, None, None)
    assert spot.func_id is not None


def _told(targets: Targets, folder: Path, file: Path, function: str, line: int) -> Hotspot:
    process = targets.python(t.PYTHON_IDLER)
    given = Hotspot(function, str(file), line, 0.5, 0.5, func_id="0" * 16)
    with Target(key_of(process)) as target:
        return with_sources(Runner(), target, folder, (given,))[0]


def test_secrets_in_a_source_line_are_hidden_when_read(
    targets: Targets, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "secret.py"
    file.write_text('def f():\n    login("alice", password="hunter2-hunter2")\n')
    spot = _told(targets, folder, file, "f", 2)
    assert spot.source_state == "same"
    assert spot.source_line is not None
    assert "hunter2" not in spot.source_line
    assert "login(" in spot.source_line


def test_a_source_that_breaks_its_reader_costs_nothing_else(
    targets: Targets, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bomb.py"
    file.write_text("x = " + "-" * 900_000 + "1\n")
    spot = _told(targets, folder, file, "f", 1)
    assert (spot.function, spot.func_id) == ("f", "0" * 16)
    assert spot.source_state in ("unparsable", None)
    assert not list(folder.iterdir())


def test_importing_capture_never_loads_the_parser_of_sources() -> None:
    """The daemon would carry it for months."""
    said = subprocess.run(
        [sys.executable, "-c", "import sys; from monitord.capture import ProfileCaptureService; print('ast' in sys.modules, "
         "[m for m in sys.modules if m.startswith('monitord.profiles')])"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.strip().endswith("[]")


def test_sources_are_read_in_the_targets_own_root(folder: Path, tmp_path: Path) -> None:
    """A process in a chroot names /app/x.py: that is its file, not the machine's."""
    root = tmp_path / "jail"
    (root / "app").mkdir(parents=True)
    (root / "app" / "x.py").write_text("def f():\n    return 'inside'\n")
    process = subprocess.Popen(
        [*unshared("--mount"), sys.executable, "-c", "import os, sys, time; os.chroot(sys.argv[1]); print('ready', flush=True); time.sleep(600)", root],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        given = Hotspot("f", "/app/x.py", 2, 0.5, 0.5)
        with Target(key_of(process)) as target:
            found = with_sources(Runner(), target, folder, (given,))[0]
        assert (found.source_line, found.source_state) == ("return '***HIDDEN***'", "same")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.root
@pytest.mark.parametrize("change", ["rights", "setuid", "end"])
def test_what_a_process_becomes_opens_no_file_for_it(
    change: str, targets: Targets, folder: Path, tmp_path: Path
) -> None:
    """A file that only root may read stays closed for a process that was nobody's when it was opened."""
    file = tmp_path / "secret.py"
    file.write_text("def f():\n    return 'root only'\n")
    file.chmod(0o600)
    process = targets.python(t.PYTHON_IDLER)  # root's by now, as after an exec of a setuid program
    given = Hotspot("f", str(file), 2, 0.5, 0.5)
    with Target(key_of(process)) as target:
        before = target.identity
        users = {"rights": "65534 65534 65534 65534", "setuid": "65534 0 0 0", "end": before.users}[change]
        target.identity = Identity(before.start_ticks, before.executable, users, before.image, "65534")
        if change == "end":
            process.kill()
            process.wait()
        found = with_sources(Runner(), target, folder, (given,))[0]
    assert found.source_line is None
    assert list(folder.iterdir()) == []
