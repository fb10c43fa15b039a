"""Every form says the same as the profile it was written from, to the readers that it is meant for."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.profiles import Frame, Profile, ProfileError, Thread, parse
from monitord.profiles.writing import WRITERS, About, write
from tests.patience import PATIENCE_S
from tests.profiles.test_samples import CHECKS

SAMPLES = Path(__file__).parent / "samples"
SCHEMA = json.loads((SAMPLES / "speedscope-file-format.schema.json").read_text())
FILES = [check[:2] for check in CHECKS]


def _read(format_name: str, file: str) -> Profile:
    return parse(format_name, (SAMPLES / file).read_bytes())


@pytest.mark.parametrize(("format_name", "file"), FILES, ids=[file for _, file in FILES])
def test_speedscope_files_fit_their_schema_and_hold_every_sample(format_name: str, file: str) -> None:
    profile = _read(format_name, file)
    document = json.loads(write("speedscope", profile, About("a title")))
    jsonschema.validate(document, SCHEMA)
    scale = (profile.period_s or 1.0) if profile.unit == "samples" else 1.0
    weights = sum(sum(one["weights"]) for one in document["profiles"])
    assert weights == pytest.approx(profile.total * scale)
    assert all(one["endValue"] == pytest.approx(sum(one["weights"])) for one in document["profiles"])


@pytest.mark.parametrize(("format_name", "file"), FILES, ids=[file for _, file in FILES])
def test_the_representation_itself_is_written_whole(format_name: str, file: str) -> None:
    profile = _read(format_name, file)
    document = json.loads(write("profile-json", profile))
    frames = [Frame(f["name"], f["file"], f["line"], f["module"], f["kind"]) for f in document["frames"]]
    threads = [Thread(t["name"], t["thread_id"], t["pid"], t["is_idle"]) for t in document["threads"]]
    assert frames == profile.frames
    assert {(threads[t], tuple(stack)): value for t, stack, value in document["stacks"]} == profile.stacks
    assert document["sample_count"] == profile.sample_count


# ---------------------------------------------------------------------------------------- pprof


def _pprof(require_tool: Callable[[str], str], tmp_path: Path, profile: Profile, *words: str) -> str:
    path = tmp_path / "profile.pb.gz"
    path.write_bytes(write("pprof", profile, About("a title", 1_700_000_000_000_000_000, 3.0)))
    done = subprocess.run(
        [require_tool("go"), "tool", "pprof", *words, str(path)], capture_output=True, text=True, timeout=PATIENCE_S,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_go_tool_pprof_reads_what_is_written(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    profile = _read("speedscope", "py-spy-speedscope.json")
    top = _pprof(require_tool, tmp_path, profile, "-top", "-sample_index=samples")
    assert "Total samples = 304" in top
    assert re.search(r"287 94\.41% 94\.41% +287 94\.41% +inner\n", top)
    assert re.search(r"299 98\.36% +<module>\n", top), "cumulative"
    by_time = _pprof(require_tool, tmp_path, profile, "-top")
    assert "2.87s 94.41%" in by_time
    assert "a title" in by_time
    lines = _pprof(require_tool, tmp_path, profile, "-top", "-lines")
    assert "/srv/app/busy.py:9" in lines


@pytest.mark.parametrize(("format_name", "file"), FILES, ids=[file for _, file in FILES])
def test_every_profile_is_one_to_pprof(
    format_name: str, file: str, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """The sum of all samples is the profile's; threads are labels, not frames."""
    profile = _read(format_name, file)
    raw = _pprof(require_tool, tmp_path, profile, "-raw")
    samples = raw.partition("\nSamples:\n")[2].partition("\nLocations\n")[0]
    values = [int(found[1]) for found in re.finditer(r"^ *([0-9]+)(?: +[0-9]+)?: ", samples, re.MULTILINE)]
    assert sum(values) == pytest.approx(profile.total, abs=len(values))  # the form has whole numbers only
    for thread in {thread for thread, _stack in profile.stacks}:
        assert thread.name is None or f"thread:[{thread.name}]" in raw


def test_a_pprof_file_is_the_same_each_time() -> None:
    profile = _read("folded", "py-spy-raw-native.txt")
    assert write("pprof", profile) == write("pprof", profile)
    assert gzip.decompress(write("pprof", Profile("t", [], {}, 0)))


# -------------------------------------------------------------------------------------- hostile

NAMES = st.text(max_size=30) | st.sampled_from(["\udcff", "\ud800", "a;b", "</script>", "\0", "x" * 5000])
ANY = st.builds(Frame, NAMES, st.none() | NAMES, st.none() | st.integers(1, 10**9), st.none() | NAMES,
                st.sampled_from(["python", "native", "kernel"]))  # fmt: skip
THREADS = st.builds(
    Thread, st.none() | NAMES, st.none() | st.integers(-(2**63), 2**64), st.none() | st.integers(0, 2**31)
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(ANY, min_size=1, max_size=5),
    THREADS,
    st.integers(1, 10**15) | st.floats(1e-6, 1e15),
    st.sampled_from(["samples", "bytes", "\udcff"]),
)
def test_no_name_and_no_number_breaks_a_form(
    frames: list[Frame], thread: Thread, value: float, unit: str
) -> None:
    table = list(dict.fromkeys(frames))
    stacks: dict[tuple[Thread, tuple[int, ...]], int | float] = {(thread, tuple(range(len(table)))): value}
    profile = Profile("\udcfft", table, stacks, 1, unit=unit, period_s=0.01, notes=("\udcff",))
    for form in WRITERS:
        written = write(form, profile, About("\udcff", 1, 1.0))
        if form in ("speedscope", "profile-json"):
            written.decode("ascii")
            document = json.loads(written)
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        elif form == "flamegraph":
            written.decode("utf-8")
    jsonschema.validate(json.loads(write("speedscope", profile)), SCHEMA)


def test_an_unknown_form_names_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="speedscope"):
        write("gif", Profile("t", [], {}, 0))
