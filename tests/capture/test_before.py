"""What the black box held is read in a child like other evidence, and is none where the target is not in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitord.capture import ProfileCaptureService
from monitord.model import BEFORE, Capture, CaptureStatus, ProcessKey
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of
from tests.fakes import a_capture
from tests.profiles.ring_documents import RingDocument, python, shop

GONE = ProcessKey(4321, 1)  # no process that lives began with the machine's first tick


def _before(document: RingDocument, target: ProcessKey = GONE, **changes: object) -> Capture:
    values = {"profiler": "ring", "format": "ring", "payload": document.payload(), "target": target}
    return a_capture(BEFORE, **(values | changes))


def test_an_ended_process_has_its_functions(service: ProfileCaptureService, folder: Path) -> None:
    read = service.read(_before(shop()), folder)
    assert (read.status, read.sample_count, read.error_count) == (CaptureStatus.OK, 263, 0)
    assert [spot.function for spot in read.hotspots[:2]] == ["price_basket", "load_orders"]


def test_a_living_process_has_the_lines_of_its_source(
    service: ProfileCaptureService, folder: Path, targets: Targets
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    line = t.PYTHON_BURNER.splitlines().index("        total += number * number") + 1
    (script,) = [Path(word) for word in process.args if str(word).endswith(".py")]  # type: ignore[union-attr]
    made = RingDocument()
    main = made.process(process.pid, is_target=True)
    made.ran(main, [python("outer_loop", str(script), 9), python("leaf_burner", str(script), line)], 0, 9)
    (top, *_others) = service.read(_before(made, key_of(process)), folder).hotspots
    assert (top.function, top.source_state) == ("leaf_burner", "same")
    assert top.source_line == "total += number * number"


def test_what_limits_it_stands_among_its_notes(service: ProfileCaptureService, folder: Path) -> None:
    made = shop()
    made.others = {"lost": 2}
    assert service.read(_before(made), folder).notes["ring"].startswith("2 samples lost")


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (RingDocument().payload(), CaptureStatus.NO_SAMPLES),
        (b'{"format":"monitord-ring","version":9}', CaptureStatus.TOOL_ERROR),
        (b"[" * 100_000, CaptureStatus.TOOL_ERROR),
    ],
    ids=["no sample of it", "another version", "a bomb"],
)
def test_without_a_readable_sample_of_the_target_it_is_no_evidence(
    payload: bytes, status: CaptureStatus, service: ProfileCaptureService, folder: Path
) -> None:
    read = service.read(_before(shop(), payload=payload), folder)
    assert (read.status, read.payload, read.hotspots) == (status, None, ())
    assert read.reason
