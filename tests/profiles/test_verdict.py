"""One sentence says what an incident comes down to, and claims no more than its evidence holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.model import PYTHON_NOT_READ, Cause, Hotspot, TriggerMetric
from monitord.profiles.verdict import VerdictFacts, verdict
from monitord.redaction import printable

SPOT = Hotspot("validate", "/srv/app/shop.py", 6, 1.0, 1.0)
SHOP = VerdictFacts("python3 shop.py", TriggerMetric.CPU, "cpu 97 %", hotspots=(SPOT,), seconds=10.0)
WAIT = replace(SPOT, function="Event.wait", file="/usr/lib/python3.11/threading.py", line=320)
LOOP = Cause("tight loop", "100 % of its CPU time is spent in validate (/srv/app/shop.py:6)", "likely")
UNKNOWN = Cause("unknown", "the cause is not known: two classes are near each other", "unknown")
MACHINE = Cause("one process", "python3 (pid 7) used 3 cores, more than all others together", "likely")


def spot(**changed: Any) -> tuple[Hotspot]:
    return (replace(SPOT, **changed),)


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a function": ({}, "validate (shop.py:6) took 100 % of python3 shop.py for 10 s"),
    "few samples, a rough share": (
        {"hotspots": spot(self_share=0.61, share_error=0.2)},
        "validate (shop.py:6) took 61 ± 20 % of python3 shop.py for 10 s",
    ),
    "fewer than many, a share that is nearly so": (
        {"hotspots": spot(self_share=0.61, share_error=0.07)},
        "validate (shop.py:6) took about 61 % of python3 shop.py for 10 s",
    ),
    "two looks of another time": (
        {"hotspots": spot(self_share=0.5, share_error=0.43, seen="before the alert")},
        "python3 shop.py was seen in validate (shop.py:6) in a few looks, before the alert",
    ),
    "most of it was not read": (
        {"hotspots": (*spot(self_share=0.2), replace(SPOT, function=PYTHON_NOT_READ, self_share=0.8))},
        "validate (shop.py:6) took at least 20 % of python3 shop.py for 10 s; of 80 % its Python functions were"
        " not read in time",
    ),
    "and less than stands out": (
        {"hotspots": (*spot(self_share=0.1), replace(SPOT, function=PYTHON_NOT_READ, self_share=0.9))},
        "validate (shop.py:6) took at least 10 % of python3 shop.py for 10 s; of 90 % its Python functions were"
        " not read in time",
    ),
    "one look": (
        {"sample_count": 1, "seconds": 0.0},
        "python3 shop.py was in validate (shop.py:6) in the one sample of it",
    ),
    "three looks": (
        {"sample_count": 3, "hotspots": spot(self_share=0.667)},
        "python3 shop.py was in validate (shop.py:6) in 2 of 3 samples",
    ),
    "three looks at everybody": (
        {"who": "", "sample_count": 3, "hotspots": spot(self_share=0.667)},
        "of all that ran validate (shop.py:6) was met in 2 of 3 samples",
    ),
    "nobody ran": (
        {"metric": TriggerMetric.FD_GROWTH, "only_waited": True},
        "python3 shop.py was in validate (shop.py:6) in 100 % of what was seen of it for 10 s",
    ),
    "late": (
        {"is_late": True},
        "after the spike validate (shop.py:6) took 100 % of python3 shop.py for 10 s",
    ),
    "many functions": (
        {"hotspots": spot(self_share=0.12)},
        "no function of python3 shop.py stands out: validate (shop.py:6) took most, 12 % for 10 s",
    ),
    "another time": (
        {"hotspots": spot(seen="during the alert")},
        "validate (shop.py:6) took 100 % of python3 shop.py for 10 s, during the alert",
    ),
    "native": (
        {"hotspots": spot(file=None, line=None, module="/usr/lib/libz.so.1")},
        "validate (libz.so.1) took 100 % of python3 shop.py for 10 s",
    ),
    "it only waited": (
        {"hotspots": (WAIT,)},
        "python3 shop.py was in Event.wait (threading.py:320) in 100 % of what was seen of it for 10 s",
    ),
    "memory, by who brought it in": (
        {"metric": TriggerMetric.MEMORY_GROWTH, "of_page_faults": True},
        "validate (shop.py:6) brought in 100 % of the memory that python3 shop.py took",
    ),
    "memory, by what ran": (
        {"metric": TriggerMetric.MEMORY, "happened": "memory 2.0 GiB"},
        "python3 shop.py: memory 2.0 GiB; meanwhile validate (shop.py:6) took 100 % of its CPU time",
    ),
    "the machine": (
        {"who": "", "metric": TriggerMetric.MANUAL},
        "validate (shop.py:6) took 100 % of all that ran for 10 s",
    ),
    "a cause": (
        {"cause": LOOP},
        "python3 shop.py: 100 % of its CPU time is spent in validate (shop.py:6); tight loop (likely)",
    ),
    "a cause that names whom": (
        {"cause": MACHINE, "metric": TriggerMetric.CPU_PRESSURE},
        "python3 (pid 7) used 3 cores, more than all others together; one process (likely)",
    ),
    "an unknown cause, a known function": (
        {"cause": UNKNOWN},
        "validate (shop.py:6) took 100 % of python3 shop.py for 10 s",
    ),
    "nothing": (
        {"hotspots": (), "why_unknown": "py-spy may not read it"},
        "python3 shop.py: cpu 97 %; no function is known, because py-spy may not read it",
    ),
    "nothing of the machine": (
        {"who": "", "hotspots": (), "happened": "io pressure 40 %"},
        "the machine: io pressure 40 %; no function is known, because nothing was recorded of what it ran",
    ),
    "an interpreter alone": (
        {"hotspots": spot(function=PYTHON_NOT_READ)},
        "python3 shop.py: cpu 97 %; no function is known, because its Python functions were not read in time",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_sentence_says_who_where_how_much_and_how_long(case: str) -> None:
    changed, said = CASES[case]
    assert verdict(replace(SHOP, **changed)) == said


@given(st.text(), st.text(), st.text(), st.sampled_from(TriggerMetric), st.booleans())
def test_whatever_a_process_calls_itself_it_stays_one_printable_line(
    who: str, function: str, file: str, metric: TriggerMetric, has_cause: bool
) -> None:
    hotspots = spot(function=function * 30, file=file * 30)
    cause = Cause(who, function * 90, "likely") if has_cause else None
    said = verdict(
        VerdictFacts(who, metric, who, cause=cause, hotspots=hotspots if file else (), why_unknown=file)
    )
    assert printable(said) == said
    assert len(said.splitlines()) <= 1
    assert len(said) <= 400
