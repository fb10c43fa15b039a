"""`explain ID` and `hot` on a real store: sentences with evidence, functions across captures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from monitord.model import ONLY_WAITED, CaptureStatus, Hotspot, Incident, Threshold, TriggerMetric

Maker = Callable[..., Incident]
HOTSPOT = Hotspot("fibonacci", "/srv/app/numbers.py", 12, 0.61, 0.98)  # the hottest of conftest's incidents


def sentences(here, incident: Incident) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for each in json.loads(here("explain", incident.correlation_id, "-o", "json").out)["sentences"]:
        said.setdefault(each["about"], []).append(each["text"])
    return said


def test_an_incident_is_told_in_sentences(here, store, incident) -> None:
    """Who, since when, how much, where; and where to look further."""
    said = sentences(here, incident)
    assert incident.alert.reason in said["who"][0]
    assert HOTSPOT.function in said["where"][0]
    assert f"monitord show {incident.correlation_id[:8]}`" in said["further"][0]
    told = here("explain", incident.correlation_id)
    assert told.code == 0
    words = " ".join(told.out.split())
    assert HOTSPOT.function in words


def test_no_sentence_without_evidence(here, store, new_incident) -> None:
    """Without history nothing is said of before and meanwhile; without a profile, that there is none."""
    made = replace(new_incident(), history=(), captures=())
    store.save_incident(made)
    said = sentences(here, made)
    assert "before" not in said
    assert "where" not in said
    assert not any("processors" in text for text in said.get("meanwhile", []))
    assert any("not known" in text for text in said["unknown"])


def test_what_happened_before_and_beside_is_compared(here, store, new_incident) -> None:
    """An earlier incident of the same rule and program, and another one at the same time, are named by id."""
    first = new_incident()
    store.save_incident(first)
    alert = replace(first.alert, raised_at=first.alert.raised_at + timedelta(hours=2))
    captures = tuple(
        replace(each, started_at=each.started_at + timedelta(hours=2)) for each in first.captures
    )
    again = replace(new_incident(), alert=alert, captures=captures)
    store.save_incident(again)
    beside = replace(again, correlation_id=new_incident().correlation_id)
    beside = replace(beside, alert=replace(alert, process_name="neighbour", rule="other"), process=None)
    store.save_incident(beside)
    said = sentences(here, again)
    assert any(f"({first.correlation_id[:8]})" in text for text in said["normal"])
    assert any("neighbour" in text for text in said["meanwhile"])
    assert any("was hot in" in text for text in said["normal"])


def test_another_script_of_the_same_interpreter_is_not_counted_as_before(here, store, new_incident) -> None:
    """Two scripts, two Java mains with one class path: same rule, same name in the kernel, other programs."""
    for name, first, second in (
        ("python3", ("python3", "-W", "ignore", "/srv/a.py"), ("python3", "-W", "ignore", "/srv/b.py")),
        ("java", ("java", "-cp", "lib/*", "Orders"), ("java", "-cp", "lib/*", "Bills")),
    ):
        earlier = new_incident(name=name, command_line=first)
        later = new_incident(name=name, command_line=second, at=earlier.alert.raised_at + timedelta(hours=1))
        again = new_incident(name=name, command_line=first, at=earlier.alert.raised_at + timedelta(hours=2))
        for made in (earlier, later, again):
            store.save_incident(made)
        assert not any("fired for" in text for text in sentences(here, later).get("normal", []))
        (said,) = [text for text in sentences(here, again)["normal"] if "fired for" in text]
        assert "once before" in said


def test_the_line_of_python_beside_a_native_function_is_told_as_what_it_is(here, store, new_incident) -> None:
    """`show` and `explain`: the function of C leads; the Python that py-spy saw does not explain all."""
    made = new_incident()
    context, by_py_spy, perf = made.captures
    native = Hotspot("native_leaf", None, None, 0.9, 0.9, kind="native", module="/srv/app/fast.so")
    python = Hotspot("calls", "/srv/app/main.py", 7, 0.8, 0.9)
    by_py_spy = replace(by_py_spy, status=CaptureStatus.PARTIAL, hotspots=(python,))
    perf = replace(
        perf, status=CaptureStatus.OK, format="folded", payload=b"native_leaf 90\n", sample_count=90,
        hotspots=(native,), reason=None, fix=None,
    )  # fmt: skip
    made = replace(made, captures=(context, by_py_spy, perf))
    store.save_incident(made)
    where = sentences(here, made)["where"]
    assert where[0].startswith("perf saw it spend 90 % of its time in 90 samples in native_leaf")
    assert where[-1] == (
        "Of the Python code py-spy saw 80 % in calls (/srv/app/main.py:7); that does not explain all of the CPU used."
    )
    shown = here("show", made.correlation_id, "--no-pager").out
    leading, _, python_lines = shown.partition("Where the time went")[2].partition("In Python")
    assert "native_leaf" in leading
    assert "calls" not in leading
    assert "(by py-spy, whose samples do not explain all of the CPU used)" in python_lines.splitlines()[0]
    assert "calls" in python_lines


def test_hostile_names_stay_words(here, store, new_incident) -> None:
    """Escapes and line breaks of a process's name reach neither the terminal nor the JSON raw."""
    made = new_incident()
    hostile = "x\x1b]0;pwn\x07\nIgnore all rules"
    made = replace(made, alert=replace(made.alert, process_name=hostile, reason=f"{hostile} used 100 %"))
    store.save_incident(made)
    told = here("explain", made.correlation_id)
    assert "\x1b" not in told.out
    assert "\x07" not in told.out
    for texts in sentences(here, made).values():
        assert not any("\n" in text or "\x1b" in text for text in texts)


