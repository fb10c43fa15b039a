"""py-spy leaves out frames without a readable name: the caller is not told in their place."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.capture import ProfileCaptureService
from monitord.capture.hidden_frames import NOT_READABLE, hidden_share, with_hidden
from monitord.capture.python_frames import Frames, UnknownPythonError, counted
from monitord.capture.target import Target
from monitord.capture.tool_runner import Runner
from monitord.model import Capture, CapturePlan, CaptureStatus
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, look_at

PLAN = CapturePlan(duration_s=1.0)
IS_KNOWN = (
    sys.platform == "linux"
    and sys.implementation.name == "cpython"
    and (3, 11) <= sys.version_info[:2] <= (3, 13)
)
pytestmark = pytest.mark.skipif(
    not IS_KNOWN, reason="nothing is known of this Python's frames: run with one in ORDERS"
)


def captured(service: ProfileCaptureService, process: subprocess.Popen[bytes], folder: Path) -> list[Capture]:
    """The look as an alert reads it, and the profile."""
    look = service.read(look_at(service, process, folder), folder)
    profile = next(one for one in service.capture(key_of(process), PLAN, folder) if one.role == "profile")
    return [look, profile]


@pytest.mark.parametrize(
    ("source", "argument"),
    [
        (t.PYTHON_WITH_A_LONG_NAME, "4096"),
        (t.PYTHON_WITH_A_LONG_NAME, "50000"),
        (t.PYTHON_THAT_WRITES_OVER_ITS_CODE, "null"),
        (t.PYTHON_THAT_WRITES_OVER_ITS_CODE, "itself"),
        (t.PYTHON_THAT_WRITES_OVER_ITS_CODE, "nowhere"),
    ],
)  # fmt: skip
def test_a_function_without_a_readable_name_is_said_and_its_caller_is_not_blamed(
    source: str, argument: str, targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """However its name became unreadable: too long, or written over in its own code object."""
    for capture in captured(service, targets.python(source, argument), folder):
        assert capture.profiler == "py-spy", capture.reason
        assert capture.hotspots[0].function == NOT_READABLE, capture.hotspots[:3]
        assert "innocent_caller" not in {spot.function for spot in capture.hotspots if spot.self_share > 0.2}
        assert capture.status is CaptureStatus.PARTIAL
        assert "can't read" in (capture.reason or "")


@pytest.mark.parametrize("source", [t.PYTHON_BURNER, t.PYTHON_CROWD, t.PYTHON_HALF_BUSY, t.PYTHON_POOL])
def test_what_has_its_name_is_never_said_to_have_none(source: str, targets: Targets, folder: Path) -> None:
    """Functions that come and go while they are looked at, beside sleeping ones."""
    process = targets.python(source)
    with Target(key_of(process)) as target:
        assert hidden_share(Runner(), target, folder, 50) == 0.0


def test_of_a_process_that_ended_nothing_is_said(targets: Targets, folder: Path) -> None:
    """Its pid may be another one's by now."""
    process = targets.python(t.PYTHON_WITH_A_LONG_NAME, "5000")
    with Target(key_of(process)) as target:
        assert hidden_share(Runner(), target, folder, 3) > 0.9
        process.kill()
        process.wait()
        assert hidden_share(Runner(), target, folder, 3) == 0.0


def test_the_longest_name_that_py_spy_reads_is_read(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_WITH_A_LONG_NAME, "4095")
    for capture in captured(service, process, folder):
        assert capture.hotspots[0].function.startswith("ffff")
        assert capture.status is CaptureStatus.OK


VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t")


def pythons_here() -> dict[str, str]:
    """The Pythons that this machine has, by version: at least the one that runs us."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {own: sys.executable}
    for version in VERSIONS:
        python = shutil.which(f"python{version}")
        if python is None or version == own:
            continue
        asked = [python, "-c", "import sys; print(sys.executable)"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        if said.returncode == 0:  # a version manager's launcher may have nothing behind it
            found[version] = said.stdout.strip()
    return found


@pytest.mark.parametrize(("version", "python"), pythons_here().items())
def test_every_python_here_is_read_or_said_to_be_unknown(version: str, python: str, targets: Targets) -> None:
    """Those whose layout is known show their one thread at every look; no other is guessed at."""
    process = targets.start(python, str(targets.script(t.PYTHON_WITH_A_LONG_NAME)), "5000")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if version in ("3.11", "3.12", "3.13"):
        ((thread, (looks, hidden)),) = counted(Frames(process.pid), 20).items()
        assert (thread, looks) == (process.pid, 20)
        assert hidden > 10  # its caller has a name
    else:
        with pytest.raises(UnknownPythonError):
            Frames(process.pid)


def test_memory_that_says_anything_ends_in_an_answer(
    targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of the target's memory changed at random: counts or an error of reading, within bounded reads."""
    process, chance, read = targets.python(t.PYTHON_CROWD), random.Random(5), os.pread
    frames, reads = Frames(process.pid), 0

    def damaged(file: int, size: int, offset: int) -> bytes:
        nonlocal reads
        reads += 1
        data = bytearray(read(file, size, offset))
        if chance.random() < 0.05:
            data[chance.randrange(len(data) or 1) : len(data)] = chance.randbytes(1)
        return bytes(data)

    monkeypatch.setattr(os, "pread", damaged)
    counted(frames, 30)
    assert 100 < reads < 30 * 64 * 40


def test_a_little_without_a_name_changes_nothing(
    service: ProfileCaptureService, targets: Targets, folder: Path
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    profile = captured(service, process, folder)[1]
    assert with_hidden(profile, 0.1) == profile
    led = with_hidden(profile, 0.4)
    assert [spot.function for spot in led.hotspots[:2]] == ["leaf_burner", NOT_READABLE]
