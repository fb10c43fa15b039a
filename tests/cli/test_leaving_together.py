"""What leaves together is hidden together: found in one part, it is gone from every other, under one stand-in."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.cli.export import ExportFormat
from monitord.export.cleaning import Cleaner, Identities
from monitord.model import CaptureStatus, Incident, TriggerMetric
from monitord.zstandard import zstd
from tests.analytics.companions import tables_of

NOTED, KEYED, NAMED = "abaloneOyst7r", "sesameOyst7r", "krokettenOyst7r"
OWNER, ASKED_BY, RULES_USER, SEEN_IN_PROFILE = "j.doe", "mallory", "svc-backup", "carol"
FOLDED = f"""main (/srv/a.py:1);bare_{NOTED} (/home/{SEEN_IN_PROFILE}/b.py:2) 500
thread (11): "{NOTED} {OWNER} {ASKED_BY}";main (/srv/a.py:1);{NOTED} (/srv/{NOTED}/x.py:4) 400
""".encode()


@pytest.fixture
def planted(store, new_incident: Callable[..., Incident], here, environment, tmp_path: Path) -> Incident:
    """An incident in which no part says of everything that it is to be hidden."""
    made = new_incident(
        user=OWNER,
        reason=f"asked for by hand by {ASKED_BY}; it used 90 % of one core",
        notes={
            "id": f"password={KEYED}",
            "func_hash": f"password={KEYED}",
            f"password={NAMED}": "x",
        },
    )
    captures = [
        replace(one, format="folded", payload=FOLDED, sample_count=900)
        if one.role == "profile" and one.status is CaptureStatus.OK
        else one
        for one in made.captures
    ]
    alert = replace(made.alert, rule="manual", metric=TriggerMetric.MANUAL)
    made = replace(made, captures=tuple(captures), alert=alert)
    store.save_incident(made)
    text = f"the password is {NOTED}; {SEEN_IN_PROFILE} told {ASKED_BY} and {RULES_USER}"
    assert here("note", "1", text).code == 0
    return made


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    path = tmp_path / "of-one-user.toml"
    path.write_text(
        f'[[rules]]\nname = "one"\nmetric = "cpu"\nabove = "90%"\nwindow_s = 10\nmatch = {{users = ["{RULES_USER}"]}}\n'
    )
    return path


def members(content: bytes) -> Iterator[tuple[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(zstd.decompress(content))) as tar:
        for entry in tar.getmembers():
            file = tar.extractfile(entry)
            if file is not None:
                one = file.read()
                one = gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one
                yield entry.name, one.decode("utf-8", "replace")


def test_no_form_of_one_part_holds_what_another_part_gave_away(
    planted: Incident, here, tmp_path: Path
) -> None:
    """A password that only a note calls one, a user who only asked, a value under a name that we use, too."""
    for form in ExportFormat:
        if form is ExportFormat.BUNDLE:
            continue
        file = tmp_path / form
        named = () if form is ExportFormat.DUCKDB else ("1",)
        answer = here("export", *named, "--format", form, "-o", str(file))
        assert answer.code == 0, (form, answer.err)
        content = tables_of(file) if form is ExportFormat.DUCKDB else file.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode(
            "utf-8", "replace"
        )
        left = [one for one in (NOTED, KEYED, NAMED, OWNER, ASKED_BY) if one in text]
        assert left == [], form


def test_a_bundle_s_members_know_of_each_other(
    planted: Incident, here, configured: Path, tmp_path: Path
) -> None:
    """Users of a rule, and of a folder in the profile, have their one stand-in in all of it."""
    file = tmp_path / "one.tar.zst"
    answer = here("--config", str(configured), "export", "1", "-o", str(file))
    assert answer.code == 0, answer.err
    found = dict(members(file.read_bytes()))
    hidden = (NOTED, KEYED, NAMED, OWNER, ASKED_BY, RULES_USER, SEEN_IN_PROFILE)
    assert {
        name: left for name, text in found.items() if (left := [one for one in hidden if one in text])
    } == {}
    by_end = {name.rpartition("/")[2]: text for name, text in found.items()}
    stand_in = re.search(r"/home/(user-\w+)/b\.py", by_end["profile.folded"])
    assert stand_in is not None
    told = re.search(r"; (user-\w+) told (user-\w+) and (user-\w+)", by_end["incident.json"])
    assert told is not None
    assert told[1] == stand_in[1]
    assert told[2] in by_end["profile.folded"]
    assert told[3] in by_end["configuration.json"]


def test_what_is_ours_stays_and_a_profiler_s_notes_are_never_ours() -> None:
    cleaner = Cleaner(Identities())
    value = {"id": "password=Oyst7rSesame", "notes": {"id": "password=Oyst7rSesame"}}
    assert cleaner.clean(value) == {"id": value["id"], "notes": {"id": "password=***HIDDEN***"}}
