"""What the black box held becomes a profile of the right processes, at the right time, whatever a document holds."""

from __future__ import annotations

import copy
import json
import random
import sysconfig
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.profiles import Profile, ProfileError, hotspots, parse
from monitord.profiles.comparing import compare
from monitord.profiles.idle_calls import _PYTHON_CALLERS
from monitord.profiles.ranking import share_error
from monitord.profiles.ring_document import MAX_SAMPLES, read_ring
from monitord.profiles.timeline import MAX_STEPS, Step, timeline
from monitord.profiles.writing import WRITERS, write
from tests.profiles.ring_documents import BEGAN_NS, RATE_HZ, Call, RingDocument, native, python, shop

TARGET = 4321
SECOND_NS = 1_000_000_000


def _read(document: RingDocument, pid: int | None = TARGET) -> Profile:
    return parse("ring", document.payload(), pid=pid)


def _top(profile: Profile) -> str:
    return hotspots(profile)[0].function


def test_the_target_s_functions_have_the_shares_that_they_ran() -> None:
    profile = _read(shop())
    spots = {spot.function: spot for spot in hotspots(profile)}
    assert spots["price_basket"].self_share == pytest.approx(217 / 263)
    assert spots["<module>"].total_share == 1.0
    assert (profile.tool, profile.unit, profile.period_s) == ("ring", "samples", 1 / RATE_HZ)
    assert profile.sample_count == 263


@pytest.mark.parametrize(("call", "looks"), [(python("price"), 40), (native("price"), 190)])
def test_how_far_a_share_may_be_off_counts_readings_of_python_not_the_samples_that_share_one(
    call: Call, looks: int
) -> None:
    """Ten seconds are 190 samples, and 40 readings of the thread's Python stack."""
    made = RingDocument()
    thread = made.process(TARGET, is_target=True)
    made.ran(thread, [call], 40, 50)
    spot = hotspots(_read(made))[0]
    assert spot.share_error == pytest.approx(share_error(1.0, looks), rel=0.05)


@pytest.mark.parametrize("looks", [10, 20, 40, 100])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_was_always_or_never_seen_may_be_off_by_all_that_chance_explains(
    share: float, looks: int
) -> None:
    """A true share of so much more or less gives the same looks once in twenty times: it lies within."""
    least_likely = 1 - 0.05 ** (1 / looks)
    assert least_likely <= share_error(share, looks) <= 1.5 * least_likely


@pytest.mark.parametrize("share", [0.1, 0.5, 0.74, 0.9])
def test_between_them_it_may_be_off_by_two_standard_deviations(share: float) -> None:
    assert share_error(share, 400) == pytest.approx(1.96 * (share * (1 - share) / 400) ** 0.5, rel=0.15)


def test_a_stranger_s_functions_stay_out_of_the_target_s_profile_and_are_in_the_machine_s() -> None:
    assert {frame.name for frame in _read(shop()).frames} == {"<module>", "load_orders", "price_basket"}
    assert _top(_read(shop(), pid=None)) == "spin"


def test_descendants_count_however_deep_and_also_ended_ones() -> None:
    made = RingDocument()
    made.process(TARGET, is_target=True)
    made.process(5, parent_pid=TARGET, ended_ns=BEGAN_NS + 50 * SECOND_NS)
    grandchild = made.process(6, parent_pid=5, ended_ns=BEGAN_NS + 60 * SECOND_NS)
    made.ran(grandchild, [python("compress")], 40, 50)
    profile = _read(made)
    assert _top(profile) == "compress"
    assert {thread.pid for thread, _stack in profile.stacks} == {6}
    assert "1 process of it had ended" in profile.notes


def test_a_process_with_the_target_s_old_pid_and_its_children_are_strangers() -> None:
    """The target ended, and its pid went to another process before the document was taken."""
    made = RingDocument()
    main = made.process(TARGET, start_ticks=1000, ended_ns=20 * 10**7 * 1000, is_target=True)
    later = made.process(TARGET, "later", start_ticks=30_000)
    child = made.process(7, "later", start_ticks=30_001, parent_pid=TARGET)
    early = made.process(8, start_ticks=1001, parent_pid=TARGET)
    for thread, name in ((main, "mine"), (later, "other"), (child, "others_child"), (early, "my_child")):
        made.ran(thread, [python(name)], 0, 1)
    assert {spot.function for spot in hotspots(_read(made))} == {"mine", "my_child"}


def test_without_a_mark_the_pid_says_who_is_meant() -> None:
    made = RingDocument()
    made.ran(made.process(TARGET), [python("mine")], 0, 1)
    made.ran(made.process(5), [python("other")], 0, 5)
    assert _top(_read(made)) == "mine"


