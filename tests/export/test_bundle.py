"""What leaves this machine: no secret, no identity; refused when anything is left; whole or not at all."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import stat
import sys
import tracemalloc
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.export.bundle import Bundle
from monitord.export.cleaning import Identities
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentView

_SHARED = Path(__file__).parents[1] / "cli" / "conftest.py"
_spec = importlib.util.spec_from_file_location("cli_fixtures", _SHARED)
assert _spec is not None
assert _spec.loader is not None
fixtures = importlib.util.module_from_spec(_spec)
sys.modules["cli_fixtures"] = fixtures
_spec.loader.exec_module(fixtures)
environment, here, data_dir, store = fixtures.environment, fixtures.here, fixtures.data_dir, fixtures.store

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SECRETS = {
    "option": "hunter2-correct-horse",
    "keyed": "s3cr3tValue99",
    "url": "pgpass4711",
    "aws": "AKIAIOSFODNN7EXAMPLQ",
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "bearer": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
}
ARGV = [
    "/usr/bin/app",
    "--password",
    SECRETS["option"],
    f"--api-key={SECRETS['keyed']}",
    f"postgres://app:{SECRETS['url']}@db.internal/app",
    SECRETS["aws"],
    f"GITHUB_TOKEN={SECRETS['github']}",
    f"Authorization: Bearer {SECRETS['bearer']}",
    "/home/alice/project/main.py",
]


@pytest.fixture
def planted(store) -> IncidentView:
    """An incident with secrets and identities in every text it has, stored without the capture room's care."""
    text = f"curl -u admin:{SECRETS['option']} https://x/?token={SECRETS['keyed']} by alice on build-host-7"
    incident = fixtures.make_incident(
        command_line=ARGV, reason=text, notes={"said": text, "password": SECRETS["keyed"]}, user="alice"
    )
    captures = tuple(
        replace(capture, reason=text, fix=f"run as alice {text}") for capture in incident.captures
    )
    spot = replace(
        fixtures.HOTSPOTS[0], file="/home/alice/project/main.py", function=f"main {SECRETS['aws']}"
    )
    captures = tuple(replace(capture, hotspots=(spot,) if capture.hotspots else ()) for capture in captures)
    record = store.save_incident(replace(incident, captures=captures))[0]
    from monitord.storage import StoreReader

    with StoreReader(store.data_dir) as reader:
        return reader.incident(record.correlation_id)


NOBODY = Identities()


def bundle_of(*views: IncidentView, identities: Identities | None = NOBODY) -> Bundle:
    return Bundle(lambda: views, NOW, identities)


def as_json(bundle: Bundle) -> str:
    return "".join(bundle.as_json())


def exported(view: IncidentView) -> Mapping[str, Any]:
    return next(iter(bundle_of(view).incidents()))


def leaks(text: str) -> list[str]:
    return [kind for kind, secret in SECRETS.items() if secret in text]


def test_no_planted_secret_leaves_in_any_format(planted) -> None:
    bundle = bundle_of(planted, identities=Identities(users=("alice",), hosts=("build-host-7",)))
    for text in (as_json(bundle), "".join(bundle.as_csv())):
        assert leaks(text) == []
        assert "alice" not in text
        assert "build-host-7" not in text
        assert "***HIDDEN***" in text
    assert sum((bundle.hidden or {}).values()) > 10


def test_the_story_stays_readable(planted) -> None:
    """Redaction must not eat what the receiver needs."""
    incident = exported(planted)
    raw = next(iter(bundle_of(planted, identities=None).incidents()))
    for key in ("id", "correlation_id", "captured_at", "raised_at", "trigger_value", "status", "history"):
        assert incident[key] == raw[key]
    assert incident["hotspots"][0]["line"] == raw["hotspots"][0]["line"]
    assert incident["process"]["command_line"][0] == "/usr/bin/app"


def test_one_identity_has_one_pseudonym_throughout(planted) -> None:
    incident = exported(planted)
    user = incident["process"]["user"]
    assert user.startswith("user-")
    assert f"/home/{user}/project/main.py" in incident["process"]["command_line"]
    assert incident["hotspots"][0]["file"] == f"/home/{user}/project/main.py"


def test_raw_hides_nothing_and_says_so(planted) -> None:
    document = json.loads(as_json(bundle_of(planted, identities=None)))
    assert (document["redacted"], document["hidden"]) == (False, None)
    assert "hunter2" in json.dumps(document)


def test_what_the_first_pass_misses_the_second_replaces(planted, monkeypatch) -> None:
    """With a first pass that finds nothing, what has the shape of a secret still goes, and the rest is written."""
    from monitord.export import cleaning

    monkeypatch.setattr(cleaning.Redactor, "value", lambda _self, value: value)
    monkeypatch.setattr(cleaning.Redactor, "words", lambda _self, words: list(words))
    written = bundle_of(planted)
    text = as_json(written)
    assert len(leaks(text)) < len(leaks(as_json(bundle_of(planted, identities=None)))) / 2
    assert written.replaced == {planted.correlation_id: written.replaced[planted.correlation_id]}
    assert json.loads(text)["replaced"] == dict(written.replaced)


@pytest.mark.parametrize(
    "argv", [("x", "--no-password=prompt"), ("x", "--auth="), ("gpio", "--pin="), ("gpio", "--pin=17")]
)
def test_nobody_keeps_an_export_from_being_written(planted, argv: tuple[str, ...]) -> None:
    """Command lines that only look like secrets once stopped the export of everything."""
    assert planted.process is not None
    view = replace(planted, process=replace(planted.process, command_line=argv))
    assert exported(view)["process"]["command_line"][0] == argv[0]


