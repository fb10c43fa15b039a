"""Recorded output of every tool gives the totals that independent counting gave.

The two macOS reports were re-created by hand from public descriptions of the formats, not recorded.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitord.profiles import Frame, Profile, Thread, hotspots, parse
from monitord.profiles.limits import opened
from monitord.profiles.speedscope import parse_units

SAMPLES = Path(__file__).parent / "samples"

# format, file, distinct stacks, total, function that is to blame
CHECKS = [
    ("py-spy-dump", "py-spy-dump.json", 2, 2, "inner"),
    ("py-spy-dump", "py-spy-dump-native.json", 2, 2, "inner"),
    ("py-spy-dump", "py-spy-dump-locals.json", 2, 2, "inner"),
    ("py-spy-dump", "py-spy-dump-subprocesses.json", 1, 1, "Popen.poll"),
    ("py-spy-dump", "py-spy-dump.txt", 2, 2, "inner"),
    ("folded", "py-spy-raw-threads.txt", 5, 306, "inner"),
    ("folded", "py-spy-raw-native.txt", 20, 209, "inner"),
    ("folded", "py-spy-raw-subprocesses.txt", 5, 408, "work.<locals>.<genexpr>"),
    ("folded", "py-spy-raw-status.txt", 6, 214, "inner"),
    ("speedscope", "py-spy-speedscope.json", 6, 304, "inner"),
    ("speedscope", "memray-speedscope.json", 13, 57_326_629, "_PyObject_Malloc"),
    ("perf-script", "perf-script-fp-native.txt", 2, 6, "leaf"),
    ("perf-script", "perf-script-dwarf-native.txt", 2, 3, "leaf"),
    ("perf-script", "perf-script-dwarf-python3.11.txt", 19, 32, "math_1_to_whatever"),
    ("perf-script", "perf-script-dwarf-python3.12-Xperf.txt", 41, 114, "_PyEval_EvalFrameDefault"),
    ("perf-script", "perf-script-fp-python3.13-Xperf.txt", 30, 88, "_PyEval_EvalFrameDefault"),
    ("perf-script", "perf-script-fp-python3.15-Xperf.txt", 15, 49, "[unknown]"),
    ("eu-stack", "eu-stack.txt", 2, 2, "object_dealloc"),
    ("sample", "macos-sample.txt", 6, 1600, "[unknown]"),
    ("spindump", "macos-spindump.txt", 4, 909.1, "-[NSView _layoutSubtreeWithOldSize:]"),
    ("scalene", "scalene-cpu.json", 5, 660, "sleeper"),
    ("scalene", "scalene-memory.json", 5, 544, "sleeper"),
    ("ring", "ring.json", 3, 2163, "spin"),
    ("tachyon", "tachyon-collapsed.txt", 8, 3994, "sleeper"),
]


def _read(format_name: str, file: str, pid: int | None = None) -> Profile:
    with (SAMPLES / file).open("rb") as source:
        return parse(format_name, source, pid=pid)


def _threads(profile: Profile) -> dict[Thread, float]:
    totals: dict[Thread, float] = {}
    for (thread, _stack), value in profile.stacks.items():
        totals[thread] = totals.get(thread, 0) + value
    return totals


@pytest.mark.parametrize(
    ("format_name", "file", "stacks", "total", "guilty"), CHECKS, ids=[check[1] for check in CHECKS]
)
def test_every_recorded_file_gives_its_check_values(
    format_name: str, file: str, stacks: int, total: int, guilty: str
) -> None:
    profile = _read(format_name, file)
    assert len(profile.stacks) == stacks
    assert profile.total == pytest.approx(total)
    assert profile.errors == 0
    assert hotspots(profile)[0].function == guilty


@pytest.mark.parametrize(
    ("format_name", "file"), [check[:2] for check in CHECKS], ids=[check[1] for check in CHECKS]
)
def test_no_planted_secret_gets_into_a_profile(format_name: str, file: str) -> None:
    """Command lines and values of variables are dropped while reading, not hidden afterwards."""
    text = repr(_read(format_name, file))
    assert "SECRET" not in text
    assert "s3cr3t" not in text
    assert "--api-key" not in text


def test_the_hottest_line_of_the_guilty_function_is_named() -> None:
    spot = hotspots(_read("folded", "py-spy-raw-threads.txt"))[0]
    assert (spot.file, spot.line, spot.kind) == ("/srv/app/busy.py", 9, "python")
    assert spot.self_share == pytest.approx(280 / 306)


def test_threads_are_labels_with_the_tools_own_numbers() -> None:
    folded = _threads(_read("folded", "py-spy-raw-threads.txt"))
    assert folded == {Thread("MainThread", 9684): 299, Thread("sleepy", 9686): 7}
    speedscope = _threads(_read("speedscope", "py-spy-speedscope.json"))
    assert speedscope == {Thread("MainThread", 9684): 299, Thread("sleepy", 9686): 5}


def test_the_time_of_a_speedscope_sample_is_its_period() -> None:
    profile = _read("speedscope", "py-spy-speedscope.json")
    assert profile.period_s == pytest.approx(0.01)
    assert profile.tool == "py-spy"


def test_memray_writes_two_units_and_none_is_mixed_with_the_other() -> None:
    with (SAMPLES / "memray-speedscope.json").open("rb") as source:
        units = parse_units(source)
    assert {unit: profile.total for unit, profile in units.items()} == {
        "bytes": 57_326_629,
        "allocations": 585,
    }
    assert "allocations" in " ".join(_read("speedscope", "memray-speedscope.json").notes)


def test_process_words_become_pids() -> None:
    assert {thread.pid for thread in _threads(_read("folded", "py-spy-raw-subprocesses.txt"))} == {
        7680,
        7682,
        7683,
    }
    assert _read("folded", "py-spy-raw-subprocesses.txt", pid=7682).total == 199


def test_idle_threads_of_a_dump_are_marked_and_not_blamed() -> None:
    profile = _read("py-spy-dump", "py-spy-dump.json")
    assert {thread.name: thread.is_idle for thread in _threads(profile)} == {
        "MainThread": False,
        "sleepy": True,
    }
    assert all(spot.function != "sleeper" for spot in hotspots(profile))
    assert hotspots(profile)[0].self_share == 1.0


def test_native_frames_of_a_dump_know_their_binary() -> None:
    frames = _read("py-spy-dump", "py-spy-dump-native.json").frames
    assert ("clock_nanosleep", "/usr/lib/x86_64-linux-gnu/libc.so.6", None, "native") in [
        (frame.name, frame.module, frame.line, frame.kind) for frame in frames
    ]


@pytest.mark.parametrize(
    ("file", "count"),
    [("perf-script-dwarf-python3.12-Xperf.txt", 114), ("perf-script-fp-python3.13-Xperf.txt", 0), ("perf-script-fp-python3.15-Xperf.txt", 135)],
)  # fmt: skip
def test_trampoline_frames_are_python(file: str, count: int) -> None:
    profile = _read("perf-script", file)
    python = {number for number, frame in enumerate(profile.frames) if frame.kind == "python"}
    assert (
        sum(value * len([n for n in stack if n in python]) for (_t, stack), value in profile.stacks.items())
        == count
    )
    assert all(profile.frames[number].file == "/srv/app/busy.py" for number in python)


def test_perf_tells_kernel_from_native_and_gives_inlined_frames_their_binary() -> None:
    native = _read("perf-script", "perf-script-fp-native.txt")
    assert {frame.kind for frame in native.frames if frame.module == "[kernel.kallsyms]"} == {"kernel"}
    assert native.period_s == pytest.approx(0.01010101)
    inlined = _read("perf-script", "perf-script-dwarf-python3.11.txt")
    modules = {frame.module for frame in inlined.frames if frame.name == "_PyEval_Vector"}
    assert modules == {"/opt/python/3.11.7/lib/libpython3.11.so.1.0"}


def test_another_process_than_the_asked_for_is_left_out() -> None:
    assert _read("perf-script", "perf-script-dwarf-python3.11.txt", pid=30366).total == 32
    assert not _read("perf-script", "perf-script-dwarf-python3.11.txt", pid=1).stacks
    assert not _read("py-spy-dump", "py-spy-dump.json", pid=1).stacks
    assert not _read("eu-stack", "eu-stack.txt", pid=1).stacks
    assert _read("spindump", "macos-spindump.txt", pid=1).total == 500


def test_snapshots_of_eu_stack_add_up() -> None:
    once = (SAMPLES / "eu-stack.txt").read_bytes()
    profile = parse("eu-stack", opened(once * 10), pid=28705)
    assert (len(profile.stacks), profile.total) == (2, 20)
    assert {thread.thread_id: thread.is_idle for thread in _threads(profile)} == {28705: False, 28707: True}
    assert "clock_nanosleep" in {frame.name for frame in profile.frames}


def test_macos_trees_give_threads_places_and_kernel_frames() -> None:
    sample = _read("sample", "macos-sample.txt")
    assert {thread.name: total for thread, total in _threads(sample).items()} == {
        "com.apple.main-thread": 800,
        "worker-1": 800,
    }
    assert ("foo.cpp", 42) in [(frame.file, frame.line) for frame in sample.frames]
    assert sample.period_s == pytest.approx(0.001)
    spindump = _read("spindump", "macos-spindump.txt")
    assert [frame.module for frame in spindump.frames if frame.kind == "kernel"] == ["kernel.release.t6050"]
    assert ("main", "main.c", 31, "Python") in [(f.name, f.file, f.line, f.module) for f in spindump.frames]


def test_a_sample_report_that_lost_its_first_columns_reads_the_same() -> None:
    text = (SAMPLES / "macos-sample.txt").read_text()
    head, marker, graph = text.partition("Call graph:\n")
    shifted = "".join(line.removeprefix("    ") for line in graph.splitlines(keepends=True))
    assert parse("sample", (head + marker + shifted).encode()).stacks == parse("sample", text.encode()).stacks


def test_a_scalene_profile_without_samples_is_empty_and_no_error() -> None:
    profile = _read("scalene", "scalene-empty.json")
    assert (profile.sample_count, profile.errors) == (0, 0)


def test_scalenes_frames_keep_their_lines_and_nothing_of_the_source() -> None:
    profile = _read("scalene", "scalene-cpu.json")
    assert Frame("Worker.run", "/srv/app/busy.py", 18) in profile.frames
    assert {frame.kind for frame in profile.frames} == {"python"}


def test_combined_stacks_are_read_where_there_are_no_others() -> None:
    document = json.loads((SAMPLES / "scalene-cpu.json").read_text())
    document["stacks"] = []
    profile = parse("scalene", json.dumps(document).encode())
    assert profile.total == 220
    assert {frame.kind for frame in profile.frames} == {"python", "native"}


@pytest.mark.parametrize(
    ("call", "share", "guilty"),
    [
        ("work", "0.600", "work"),
        ("read", "0.000", "main"),
        ("poll", "0.600", "main"),  # it worked before or after, not while it was seen
        ("poll", "1.000", "poll"),  # comes back at once, again and again
    ],
)
def test_a_thread_of_eu_stack_is_hot_by_what_it_ran_and_by_where_it_was_seen(
    call: str, share: str, guilty: str
) -> None:
    beside = f"CPU 7 0.020\nCPU 8 {share}\nPID 7 - process\nTID 7:\n#0  0x1 main - /a\n"
    text = f"{beside}TID 8:\n#0  0x2 {call} - /libc.so\n#1  0x3 caller - /a\n"
    assert hotspots(parse("eu-stack", text.encode()))[0].function == guilty