def test_explaining_an_incident_takes_no_rule(here, store, incident) -> None:
    """The past and the present are two questions; an id that is none is not found."""
    assert here("explain", incident.correlation_id, "--pid", "1").code == 2
    assert here("explain", "nothing").code == 3


def test_hot_functions_are_counted_across_incidents(here, store, new_incident) -> None:
    """Mean and highest share, how many incidents, when last; filters narrow it."""
    made = [new_incident() for _ in range(3)]
    for each in made:
        store.save_incident(each)
    spot = HOTSPOT
    (found,) = json.loads(here("hot", "-S", "2020-01-01", "--function", spot.function, "--json").out)
    assert found["function"] == spot.function
    assert found["incidents"] == 3
    assert found["self_share_mean"] == pytest.approx(spot.self_share, abs=1e-3)
    assert (found["file"], found["line"]) == (spot.file, spot.line)
    listed = json.loads(here("hot", "-S", "2020-01-01", "--json").out)
    assert listed[0]["function"] == spot.function
    assert json.loads(here("hot", "-S", "2020-01-01", "--process", "nobody", "--json").out) == []
    table = here("hot", "-S", "2020-01-01").out
    assert spot.function in table
    assert here("hot", "-S", "1h", "-U", "2h").code == 2
    nothing = here("hot", "--node", "f" * 16)
    assert (nothing.code, nothing.out) == (0, "")


def test_where_no_thread_ran_no_function_is_hot_and_none_took_cpu_time(here, store, new_incident) -> None:
    """A sleeping function led `hot` with 100 %, and "took 100 % of its CPU time" in `show`."""
    made = new_incident(metric=TriggerMetric.FD_GROWTH, threshold=Threshold(500, "count"))
    waited = Hotspot("wait_for_requests", "/srv/a.py", 7, 1.0, 1.0)
    captures = tuple(
        replace(each, hotspots=(waited,), notes={ONLY_WAITED: "no thread ran", "waiting": "1 thread waits in wait_for_requests"})
        if each.role == "profile" else each
        for each in made.captures
    )  # fmt: skip
    store.save_incident(replace(made, captures=captures))
    assert json.loads(here("hot", "-S", "2020-01-01", "--json").out) == []
    shown = here("show", "1").out
    assert "Where it waited" in shown
    assert "no thread ran" in shown
    assert "Where the time went" not in shown
    assert "CPU time" not in shown
    assert "1 thread waits in" not in shown, "the table says so already"
    told = " ".join(here("explain", "1").out.split())
    assert "saw it wait 100 % of its time" in told
    assert "Beside that" not in told


def test_a_look_of_one_sample_is_not_as_hot_as_a_profile_and_nothing_of_0_percent_is_listed(
    here, store, new_incident
) -> None:
    for name, share, samples in (("glanced", 1.0, 1), ("profiled", 0.6, 900)):
        spots = (Hotspot(name, "/srv/a.py", 1, share, 1.0), Hotspot("<module>", "/srv/a.py", 9, 0.001, 1.0))
        made = new_incident(hotspots=spots)
        captures = tuple(replace(each, sample_count=samples) for each in made.captures)
        store.save_incident(replace(made, captures=captures))
    listed = json.loads(here("hot", "-S", "2020-01-01", "--json").out)
    assert [each["function"] for each in listed] == ["profiled", "glanced"]


def test_what_the_record_told_is_shown_and_explained(here, store, new_incident) -> None:
    """`show`, `explain` and JSON say where it waited; without a profile that is all that is known."""
    made = new_incident()
    profile = made.captures[-1]
    said = {"waits": "1 thread waits in vfs_write, system call write, on /srv/x", "files": "300 open of 1024"}
    context = replace(profile, role="context", profiler="context", hotspots=(), notes=said)
    store.save_incident(replace(made, captures=(context,)))
    name = made.correlation_id
    assert json.loads(here("show", name, "--json").out)["context"] == said
    shown = " ".join(here("show", name, "--no-pager").out.split())
    assert said["waits"] in shown
    assert said["files"] in shown
    told = sentences(here, made)
    assert f"Waits: {said['waits']}." in told["context"]
    assert any(said["waits"] in text for text in told["unknown"])


def test_code_without_a_name_comes_after_every_function(here, store, new_incident) -> None:
    """Neither tells what it did, nor is it one piece of code from one incident to the next."""
    spots = (
        Hotspot("[libfoo.so]", None, None, 0.9, 0.9, kind="native", module="libfoo.so"),
        Hotspot("price_basket", "/srv/app/shop.py", 14, 0.1, 0.1),
    )
    for made in (new_incident(hotspots=spots), new_incident(hotspots=spots)):
        store.save_incident(made)
    for limit in ("1", "2"):
        found = json.loads(here("hot", "--json", "--limit", limit).out)
        assert [row["function"] for row in found] == ["price_basket", "[libfoo.so]"][: int(limit)]
    assert not any("libfoo" in text for text in sentences(here, made)["normal"])


def test_a_deleted_incident_is_no_longer_hot(here, store, incident) -> None:
    """What was deleted is not counted."""
    store.delete_incident(incident.correlation_id)
    assert json.loads(here("hot", "-S", "2020-01-01", "--json").out) == []
