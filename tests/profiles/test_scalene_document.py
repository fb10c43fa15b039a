"""What is kept of Scalene's JSON: names made fit, nothing unasked for, and differences of what adds up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.profiles import ProfileError, parse
from monitord.profiles.scalene_document import (
    Names,
    as_bytes,
    difference,
    from_bytes,
    hot_lines,
    kept_document,
    sample_count,
)

NAMES = Names("/home/alice/project", "/home/alice", lambda text: text.replace("hunter2", "***"))


def document(counts: dict[str, int], percents: dict[int, float], **more: Any) -> bytes:
    """The shape of Scalene 2.4's: stacks by their leaf, lines by number."""
    file = "/home/alice/project/app.py"
    lines = [
        {"lineno": number, "line": f"line {number} hunter2 \\u003c\n", "n_cpu_percent_python": share,
         "n_cpu_percent_c": 0.0, "n_sys_percent": 0.0, "cpu_samples_list": [1.0] * 50}
        for number, share in percents.items()
    ]  # fmt: skip
    stacks = [[[f"{file} <module>:9;", f"{file} {leaf};"], {"count": count, "python_time": 0.5, "c_time": 0.1}]
              for leaf, count in counts.items()]  # fmt: skip
    whole = {
        "files": {file: {"lines": lines, "functions": [], "percent_cpu_time": 100.0}}, "stacks": stacks,
        "elapsed_time_sec": 2.0, "program": file, "args": ["app.py", "--password=hunter2"],
        "entrypoint_dir": "/home/alice/project", "memory": False,
    }  # fmt: skip
    return json.dumps(whole | more).encode()


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/home/alice/project/app.py", "project/app.py"),
        ("/home/alice/project/./lib//x.py", "project/lib/x.py"),
        ("/home/alice/other/x.py", "~/other/x.py"),
        ("/home/alice2/x.py", "/home/alice2/x.py"),
        ("/usr/lib/python3.11/json/decoder.py", "/usr/lib/python3.11/json/decoder.py"),
        ("<string>", "<string>"),
        ("app.py", "app.py"),
        ("../../etc/passwd", None),
        ("/home/alice/project/../../bob/x.py", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_a_path_is_kept_without_where_it_lies(path: str, kept: str | None) -> None:
    """Inside the project, inside the home, elsewhere, and such as lead out of where they belong."""
    assert NAMES.path(path) == kept


@given(st.text())
def test_no_path_that_is_kept_climbs_or_names_the_home(path: str) -> None:
    """Whatever a path is made of."""
    kept = NAMES.path(path)
    if kept is not None and not kept.startswith("<"):
        assert ".." not in kept.split("/")
        assert "\0" not in kept
        assert not f"{kept}/".startswith("/home/alice/")


def test_only_what_is_wanted_is_kept() -> None:
    """No arguments, no folders, no timelines; source lines without secrets, as they were written."""
    kept = kept_document(document({"inner:5": 80}, {5: 80.0, 6: 0.0}), NAMES)
    text = as_bytes(kept).decode()
    for gone in ("hunter2", "/home/alice", "cpu_samples_list", "args", "entrypoint_dir"):
        assert gone not in text
    assert [(line.file, line.line, line.source) for line in hot_lines(kept)] == [
        ("project/app.py", 5, "line 5 *** <")
    ]
    assert sample_count(kept) == 80
    assert parse("scalene", as_bytes(kept)).sample_count == 80
    assert from_bytes(as_bytes(kept)) == kept


def test_names_that_lead_elsewhere_are_refused_and_counted() -> None:
    """A file and a stack with such a name are left out; the rest stays."""
    raw = json.loads(document({"inner:5": 80}, {5: 80.0}))
    raw["files"]["../../etc/passwd"] = {"lines": [], "functions": []}
    raw["stacks"].append([["../../x.py f:1;"], {"count": 3}])
    raw["stacks"].append("nonsense")
    kept = kept_document(json.dumps(raw).encode(), NAMES)
    assert list(kept["files"]) == ["project/app.py"]
    assert sample_count(kept) == 80
    assert kept["names_refused"] == 3


def test_a_difference_is_what_happened_in_between() -> None:
    """Scalene adds up: of 100 samples later and 80 before, 20 are new, and all of them elsewhere."""
    before = kept_document(document({"inner:5": 80}, {5: 100.0}), NAMES)
    later = kept_document(
        document({"inner:5": 80, "other:7": 20}, {5: 80.0, 7: 20.0}, elapsed_time_sec=3.0), NAMES
    )
    since = difference(later, before)
    assert sample_count(since) == 20
    assert [line.line for line in hot_lines(since)] == [7]
    assert hot_lines(since)[0].percent == pytest.approx(100.0)
    assert since["elapsed_time_sec"] == pytest.approx(1.0)
    assert sample_count(difference(later, later)) == 0
    assert difference(later, {}) == later


def test_an_empty_profile_is_empty_and_others_are_errors() -> None:
    """`{}` is what a too short program leaves."""
    assert kept_document(b"{}\n", NAMES) == {}
    assert hot_lines({}) == ()
    for raw in (b"", b"[", b"[]", b'{"a": 1}', b'{"files": 3}', b"null"):
        with pytest.raises(ProfileError):
            kept_document(raw, NAMES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["lines", "functions", "lineno", "line", "count", "n_cpu_percent_c"]), inner, max_size=3
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=3), JSON, JSON)
def test_no_shape_of_json_breaks_the_reader(files: Any, stacks: Any, total: Any) -> None:
    """Whatever stands where something else was expected, what is kept can be shown and parsed."""
    raw = json.dumps({"files": files, "stacks": stacks, "elapsed_time_sec": total}).encode()
    kept = kept_document(raw, NAMES)
    hot_lines(kept)
    parse("scalene", as_bytes(kept))
    difference(kept, kept)
