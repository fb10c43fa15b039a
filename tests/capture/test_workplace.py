"""A tool's working folder is its user's: whatever lies there, monitord writes to, reads and gives away nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord import rights
from monitord.capture import ProfileCaptureService, perf_maps
from monitord.capture.profilers import perf
from monitord.capture.reading import read_evidence, with_sources
from monitord.capture.target import Target
from monitord.capture.tool_runner import Runner, ToolRun
from monitord.capture.workplace import put, remove, take
from monitord.model import Capture, CaptureStatus, Hotspot
from monitord.recorder.retention_store import _compressed_size
from tests.capture.targets import Targets, key_of

FOLDED = b"main;work 7\n"


def _folder(path: Path, other: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "a link": lambda path, other: path.symlink_to(other),
    "a dangling link": lambda path, other: path.symlink_to(other.with_name("made")),
    "a second name": lambda path, other: os.link(other, path),
    "a pipe": lambda path, other: os.mkfifo(path),
    "a folder": _folder,
}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Somebody's file; what is made beside it was made through a link."""
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "file"
    path.write_bytes(b"mine")
    return path


def _is_untouched(other: Path) -> bool:
    return other.read_bytes() == b"mine" and [one.name for one in other.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_put_there_is_a_new_file(folder: Path, other: Path, plant: str) -> None:
    PLANTS[plant](folder / "use.json", other)
    put(folder / "use.json", b"ours")
    assert take(folder / "use.json").read() == b"ours"
    assert _is_untouched(other)
    remove(folder / "use.json")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_taken_from_there_is_a_plain_file(folder: Path, other: Path, plant: str) -> None:
    """And its size is asked without waiting for anybody."""
    PLANTS[plant](folder / "perf.folded", other)
    with pytest.raises(OSError, match=r".+"):
        take(folder / "perf.folded")
    assert _compressed_size(None, folder / "perf.folded") == 0 or plant == "a second name"


@pytest.mark.parametrize("plant", PLANTS)
def test_what_a_tool_needs_is_written_past_what_lies_there(
    targets: Targets, service: ProfileCaptureService, folder: Path, other: Path, plant: str
) -> None:
    """What threads used, which sources are wanted, a dump to be read."""
    for name in ("use.json", "sources.json", "dump.bin"):
        PLANTS[plant](folder / name, other)
    evidence = folder / "perf.folded"
    put(evidence, FOLDED)
    runner = Runner()
    read_evidence(runner, "folded", evidence, None, {"threads": {}, "period_s": 0.01})
    process = targets.start("sleep", "60")
    with Target(key_of(process)) as target:
        with_sources(runner, target, folder, (Hotspot("work", "/nowhere.py", 3, 1.0, 1.0),))
    look = Capture(
        role="dump", profiler="eu-stack", status=CaptureStatus.OK, started_at=datetime.now(UTC),
        duration_s=0.1, target=key_of(process), format="folded", payload=FOLDED,
    )  # fmt: skip
    assert [one.function for one in service.read(look, folder).hotspots][:1] == ["work"]
    assert _is_untouched(other)
    assert [one.name for one in folder.iterdir()] == ["perf.folded"]


@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="users are changed on Linux only")
def test_a_folder_is_handed_over_with_what_tools_made_in_it(targets: Targets, folder: Path) -> None:
    """Never with a file of root's or of another user, which the one before could have moved in there."""
    owners = {"roots": 0, "tools": rights.STRANGER, "somebodys": 12_345}
    for name, owner in owners.items():
        (folder / name).write_text("x")
        os.chown(folder / name, owner, owner)
    user = ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60")
    process = targets.start(*user)
    while Path(f"/proc/{process.pid}/cmdline").read_bytes() != b"sleep\x0060\x00":
        pass
    with Target(key_of(process)) as target:
        Runner().run(ToolRun(("/bin/true",), folder, 10.0, rights=perf._NAMES), target)
    found = {name: (folder / name).stat().st_uid for name in owners}
    assert found == {"roots": 0, "tools": 65_534, "somebodys": 12_345}
    assert folder.stat().st_uid == 65_534


@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="overlays are Linux's")
def test_a_link_in_place_of_a_perf_map_is_not_what_the_tool_reads(folder: Path, other: Path) -> None:
    """The copy that is shown in /tmp is made with root's rights."""
    (folder / perf_maps.COPY).symlink_to(other)
    name = f"perf-{os.getpid()}.map"
    tool_run = ToolRun(
        ("/bin/cat", f"/tmp/{name}"), folder, 10.0, rights=perf._NAMES, own_tmp={name: perf_maps.COPY}
    )
    outcome = Runner().run(tool_run)
    assert b"mine" not in outcome.stdout
    assert outcome.exit_status != 0 or outcome.failure


@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="users are changed on Linux only")
def test_a_folder_that_others_may_use_is_never_handed_over(tmp_path: Path) -> None:
    """/tmp given as work folder by mistake would belong to somebody else: nothing is started instead."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    outcome = Runner().run(ToolRun(("/bin/true",), shared, 5.0))
    assert outcome.exit_status != 0
    assert "cannot hand over a work folder" in str(outcome)
    assert shared.stat().st_uid == 0
