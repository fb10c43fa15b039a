"""Paths of a fleet's bucket: each is read back as what it was made of, and nothing else is ours."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.analytics.tables import INCIDENTS, TABLES
from monitord.fleet import layout
from monitord.fleet.layout import ArtefactFile, DayFile, HostFile
from monitord.storage.objects import is_path

hosts = st.from_regex(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?", fullmatch=True)
days = st.dates(date(1970, 1, 1), date(9999, 12, 31))
files = st.one_of(
    st.builds(DayFile, st.sampled_from(TABLES), days, hosts),
    st.builds(ArtefactFile, days, hosts, st.from_regex(r"[a-z2-7]{12}", fullmatch=True)),
    st.builds(HostFile, hosts),
)


@given(files)
def test_a_path_is_read_back_as_what_it_was_made_of(file: DayFile | ArtefactFile | HostFile) -> None:
    assert layout.parse(file.path) == file
    assert is_path(file.path)


@given(files, st.integers(0, 200), st.sampled_from("/=.\x00éA %\n"))
def test_what_is_nearly_a_path_names_what_it_says_or_nothing(
    file: DayFile | ArtefactFile | HostFile, at: int, letter: str
) -> None:
    changed = file.path[:at] + letter + file.path[at:]
    found = layout.parse(changed)
    assert found is None or found.path == changed


@given(st.text())
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    found = layout.parse(text)
    assert found is None or found.path == text


@pytest.mark.parametrize(
    "path",
    [
        "v2/incident/date=2026-11-20/host=web1/day.parquet",
        "v1/incident/date=2026-02-30/host=web1/day.parquet",
        "v1/incident/date=2026-11-20/host=../day.parquet",
        "v1/incident/date=2026-11-20/host=web1/day.parquet/x",
        "v1/incident/date=2026-11-20/host=web1/.day.parquet.part",
        "v1/incident/date=٢٠٢٦-11-20/host=web1/day.parquet",
        "v1/else/date=2026-11-20/host=web1/day.parquet",
    ],
)
def test_what_others_leave_in_the_bucket_is_not_ours(path: str) -> None:
    assert layout.parse(path) is None


def test_a_number_is_the_name_of_a_host() -> None:
    assert layout.parse(DayFile(INCIDENTS, date(2026, 11, 20), "007").path).host_id == "007"  # type: ignore[union-attr]


@pytest.mark.parametrize("host_id", ["", "A", "a/b", "-a", "a-", "a" * 65, "a=b", "a\n"])
def test_a_host_of_another_name_has_no_path(host_id: str) -> None:
    with pytest.raises(ValueError, match="invalid host id"):
        _ = HostFile(host_id).path