def test_parents_in_a_circle_end() -> None:
    made = RingDocument()
    first = made.process(TARGET, parent_pid=5, is_target=True)
    second = made.process(5, parent_pid=TARGET)
    for thread in (first, second):
        made.ran(thread, [python("f")], 0, 1)
    assert _read(made).sample_count == 2 * RATE_HZ


def test_the_time_in_compiled_code_is_its_python_caller_s() -> None:
    """As py-spy, which does not see compiled code, has it: the two compare, and the function is a person's own."""
    made = RingDocument()
    main = made.process(TARGET, is_target=True)
    made.ran(main, [python("<module>"), python("price_basket", line=30), native("long_add")], 0, 9)
    made.ran(main, [python("<module>"), python("load_orders")], 9, 10)
    top = hotspots(_read(made))[0]
    assert (top.function, top.line, round(top.self_share, 1)) == ("price_basket", 30, 0.9)
    found = compare(_read(made), _read(made)).differences
    assert {one.function: round(one.after.self_share, 1) for one in found}["price_basket"] == 0.9


@pytest.mark.parametrize(
    ("place", "name"), [(place, name) for place, names in _PYTHON_CALLERS.items() for name in names]
)
def test_compiled_code_that_a_thread_or_a_pool_was_given_is_named_itself(place: str, name: str) -> None:
    """No function of the person's called it; and what the table names is in Python's own library."""
    source = Path(sysconfig.get_path("stdlib"), place).read_text()
    assert f"def {name}(" in source, "Python's library changed: the table names a function that is gone"
    library = python(f"Given.{name}", f"/usr/lib/python3.11/{place}")
    made = RingDocument()
    main = made.process(TARGET, is_target=True)
    made.ran(main, [python("<module>"), library, native("planted_native")], 0, 9)
    made.ran(main, [python("<module>"), library, python("mine"), native("long_add")], 9, 10)
    assert [one.function for one in hotspots(_read(made))[:2]] == ["planted_native", "mine"]


def test_threads_are_named_by_process_pid_and_thread() -> None:
    made = RingDocument()
    made.process(TARGET, "shop", is_target=True)
    made.ran(made.thread(0, 4330), [python("f")], 0, 1)
    ((thread, _stack),) = _read(made).stacks
    assert (thread.name, thread.pid, thread.thread_id, thread.is_idle) == ("shop", TARGET, 4330, False)


def test_what_it_did_in_quiet_times_does_not_outweigh_the_spike() -> None:
    made = RingDocument(others={"since_ns": BEGAN_NS + 92 * SECOND_NS})
    main = made.process(TARGET, is_target=True)
    made.ran(main, [python("serve")], 0, 92, 0.4)
    made.ran(main, [python("price_basket")], 92, 100)
    assert _top(_read(made)) == "price_basket"
    made.others = {}
    assert _top(_read(made)) == "serve"  # where nobody said when it began


def test_where_hardly_anything_ran_since_the_alert_began_all_that_ran_counts() -> None:
    made = RingDocument(others={"since_ns": BEGAN_NS + 99 * SECOND_NS})
    main = made.process(TARGET, is_target=True)
    made.ran(main, [python("serve")], 0, 90, 0.4)
    assert _top(_read(made)) == "serve"


def test_what_limits_it_is_said() -> None:
    made = shop()
    made.scope = "own processes"
    assert _read(made).notes == ("the black box saw this user's processes only",)
    why = "only busy processes of monitord's own user: no ring"
    made.others = {"lost": 3, "unreadable": 1, "impossible": 2, "notes": [why]}
    assert set(_read(made).notes) == {
        why,
        "3 samples lost: the ring was full before it was read",
        "1 Python stack could not be read while they changed",
        "2 impossible stacks dropped",
    }