def test_a_host_has_one_pseudonym_in_command_lines_too(planted) -> None:
    argv = (
        "psql",
        "-h",
        "db.internal",
        "postgres://bob:pw1234567@db.internal/shop",
        "--host=db.internal",
        "x@db.internal",
    )
    view = replace(planted, process=replace(planted.process, command_line=argv), reason="db.internal is slow")
    text = as_json(bundle_of(view, identities=Identities(hosts=("build-host-7",))))
    assert "db.internal" not in text
    incident = json.loads(text)["incidents"][0]
    pseudonym = incident["reason"].split()[0]
    assert pseudonym.startswith("host-")
    assert all(pseudonym in word for word in incident["process"]["command_line"][2:])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=st.text("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=12, max_size=24))
def test_a_password_given_as_an_option_is_hidden_everywhere(planted, secret: str) -> None:
    assert planted.process is not None
    process = replace(planted.process, command_line=("mysqldump", f"--password={secret}", "shop"))
    view = replace(planted, process=process, reason=f"{secret} was seen here too")
    assert secret not in as_json(bundle_of(view))


def test_what_the_second_scan_replaced_is_told(planted, here, tmp_path, monkeypatch) -> None:
    from monitord.export import cleaning

    monkeypatch.setattr(cleaning.Redactor, "value", lambda _self, value: value)
    answer = here("export", "1", "-o", str(tmp_path / "ticket.json"))
    assert answer.code == 0
    assert f"replaced by the second scan in incident {short_id(planted.correlation_id)}" in answer.err
    assert "--raw" not in answer.err
    assert leaks(answer.err) == []


def test_a_file_is_whole_private_and_counted(planted, here, tmp_path) -> None:
    file = tmp_path / "ticket.json"
    file.write_text("older")
    answer = here("export", "1", "-o", str(file))
    assert answer.code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert leaks(file.read_text(encoding="ascii")) == []
    assert json.loads(file.read_text(encoding="ascii"))["format"] == "monitord-export/1"
    assert "wrote 1 incident to" in answer.err
    assert "hidden: " in answer.err
    assert leaks(answer.err) == []


def test_a_file_that_can_not_be_written_is_one_line(planted, here, tmp_path) -> None:
    answer = here("export", "1", "-o", str(tmp_path / "no" / "such" / "folder"))
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert here("export", "1", "-o", os.devnull).code == 0


def test_periods_choose_incidents(planted, here) -> None:
    assert len(json.loads(here("export", "-S", "1h", "-o", "-").out)["incidents"]) == 1
    assert here("export", "-U", "2 days ago", "-o", "-").code == 3


class Watched(IncidentView):
    """One that can be counted: it can have weak references."""


def some_views(planted: IncidentView, count: int, alive: list[int]) -> Iterator[IncidentView]:
    """So many incidents, each with a secret of its own; how many are alive when another one is asked for."""
    lean = replace(planted, captures=planted.captures[:1], history=planted.history[:2], hotspots=())
    given: list[weakref.ref[IncidentView]] = []
    for number in range(count):
        alive.append(sum(each() is not None for each in given))
        assert planted.process is not None
        argv = ("mysqldump", f"--password=pw-{number % 7}-{number % 7:04}", "shop")
        said = replace(lean, process=replace(planted.process, command_line=argv), reason="because " * 100)
        one = Watched(*(getattr(said, field.name) for field in fields(said)))
        given.append(weakref.ref(one))
        yield one
        del one


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("identities", [None, Identities()])
def test_however_many_incidents_are_exported_one_at_a_time_is_held(planted, form: str, identities) -> None:
    """Counted while they come, and the peak for ten times as many is the same."""
    peaks = []
    for count in (3, 30):
        alive: list[int] = []
        bundle = Bundle(partial(some_views, planted, count, alive), NOW, identities)
        tracemalloc.start()
        written = sum(len(text) for text in (bundle.as_json() if form == "json" else bundle.as_csv()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert bundle.count == count
        assert written > count * 800
        assert max(alive) <= alive[0] + 2
    assert peaks[1] < 1.5 * peaks[0] + 50_000


def test_what_is_written_piece_by_piece_is_one_document(planted) -> None:
    """Whatever the number of incidents, it is what a JSON writer makes of it at once, and CSV has one header."""
    for views in ((), (planted,), (planted, planted)):
        bundle = bundle_of(*views)
        text = as_json(bundle)
        document = json.loads(text)
        assert text == json.dumps(document, indent=2) + "\n"
        assert list(document) == [
            *("format", "monitord", "exported_at", "redacted", "incidents", "hidden", "replaced")
        ]
        assert len(document["incidents"]) == bundle.count == len(views)
        rows = list(csv.DictReader(io.StringIO("".join(bundle.as_csv()))))
        assert len(rows) == len(views)


def test_a_secret_of_the_last_incident_is_hidden_in_the_first(planted) -> None:
    """Though the first is written before the last is read again."""
    first = replace(planted, reason="somebody typed Zq8-correct-staple here")
    assert planted.process is not None
    argv = ("mysqldump", "--password=Zq8-correct-staple")
    last = replace(planted, process=replace(planted.process, command_line=argv, user="mallory"))
    bundle = bundle_of(replace(first, reason=f"{first.reason} as mallory"), last)
    for text in (as_json(bundle), "".join(bundle.as_csv())):
        assert "Zq8-correct-staple" not in text
        assert "mallory" not in text
