"""What leaves this machine: no secret, no identity; refused when anything is left; whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.export.bundle import Identities, raw_bundle, redacted_bundle
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


def leaks(text: str) -> list[str]:
    return [kind for kind, secret in SECRETS.items() if secret in text]


def test_no_planted_secret_leaves_in_any_format(planted) -> None:
    bundle = redacted_bundle([planted], NOW, Identities(users=("alice",), hosts=("build-host-7",)))
    for text in (bundle.as_json(), bundle.as_csv()):
        assert leaks(text) == []
        assert "alice" not in text
        assert "build-host-7" not in text
        assert "***HIDDEN***" in text
    assert sum((bundle.hidden or {}).values()) > 10


def test_the_story_stays_readable(planted) -> None:
    """Redaction must not eat what the receiver needs."""
    incident = redacted_bundle([planted], NOW, Identities()).incidents[0]
    raw = raw_bundle([planted], NOW).incidents[0]
    for key in ("id", "correlation_id", "captured_at", "raised_at", "trigger_value", "status", "history"):
        assert incident[key] == raw[key]
    assert incident["hotspots"][0]["line"] == raw["hotspots"][0]["line"]
    assert incident["process"]["command_line"][0] == "/usr/bin/app"


def test_one_identity_has_one_pseudonym_throughout(planted) -> None:
    incident = redacted_bundle([planted], NOW, Identities()).incidents[0]
    user = incident["process"]["user"]
    assert user.startswith("user-")
    assert f"/home/{user}/project/main.py" in incident["process"]["command_line"]
    assert incident["hotspots"][0]["file"] == f"/home/{user}/project/main.py"


def test_raw_hides_nothing_and_says_so(planted) -> None:
    document = json.loads(raw_bundle([planted], NOW).as_json())
    assert (document["redacted"], document["hidden"]) == (False, None)
    assert "hunter2" in json.dumps(document)


def test_what_the_first_pass_misses_the_second_replaces(planted, monkeypatch) -> None:
    """With a first pass that finds nothing, what has the shape of a secret still goes, and the rest is written."""
    from monitord.export import bundle

    monkeypatch.setattr(bundle.Redactor, "value", lambda _self, value: value)
    monkeypatch.setattr(bundle.Redactor, "words", lambda _self, words: list(words))
    written = redacted_bundle([planted], NOW, Identities())
    assert len(leaks(written.as_json())) < len(leaks(raw_bundle([planted], NOW).as_json())) / 2
    assert written.replaced == {planted.correlation_id: written.replaced[planted.correlation_id]}
    assert json.loads(written.as_json())["replaced"] == dict(written.replaced)


@pytest.mark.parametrize(
    "argv", [("x", "--no-password=prompt"), ("x", "--auth="), ("gpio", "--pin="), ("gpio", "--pin=17")]
)
def test_nobody_keeps_an_export_from_being_written(planted, argv: tuple[str, ...]) -> None:
    """Command lines that only look like secrets once stopped the export of everything."""
    assert planted.process is not None
    view = replace(planted, process=replace(planted.process, command_line=argv))
    assert redacted_bundle([view], NOW, Identities()).incidents[0]["process"]["command_line"][0] == argv[0]


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
    text = redacted_bundle([view], NOW, Identities(hosts=("build-host-7",))).as_json()
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
    assert secret not in redacted_bundle([view], NOW, Identities()).as_json()


def test_what_the_second_scan_replaced_is_told(planted, here, tmp_path, monkeypatch) -> None:
    from monitord.export import bundle

    monkeypatch.setattr(bundle.Redactor, "value", lambda _self, value: value)
    answer = here("export", "1", "-o", str(tmp_path / "ticket.json"))
    assert answer.code == 0
    assert f"replaced by the second scan in incident {planted.correlation_id}" in answer.err
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