BREAKS: dict[str, Callable[[dict[str, object]], object]] = {
    "another format": lambda document: document.update(format="gecko"),
    "another version": lambda document: document.update(version=2),
    "no rate": lambda document: document.update(rate_hz=0),
    "a rate that is no number": lambda document: document.update(rate_hz=float("nan")),
    "a rate without end": lambda document: document.update(rate_hz=float("inf")),
    "a rate of a flag": lambda document: document.update(rate_hz=True),
    "an end before the beginning": lambda document: document.update(ended_ns=1),
    "a negative beginning": lambda document: document.update(began_ns=-1),
    "no samples' list": lambda document: document.update(samples={"0": 1}),
    "a missing table": lambda document: document.pop("stacks"),
    "samples without threads": lambda document: document.update(threads=[]),
    "stacks in circles beyond the frames": lambda document: document.update(frames=[]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_document_that_is_none_is_refused_in_words(name: str) -> None:
    document = shop().as_dict()
    BREAKS[name](document)
    with pytest.raises(ProfileError, match=r"invalid .*[:;]"):
        parse("ring", json.dumps(document).encode(), pid=TARGET)


ODD: list[object] = [
    None, True, -1, 10**30, 1.5, float("nan"), "0", "x\x1b[31m" * 300, [], [0], {}, [[0]], [None] * 5, 2**62,
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False))
def test_any_value_anywhere_is_refused_or_left_out_and_never_more(chance: random.Random) -> None:
    document = shop().as_dict()
    for _ in range(chance.randint(1, 6)):
        place: object = document
        while True:
            if isinstance(place, dict) and place:
                key: object = chance.choice(sorted(place))
            elif isinstance(place, list) and place:
                key = chance.randrange(len(place))
            else:
                break
            inner = place[key]  # type: ignore[index]  # a key or a number of its own
            if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
                place = inner
                continue
            place[key] = copy.deepcopy(chance.choice(ODD))  # type: ignore[index]  # as above
            break
    data = json.dumps(document).encode()
    for pid in (None, TARGET):
        try:
            profile = parse("ring", data, pid=pid)
        except ProfileError:
            continue
        assert all(0 <= spot.self_share <= 1 for spot in hotspots(profile))
        assert profile.sample_count <= 2 * 10**9
        for form in WRITERS:
            write(form, profile)
        assert len(timeline(read_ring(BytesIO(data)), TARGET)) <= MAX_STEPS


def test_samples_that_name_nothing_sound_are_counted() -> None:
    made = shop()
    made.samples += [[0, 99, 0, 1], [0, 0, 99, 1], [10**15, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, -4], [0, 0, 0]]
    profile = _read(made)
    assert (profile.sample_count, profile.errors) == (263, 6)


def test_more_samples_than_are_read_are_said() -> None:
    document = shop().as_dict() | {"samples": [[0, 0, 0, 1]] * (MAX_SAMPLES + 1)}
    profile = parse("ring", json.dumps(document, separators=(",", ":")).encode(), pid=TARGET)
    assert profile.sample_count == MAX_SAMPLES
    assert any("samples the first 1,000,000 were read" in note for note in profile.notes)


def _timeline(document: RingDocument) -> tuple[Step, ...]:
    return timeline(read_ring(BytesIO(document.payload())), TARGET)


def test_each_step_has_its_hottest_function_of_the_whole_family() -> None:
    made = RingDocument(length_s=4.0)
    main = made.process(TARGET, is_target=True)
    child = made.process(5, parent_pid=TARGET, ended_ns=BEGAN_NS + 3 * SECOND_NS)
    made.ran(main, [python("wait_for_child")], 0, 1, 0.2)
    made.ran(child, [native("deflate", "/usr/lib/libz.so.1")], 1, 3)
    made.ran(made.process(77), [python("stranger")], 0, 4)
    found = _timeline(made)
    assert [(step.at_s, step.function, step.file) for step in found] == [
        (-4.0, "wait_for_child", "/srv/shop/orders.py"),
        (-3.0, "deflate", "/usr/lib/libz.so.1"),
        (-2.0, "deflate", "/usr/lib/libz.so.1"),
    ]
    assert (found[1].cpu_percent, found[1].share) == (100.0, 1.0)


def test_a_step_in_which_nothing_ran_says_so_and_time_in_compiled_code_is_its_caller_s() -> None:
    made = RingDocument(length_s=3.0)
    main = made.process(TARGET, is_target=True)
    made.ran(main, [python("f"), native("memcpy")], 0, 1)
    made.ran(main, [python("f"), python("wait", "/usr/lib/python3.11/threading.py")], 2, 3, 0.9)
    made.ran(main, [python("g")], 2, 3, 0.1)
    found = _timeline(made)
    assert [step.function for step in found] == ["f", None, "g"]
    assert found[1] == Step(-2.0, 0.0)


def test_a_document_without_the_target_has_no_timeline() -> None:
    made = RingDocument()
    made.ran(made.process(5), [python("f")], 0, 9)
    assert _timeline(made) == ()


@pytest.mark.parametrize("interpreter", ["[libpython3.11.so.1.0]", "[python3.13t]", "[python]"])
def test_samples_whose_python_function_was_not_read_come_after_those_that_have_one(interpreter: str) -> None:
    made = RingDocument(length_s=10.0)
    main = made.process(TARGET, is_target=True)
    made.ran(main, [native(interpreter)], 0, 10, 0.7)
    made.ran(main, [python("price_basket")], 0, 10, 0.3)
    found = hotspots(_read(made))
    assert [spot.function for spot in found[:2]] == ["price_basket", "[Python, not read]"]
    assert found[1].self_share == pytest.approx(0.7, abs=0.01)
    assert {step.function for step in _timeline(made)} == {"price_basket"}
