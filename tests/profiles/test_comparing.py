"""Two profiles compared say what moved, whether chance explains it, and what became of the code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.model import Hotspot
from monitord.profiles import Profile, hotspots, parse
from monitord.profiles.comparing import Comparison, Difference, compare, noise
from monitord.profiles.identifying import SourceText, identify
from monitord.profiles.locations import func_id_of

FILE = "/srv/app/work.py"
SOURCE = """\
def work(items):
    for item in items:
        parse(item)
        send(item)

def parse(item):
    return item.split()

def send(item):
    return item
"""


def _profile(**counts: int) -> Profile:
    """main calls work, work calls these, each so often."""
    lines = {"parse": 7, "send": 10, "work": 3, "new": 20, "gone": 21}
    text = "".join(
        f"main (/srv/app/main.py:1);work ({FILE}:3)"
        + (f";{name} ({FILE}:{lines.get(name, 1)})" if name != "work" else "")
        + f" {count}\n"
        for name, count in counts.items()
    )
    return parse("folded", text.encode())


def _spots(profile: Profile, source: str = SOURCE) -> tuple[Hotspot, ...]:
    return identify(hotspots(profile), {FILE: SourceText(source)}.get)


def _of(comparison: Comparison, function: str) -> Difference:
    return next(one for one in comparison.differences if one.function == function)


def test_hotter_cooler_new_and_gone() -> None:
    before, after = _profile(parse=500, send=400, gone=100), _profile(parse=800, send=100, new=100)
    found = compare(before, after)
    verdicts = {one.function: one.verdict for one in found.differences}
    assert verdicts == {
        "parse": "hotter",
        "send": "cooler",
        "new": "new",
        "gone": "gone",
        "work": "same",
        "main": "same",
    }
    assert _of(found, "parse").before.self_share == 0.5
    assert _of(found, "parse").after.total_share == 0.8
    assert not any(one.is_noise for one in found.differences)
    assert (found.before_samples, found.after_samples) == (1000, 1000)


def test_what_chance_explains_is_noise() -> None:
    """Of 100 samples, 50 and 55 may well be the same; of 10,000, 50 % and 55 % are not."""
    few = compare(_profile(parse=50, send=50), _profile(parse=55, send=45))
    many = compare(_profile(parse=5000, send=5000), _profile(parse=5500, send=4500))
    assert (_of(few, "parse").verdict, _of(few, "parse").is_noise) == ("same", True)
    assert (_of(many, "parse").verdict, _of(many, "parse").is_noise) == ("hotter", False)


def test_a_function_seen_once_is_no_news() -> None:
    found = _of(compare(_profile(parse=1000), _profile(parse=999, new=1)), "new")
    assert (found.verdict, found.is_noise) == ("new", True)


def test_the_bound_is_that_of_a_two_proportion_test() -> None:
    """1.96 · √(p(1−p)(1/n + 1/m)), p of both together: computed by hand for 60 % of 200 and 50 % of 300."""
    assert noise(0.6, 0.5, (200, 300)) == pytest.approx(0.0892, abs=5e-4)


def test_a_total_that_moved_counts_where_the_self_share_did_not() -> None:
    before = parse("folded", b"main;work;deep 100\nmain;deep 900\n")
    after = parse("folded", b"main;work;deep 900\nmain;deep 100\n")
    found = _of(compare(before, after), "work")
    assert (found.verdict, found.before.self_share, found.after.total_share) == ("hotter", 0.0, 0.9)


def test_recursion_counts_once() -> None:
    found = compare(parse("folded", b"f;f;f;f 10\n"), parse("folded", b"f;g;f 10\n"))
    assert _of(found, "f").before.total_share == _of(found, "f").after.total_share == 1.0


def test_the_same_code_that_got_hotter_and_code_that_changed_are_told_apart() -> None:
    before, after = _profile(parse=500, send=500), _profile(parse=800, send=200)
    same = compare(before, after, _spots(before), _spots(after))
    assert (_of(same, "parse").verdict, _of(same, "parse").code) == ("hotter", "same")
    edited = SOURCE.replace("item.split()", "item.split(None)")
    changed = compare(before, after, _spots(before), _spots(after, edited))
    assert (_of(changed, "parse").verdict, _of(changed, "parse").code) == ("hotter", "changed")
    assert _of(changed, "send").code == "same"
    unread = compare(before, after, hotspots(before), _spots(after))
    assert _of(unread, "parse").code == "unknown"


def test_statements_are_matched_through_lines_that_moved() -> None:
    before = _profile(parse=500, send=500)
    moved = "# a\n# comment\n" + SOURCE
    lines = {7: 9, 10: 12, 3: 5, 1: 1}
    text = "".join(
        f"main (/srv/app/main.py:1);work ({FILE}:{lines[3]});{name} ({FILE}:{lines[line]}) {count}\n"
        for name, line, count in (("parse", 7, 800), ("send", 10, 200))
    )
    after = parse("folded", text.encode())
    found = compare(before, after, _spots(before), _spots(after, moved))
    statement = _of(found, "parse").statements[0]
    assert (statement.before_line, statement.after_line, statement.verdict) == (7, 9, "hotter")
    assert (statement.before_share, statement.after_share) == (0.5, 0.8)


def test_an_edited_statement_is_a_new_one() -> None:
    before, after = _profile(parse=500), _profile(parse=500)
    edited = SOURCE.replace("item.split()", "item.split(None)")
    statements = _of(compare(before, after, _spots(before), _spots(after, edited)), "parse").statements
    assert {one.verdict for one in statements} == {"new", "gone"}


def test_a_renamed_function_is_the_same_function() -> None:
    before = _profile(parse=500, send=500)
    text = f"main (/srv/app/main.py:1);work ({FILE}:3);analyse ({FILE}:7) 700\nmain (/srv/app/main.py:1);work ({FILE}:3);send ({FILE}:10) 300\n"
    after = parse("folded", text.encode())
    renamed = SOURCE.replace("def parse", "def analyse")
    found = compare(before, after, _spots(before), _spots(after, renamed))
    one = _of(found, "analyse")
    assert (one.was, one.code, one.verdict) == ("parse", "renamed", "hotter")
    assert one.before.self_share == 0.5
    assert all(other.function != "parse" for other in found.differences)


def test_other_versions_of_pythons_grammar_are_not_compared() -> None:
    before, after = _profile(parse=500), _profile(parse=500)
    older = tuple(replace(spot, ast_version="3.9") for spot in _spots(before) if spot.ast_version)
    found = compare(before, after, older, _spots(after))
    assert _of(found, "parse").code == "unknown"
    assert _of(found, "parse").statements == ()
    assert any("3.9" in note for note in found.notes)


def test_two_checkouts_of_one_program_are_compared_function_by_function() -> None:
    before = parse(
        "folded", b"f (/srv/releases/1/app/work.py:1) 500\ng (/srv/releases/1/app/work.py:9) 500\n"
    )
    after = parse("folded", b"f (/srv/releases/2/app/work.py:4) 900\ng (/srv/releases/2/app/work.py:9) 100\n")
    assert {one.function: one.verdict for one in compare(before, after).differences} == {
        "f": "hotter",
        "g": "cooler",
    }


def test_files_of_one_name_are_not_mixed_up() -> None:
    """shop/api/views.py and blog/api/views.py have one id; within a profile the path tells them apart."""
    text = b"index (/srv/shop/api/views.py:1) %d\nindex (/srv/blog/api/views.py:1) %d\n"
    found = compare(parse("folded", text % (500, 500)), parse("folded", text % (900, 100)))
    assert {one.file: one.verdict for one in found.differences} == {
        "/srv/shop/api/views.py": "hotter",
        "/srv/blog/api/views.py": "cooler",
    }


def test_units_and_tools_that_differ_are_said() -> None:
    memory = replace(_profile(parse=500), unit="bytes", tool="memray")
    notes = " ".join(compare(_profile(parse=500), memory).notes)
    assert "bytes" in notes
    assert "memray" in notes


def test_empty_profiles_compare() -> None:
    empty = Profile("t", [], {}, 0)
    assert compare(empty, empty).differences == ()
    assert _of(compare(empty, _profile(parse=5)), "parse").verdict == "new"
    assert _of(compare(empty, _profile(parse=5)), "parse").is_noise, "nothing can be said of no samples"


COUNTS = st.dictionaries(
    st.sampled_from(["parse", "send", "work", "new", "gone"]), st.integers(1, 5000), min_size=1
)


@settings(max_examples=150, deadline=None)
@given(COUNTS, COUNTS)
def test_shares_are_those_of_the_hotspots_and_swap_with_the_profiles(
    first: dict[str, int], second: dict[str, int]
) -> None:
    before, after = _profile(**first), _profile(**second)
    there, back = compare(before, after), compare(after, before)
    expected = {spot.function: spot.self_share for spot in hotspots(after, 100)}
    assert {one.function: one.after.self_share for one in there.differences if one.verdict != "gone"} == {
        name: pytest.approx(share) for name, share in expected.items()
    }
    swapped = {"hotter": "cooler", "cooler": "hotter", "new": "gone", "gone": "new", "same": "same"}
    assert {one.function: (swapped[one.verdict], one.is_noise) for one in there.differences} == {
        one.function: (one.verdict, one.is_noise) for one in back.differences
    }


@pytest.mark.parametrize("seed", range(3))
def test_two_samplings_of_one_program_are_rarely_called_different(seed: int) -> None:
    """At 95 %, about one function in twenty may be; a test that called many different would be wrong."""
    import random

    chance = random.Random(seed)
    names = [f"f{n}" for n in range(200)]
    weights = [chance.expovariate(1) for _ in names]

    def sampled() -> Profile:
        picked = chance.choices(names, weights, k=20_000)
        return parse(
            "folded", "".join(f"{name} ({FILE}:1) {picked.count(name)}\n" for name in set(picked)).encode()
        )

    found = compare(sampled(), sampled())
    moved = [one for one in found.differences if one.verdict != "same" and not one.is_noise]
    assert len(moved) <= 24


@pytest.mark.parametrize("name", ["f", "add", "feed", "decade", "cafe_0", "b2"])
@pytest.mark.parametrize("kind", ["python", "native"])
def test_a_name_of_the_letters_of_numbers_is_a_name(name: str, kind: str) -> None:
    assert func_id_of(name, "/srv/app/shop.py", "/srv/app/shop", kind) is not None


@pytest.mark.parametrize("name", ["[unknown]", "[other stacks]", "0x1f", "7f3a00b1c2d4"])
def test_code_without_a_name_has_no_id(name: str) -> None:
    assert func_id_of(name, None, "/usr/bin/node", "native") is None
