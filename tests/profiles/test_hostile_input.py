"""Whatever a file holds, reading it ends soon, in bounded memory, in a Profile or a ProfileError."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.profiles import FORMATS, Profile, ProfileError, hotspots, limits, parse, write_folded
from monitord.profiles.comparing import compare
from monitord.profiles.writing import WRITERS, write

SAMPLES = Path(__file__).parent / "samples"
FILES = {
    "py-spy-dump": ["py-spy-dump.json", "py-spy-dump-locals.json", "py-spy-dump.txt"],
    "speedscope": ["py-spy-speedscope.json", "memray-speedscope.json"],
    "folded": ["py-spy-raw-threads.txt", "py-spy-raw-subprocesses.txt", "py-spy-raw-status.txt"],
    "perf-script": ["perf-script-fp-native.txt", "perf-script-dwarf-native.txt"],
    "eu-stack": ["eu-stack.txt"],
    "sample": ["macos-sample.txt"],
    "spindump": ["macos-spindump.txt"],
    "scalene": ["scalene-cpu.json", "scalene-empty.json"],
    "ring": ["ring.json"],
    "tachyon": ["tachyon-collapsed.txt"],
}
HEADERS = {
    "folded": b"",
    "perf-script": b"app 1/1 1.0: \n",
    "eu-stack": b"PID 1 - process\nTID 1:\n",
    "sample": b"Call graph:\n    10 Thread_1\n",
    "spindump": b"Process: a [1]\n  Thread 0x1 10 samples\n",
}


def _survives(format_name: str, data: bytes) -> Profile | None:
    try:
        profile = parse(format_name, data)
    except ProfileError as error:
        return None if str(error) else pytest.fail("an error without a reason")
    spots = hotspots(profile)
    assert all(0 <= spot.self_share <= spot.total_share + 1e-9 <= 1 + 1e-6 for spot in spots)
    json.dumps([spot.function for spot in spots])
    write_folded(profile)
    return profile


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(FORMATS)), st.randoms(use_true_random=False))
def test_mutated_samples_never_do_anything_else(format_name: str, chance: random.Random) -> None:
    data = bytearray((SAMPLES / chance.choice(FILES[format_name])).read_bytes())
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randrange(1, 200)]
            case 2:
                data[at:at] = data[chance.randrange(len(data)) :][: chance.randrange(1, 300)]
            case 3:
                data[at:at] = chance.choice(
                    [b"\n", b"\0", b"9" * 40, b"\xff\xfe", b";", b'";', b"null", b"-1", b"1e999", b"[[", b" "]
                )
            case _:
                del data[max(1, at) :]
        data = data or bytearray(b"x")
    _survives(format_name, bytes(data))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(FORMATS)),
    st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
)
def test_noise_never_does_anything_else(format_name: str, data: bytes) -> None:
    _survives(format_name, HEADERS.get(format_name, b"") + data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["frames", "profiles", "shared", "samples", "weights", "name", "unit", "line", "module"]), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["py-spy-dump", "speedscope", "scalene"]), JSON, JSON, JSON)
def test_json_of_any_shape_never_does_anything_else(
    format_name: str, first: object, second: object, third: object
) -> None:
    whole = {
        "shared": {"frames": [first, {"name": "a"}]},
        "profiles": [second, {"samples": [[0, 1], first], "weights": [1, third], "unit": "bytes"}],
    }
    _survives(format_name, json.dumps(first).encode())
    shapes = {
        "speedscope": whole,
        "py-spy-dump": [first, {"frames": second}, {"frames": [third]}],
        "scalene": {"stacks": [first, [second, third], [[second, "a b:1;"], {"count": third}]]},
    }
    _survives(format_name, json.dumps(shapes[format_name]).encode())


@pytest.mark.parametrize("format_name", sorted(FORMATS))
@pytest.mark.parametrize(
    "junk",
    [
        b"{}",
        b"[]",
        b"Error: Failed to get process executable name.",
        b"\x00" * 100,
        b"null",
        b"[[1]]",
        b"x" * 5000,
    ],
)
def test_junk_is_refused_or_empty_and_never_a_stack(format_name: str, junk: bytes) -> None:
    profile = _survives(format_name, junk)
    assert profile is None or not profile.stacks


@pytest.mark.parametrize("format_name", ["folded", "perf-script"])
def test_an_empty_file_is_a_profile_without_samples(format_name: str) -> None:
    """py-spy and perf write nothing when nothing ran: that is no damage."""
    assert parse(format_name, b"").sample_count == 0


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="py-spy-dump"):
        parse("gecko", b"")


@pytest.mark.parametrize("format_name", ["py-spy-dump", "speedscope", "scalene", "ring"])
@pytest.mark.parametrize("bait", [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"9" * 10_000 + b"]"])
def test_json_bombs_are_refused(format_name: str, bait: bytes) -> None:
    with pytest.raises(ProfileError):
        parse(format_name, bait)


def test_json_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 1000)
    with pytest.raises(ProfileError, match="bigger"):
        parse("speedscope", b" " * 2000)


DEEP = {
    "folded": b";".join(b"f%d" % n for n in range(5000)) + b" 7\n",
    "perf-script": b"app 1/1 1.0: \n" + b"".join(b"\t 1 f%d (/x)\n" % n for n in range(5000)),
    "eu-stack": b"PID 1 - process\nTID 1:\n" + b"".join(b"#%d 0x1 f%d - /x\n" % (n, n) for n in range(5000)),
    "speedscope": json.dumps({"shared": {"frames": [{"name": f"f{n}"} for n in range(5000)]},
                              "profiles": [{"unit": "none", "samples": [list(range(5000))], "weights": [7]}]}).encode(),
    "py-spy-dump": json.dumps([{"frames": [{"name": f"f{n}"} for n in range(5000)]}]).encode(),
    "sample": b"Call graph:\n    10 Thread_1\n" + b"".join(b" " * (6 + 2 * n) + b"10 f%d  (in x)\n" % n for n in range(3000)),
    "spindump": b"Process: a [1]\n  Thread 0x1 10 samples\n" + b"".join(b" " * (2 + 2 * n) + b"10  f%d (x + 1) [0x1]\n" % n for n in range(3000)),
    "scalene": json.dumps({"stacks": [[[f"/a.py f{n}:1;" for n in range(5000)], {"count": 7}]]}).encode(),
    "ring": json.dumps({"format": "monitord-ring", "version": 1, "began_ns": 0, "ended_ns": 9, "rate_hz": 19, "processes": [{"pid": 1}],
                        "threads": [[0, 1]], "frames": [[f"f{n}", None, None, None, "native"] for n in range(5000)],
                        "stacks": [list(range(5000))], "samples": [[0, 0, 0, 7]]}).encode(),
    "tachyon": b"tid:1;" + b";".join(b"a.py:f%d:1" % n for n in range(5000)) + b" 7\n",
}  # fmt: skip


@pytest.mark.parametrize("format_name", sorted(FORMATS))
def test_very_deep_stacks_lose_their_outer_frames_and_say_so(format_name: str) -> None:
    profile = parse(format_name, DEEP[format_name])
    assert max(len(stack) for _thread, stack in profile.stacks) <= limits.MAX_DEPTH + 1
    assert any("deeper" in note for note in profile.notes)


def test_too_many_distinct_stacks_are_counted_under_one_name() -> None:
    lines = limits.MAX_STACKS + 500
    profile = parse("folded", b"".join(b"main (a.py:1);f (a.py:%d) 1\n" % (n + 1) for n in range(lines)))
    assert len(profile.stacks) <= limits.MAX_STACKS + 1
    assert len(profile.frames) <= limits.MAX_FRAMES + 2
    assert profile.total == lines
    assert any("[other stacks]" in note for note in profile.notes)


class _Endless(io.RawIOBase):
    """A source that would give `line` for ever, and counts what was taken."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.taken = 0

    def readline(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        self.taken += len(self.line)
        return self.line

    def readable(self) -> bool:
        return True


@pytest.mark.parametrize("format_name", ["folded", "perf-script", "eu-stack", "spindump"])
def test_an_endless_stream_is_read_up_to_the_limit_only(
    format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 2_000_000)
    line = {
        "folded": b"a;b 1\n",
        "perf-script": b"a 1/1 1.0: \n",
        "eu-stack": b"TID 1:\n",
        "spindump": b"Process: a [1]\n",
    }[format_name]
    source = _Endless(line)
    profile = parse(format_name, source)  # type: ignore[arg-type]  # a BinaryIO as far as parsers use one
    assert source.taken <= 2_100_000
    assert any("longer than is read" in note for note in profile.notes)


def test_overlong_lines_are_skipped_not_held() -> None:
    profile = parse("folded", b"a;b 3\n" + b"x" * (3 * limits.MAX_LINE_BYTES) + b" 5\n" + b"a;b 4\n")
    assert profile.total == 7
    assert profile.errors == 1


def test_a_big_perf_script_streams_in_little_memory(tmp_path: Path) -> None:
    """Traced memory stays far below the file's size: the text is never held as a whole."""
    import tracemalloc

    path = tmp_path / "perf.txt"
    blocks = 200
    path.write_bytes((SAMPLES / "perf-script-dwarf-python3.11.txt").read_bytes() * blocks)
    tracemalloc.start()
    with path.open("rb") as source:
        profile = parse("perf-script", source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert profile.total == 32 * blocks
    assert peak < path.stat().st_size / 4


def test_names_that_are_not_utf_8_are_kept() -> None:
    profile = parse("folded", b"main (a.py:1);f\xff\xfe (a.py:2) 3\n")
    assert hotspots(profile)[0].function == "f\udcff\udcfe"


def test_counts_that_are_no_counts_are_errors() -> None:
    profile = parse("folded", b"a 0\na -1\na 1.5\na 99999999999999999999\na;b 2\n a\n")
    assert profile.total == 2
    assert profile.errors == 5


def test_non_finite_weights_are_errors() -> None:
    text = '{"shared":{"frames":[{"name":"a"}]},"profiles":[{"unit":"bytes","samples":[[0],[0],[0],[9],[0]],"weights":[NaN,Infinity,-1,1,5]}]}'
    profile = parse("speedscope", text.encode())
    assert (profile.total, profile.errors) == (5, 4)


def test_command_lines_with_line_breaks_quotes_and_semicolons_never_survive() -> None:
    """`python -c` with a program that forges the end of its own quotes and the counts of stacks."""
    evil = 'x = 5\npassword = "hunter2";y = 3\nprocess 9:"hunter2\nz 7\n";process 3:"--token=hunter2'
    data = f'process 1:"python -c {evil}";<module> (a.py:1);f (a.py:2) 11\nmain (b.py:1) 2\n'
    profile = parse("folded", data.encode())
    assert "hunter2" not in repr(profile)
    assert profile.total == 13
    assert {frame.name for frame in profile.frames} == {"<module>", "f", "main"}


def test_a_command_name_with_spaces_and_digits_is_read_whole() -> None:
    profile = parse(
        "perf-script",
        b"a b 12 3.4: c  30366/30367 [001]  1234.724911:   10101010 cpu-clock:u: \n\t 1 f+0x2 (/x y (z) (deleted))\n",
    )
    thread = next(iter(profile.stacks))[0]
    assert (thread.name, thread.pid, thread.thread_id) == ("a b 12 3.4: c", 30366, 30367)
    assert profile.frames[0].name == "f"


class _Zeros(io.RawIOBase):
    """A gigabyte of zeros, as a bomb of a kilobyte unpacks to."""

    def __init__(self) -> None:
        self.left = 1 << 30

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        return count


@pytest.mark.parametrize("format_name", sorted(FORMATS))
def test_a_gigabyte_of_zeros_is_no_profile_and_is_never_held(format_name: str) -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        profile = parse(format_name, io.BufferedReader(_Zeros()))
    except ProfileError:
        profile = None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert profile is None or not profile.stacks
    assert peak < 5 * limits.MAX_JSON_BYTES


def test_a_stack_of_a_hundred_thousand_frames_goes_through_everything() -> None:
    """No step of the way recurses, and all of them say what they left out."""
    profile = parse("folded", b";".join(b"f%d" % (n % 50_000) for n in range(100_000)) + b" 7\n")
    assert profile.total == 7
    assert len(next(iter(profile.stacks))[1]) == limits.MAX_DEPTH + 1
    assert compare(profile, profile).differences
    for form in WRITERS:
        assert write(form, profile)


def test_a_million_different_frames_end_within_the_limits() -> None:
    """A hundred thousand are kept; ten times as many are counted, and take no memory."""

    class Frames(io.RawIOBase):
        lines = iter(b";".join(b"f%d" % (n * 10 + k) for k in range(10)) + b" 1\n" for n in range(100_000))

        def readline(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            return next(self.lines, b"")

    profile = parse("folded", Frames())  # type: ignore[arg-type]  # a BinaryIO as far as parsers use one
    assert profile.total == 100_000
    assert len(profile.frames) <= limits.MAX_FRAMES + 2
    assert any("[other stacks]" in note for note in profile.notes)


def test_frames_that_call_each_other_in_circles_are_recursion() -> None:
    table = {"frames": [{"name": "a"}, {"name": "b"}]}
    samples = {"unit": "none", "samples": [[0, 1] * 400, [1, 0] * 10_000], "weights": [1, 1]}
    profile = parse("speedscope", json.dumps({"shared": table, "profiles": [samples]}).encode())
    assert {spot.total_share for spot in hotspots(profile)} == {1.0}
    assert write("flamegraph", profile)


@pytest.mark.parametrize("form", sorted(WRITERS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False))
def test_whatever_was_read_can_be_written_and_compared(form: str, chance: random.Random) -> None:
    format_name = chance.choice(sorted(FORMATS))
    data = bytearray((SAMPLES / chance.choice(FILES[format_name])).read_bytes())
    for _ in range(8):
        at = chance.randrange(len(data) or 1)
        data[at : at + chance.randrange(3)] = bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
    try:
        profile = parse(format_name, bytes(data))
    except ProfileError:
        return
    assert write(form, profile)
    compare(profile, profile)
