"""Observations are made of an attacker's process: whatever is in them, every member answers with a cause."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.capture.causes import read_cause
from monitord.causes import METRICS
from monitord.causes.__main__ import explain
from monitord.model import Alert, TriggerMetric
from tests.fakes import an_alert

NAMES = (
    "groups on what holders named count is_steady state stack lost_owner thread_id pid name cycle is_sure threads "
    "looked_at ended_children usage leaves first last at_s stacks io files seen mapped events by is_write path "
    "position size mode was mount moved udp remote sent received over_s unread sockets kinds targets processes "
    "started waiting suspect mappings parts fd inode io_before rchar wchar has_main is_private is_timed call said "
    "kind waits states user_s system_s children_s"
)
KEYS = NAMES.split()
WORDS = (
    "D",
    "mutex",
    "PI mutex",
    "file",
    "file lock",
    "child",
    "pipe",
    "socket",
    "idle",
    "running",
    "r",
    "w",
)
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(WORDS),
    st.text(string.printable + "\x1b\u202e\udcff", max_size=8),
)  # fmt: skip
VALUE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=7), st.dictionaries(st.sampled_from(KEYS), inner, max_size=7)
    ),
    max_leaves=40,
)
SEEN = st.one_of(st.none(), st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=10))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=SEEN, after=SEEN)
def test_every_member_answers_whatever_was_observed(before: Any, after: Any, tmp_path: Path) -> None:
    """Of every metric: to think of an observation takes far longer than to explain it."""
    for metric in METRICS:
        answer = json.loads(explain(document(tmp_path, metric, before, after)))
        assert read_cause(json.dumps(answer).encode()) is not None, metric
        assert "makes no sense" not in answer["sentence"], f"{metric} met what it does not expect"


def test_what_a_member_does_not_expect_is_unknown_and_no_failure(tmp_path: Path) -> None:
    seen = {"count": 5, "kinds": {"files": 5}}
    endless = replace(an_alert(TriggerMetric.FD_GROWTH), value=float("inf"))
    answer = json.loads(explain(document(tmp_path, TriggerMetric.FD_GROWTH, None, seen, endless)))
    assert (answer["kind"], answer["confidence"]) == ("unknown", "unknown")
    assert "makes no sense (OverflowError)" in answer["sentence"]


def document(
    folder: Path, metric: TriggerMetric, before: Any, after: Any, alert: Alert | None = None
) -> Path:
    """The facts as the pipeline hands them over."""
    names = {}
    for name, seen in (("before", before), ("after", after)):
        names[name] = None if seen is None else f"{name}.json"
        if seen is not None:
            (folder / f"{name}.json").write_text(json.dumps(seen))
    facts = {
        **msgspec.to_builtins({"alert": alert or an_alert(metric), "process": None, "history": [], "hotspots": []}),
        **names, "pid": 4242, "context": None, "evidence": [],
    }  # fmt: skip
    path = folder / "facts.json"
    path.write_text(json.dumps(facts))
    return path
