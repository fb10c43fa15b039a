"""One answer to who decides what lies at a path: every part of the way, every kind of stranger."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from monitord.ownership import closed_to_others, why_untrusted

OURS = frozenset({os.geteuid()})
DEPTH = 4


@pytest.fixture
def way(tmp_path: Path) -> list[Path]:
    """Folders inside one another, the last one holding a file; the file last."""
    found = [tmp_path / "0"]
    for number in range(1, DEPTH):
        found.append(found[-1] / str(number))
    found[-1].mkdir(parents=True)
    for folder in found:
        folder.chmod(0o755)
    found.append(found[-1] / "file")
    found[-1].touch(0o644)
    return found


def test_a_way_of_ours_is_trusted(way: list[Path]) -> None:
    assert why_untrusted(way[-1], owners=OURS) is None
    assert why_untrusted(Path("/usr/bin/env")) is None
    assert why_untrusted(Path("/dev/null")) is None


@pytest.mark.parametrize("part", range(DEPTH + 1))
@pytest.mark.parametrize("mode", [0o757, 0o777])
def test_one_part_that_everybody_may_write_is_enough(way: list[Path], part: int, mode: int) -> None:
    way[part].chmod(mode)
    reason = why_untrusted(way[-1], owners=OURS) or ""
    assert reason.startswith(f"{way[part]} can be written by others")


@pytest.mark.root
@pytest.mark.parametrize("part", range(DEPTH + 1))
def test_one_part_of_another_user_is_enough(way: list[Path], part: int) -> None:
    os.chown(way[part], 65533, 0)
    assert (why_untrusted(way[-1]) or "").startswith(f"{way[part]} belongs to uid 65533")
    assert why_untrusted(way[-1], owners=frozenset({65533})) is None


@pytest.mark.root
@pytest.mark.parametrize("part", range(DEPTH + 1))
def test_a_group_that_may_write_is_a_stranger_unless_it_is_roots_or_the_owners_own(
    way: list[Path], part: int
) -> None:
    way[part].chmod(0o775)
    os.chown(way[part], 0, 50)
    assert "can be written by others" in (why_untrusted(way[-1]) or "")
    os.chown(way[part], 0, 0)
    assert why_untrusted(way[-1]) is None
    os.chown(way[part], 1234, 1234)
    assert why_untrusted(way[-1], owners=frozenset({1234})) is None


@pytest.mark.root
def test_a_group_of_the_owners_number_is_a_stranger_unless_it_is_the_owners_alone(way: list[Path]) -> None:
    """Numbers of users and groups are given apart: a group of several may have the number of one's account."""
    names = {each.pw_uid: each.pw_name for each in pwd.getpwall()}
    judged = set()
    for group in grp.getgrall():
        if group.gr_gid == 0 or len({*group.gr_mem} - {group.gr_name}):
            continue
        os.chown(way[-1], group.gr_gid, group.gr_gid)
        way[-1].chmod(0o775)
        is_trusted = why_untrusted(way[-1], owners=frozenset({group.gr_gid})) is None
        assert is_trusted == (names.get(group.gr_gid) == group.gr_name), group
        judged.add(is_trusted)
    assert judged == {False, True}


def test_a_shared_folder_is_passed_but_nothing_can_be_made_in_it(way: list[Path]) -> None:
    """As /tmp: what is there is its owner's, what is not there yet is anybody's."""
    way[1].chmod(0o1777)
    assert why_untrusted(way[-1], owners=OURS) is None
    assert "who could make" in (why_untrusted(way[1] / "not-yet/file", owners=OURS) or "")
    assert "can be written by others" in (why_untrusted(way[1], owners=OURS) or "")


@pytest.mark.parametrize("leads", ["absolute", "relative", "chain"])
def test_a_link_is_judged_by_where_it_lies_and_by_all_that_it_leads_to(way: list[Path], leads: str) -> None:
    link = way[0].parent / "link"
    if leads == "chain":
        (way[0].parent / "middle").symlink_to(way[2])
        link.symlink_to("middle")
    else:
        link.symlink_to(way[2] if leads == "absolute" else "0/1/2")
    assert why_untrusted(link / "3/file", owners=OURS) is None
    way[1].chmod(0o777)
    assert f"{way[1]} can be written" in (why_untrusted(link / "3/file", owners=OURS) or "")


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert why_untrusted(tmp_path / "a/x", owners=OURS) is None


@pytest.mark.parametrize("part", range(DEPTH + 1))
def test_a_part_that_others_can_not_enter_is_named(way: list[Path], part: int) -> None:
    way[-1].chmod(0o755)
    way[part].chmod(0o700)
    assert closed_to_others(way[-1]) in (way[part], *way[part].parents)
