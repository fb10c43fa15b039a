"""What macOS's own recorder kept from before an alert, by made tools and a re-created report: no Mac was at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from monitord.model import CapturePlan, CaptureStatus
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of

pytestmark = pytest.mark.root
SAMPLE = Path(__file__).parent / "samples/spindump.txt"
SAVES = 'test "$1 $2 $3" = "save -l 20" && echo "$@" >"$4"'
PRINTS = 'test "$1" = -i && test -s "$2" && test "$3" = -file && sed "s/4242/{pid}/" {sample} >"$4"'


def made(folder: Path, name: str, body: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def asking(
    folder: Path, pid: int, saves: str = SAVES, consent: Consent | None = None
) -> ProfileCaptureService:
    tools = {
        "tailspin": made(folder, "tailspin", saves),
        "spindump": made(folder, "spindump", PRINTS.format(pid=pid, sample=SAMPLE)),
    }
    return ProfileCaptureService(consent or Consent(), grace_s=1.0, tools=tools)


def test_the_last_seconds_are_saved_printed_and_read(targets: Targets, folder: Path, tmp_path: Path) -> None:
    """Of all that the report has, the target's; and the recording itself does not stay."""
    process = targets.python(t.PYTHON_IDLER)
    found = asking(tmp_path, process.pid).kept_by_system(key_of(process), CapturePlan(), folder)
    assert (found.role, found.profiler, found.status, found.reason) == (
        "before",
        "tailspin",
        CaptureStatus.OK,
        None,
    )
    assert (found.format, found.sample_count) == ("spindump", 1000)
    assert "-[NSView _layoutSubtreeWithOldSize:]" in {spot.function for spot in found.hotspots}
    assert t.names_in(folder) == ["tailspin.txt"]


@pytest.mark.parametrize(
    ("saves", "status", "words", "fix"),
    [
        ("echo 'tailspin is not enabled' >&2; exit 1", CaptureStatus.TOOL_MISSING, "not enabled", "sudo tailspin enable"),
        ("echo 'must be run as root' >&2; exit 1", CaptureStatus.PERMISSION_DENIED, "as root", "sudo"),
        ("exit 0", CaptureStatus.TOOL_ERROR, "wrote nothing", None),
        ("sleep 60", CaptureStatus.TIMEOUT, "did not end", None),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_said(
    saves: str, status: CaptureStatus, words: str, fix: str | None, targets: Targets, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("monitord.capture.profilers.mac_tailspin._LIMIT_S", 0.5)
    process = targets.python(t.PYTHON_IDLER)
    service = asking(tmp_path, process.pid, saves)
    found = service.kept_by_system(key_of(process), CapturePlan(), folder)
    assert (found.role, found.status) == ("before", status)
    assert words in (found.reason or "")
    assert (fix in (found.fix or "")) if fix else found.fix is None
    assert t.names_in(folder) == []


def test_who_may_not_be_profiled_is_not_asked_about(targets: Targets, folder: Path, tmp_path: Path) -> None:
    process = targets.python(t.PYTHON_IDLER)
    denied = Consent(deny=(os.path.realpath(f"/proc/{process.pid}/exe"),))
    service = asking(tmp_path, process.pid, f"touch {tmp_path}/asked; exit 1", denied)
    found = service.kept_by_system(key_of(process), CapturePlan(), folder)
    assert (found.role, found.status) == ("before", CaptureStatus.REFUSED)
    assert not (tmp_path / "asked").exists()
