"""A file holds what its name says, and `-o` never means something else without a word."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.actions.exporting import choose
from monitord.actions.workspace import Workspace
from monitord.cli.export import ENDINGS, ExportFormat
from monitord.cli.terminal import say
from monitord.errors import NotFoundError
from monitord.model import Incident
from monitord.storage import RecentFilter, SQLiteProfileStore
from tests.patience import PATIENCE_S


def test_stdout_that_leads_to_a_file_takes_the_export(incident, environment, tmp_path: Path) -> None:
    """`monitord export ID > ticket.json` used to leave an empty file."""
    ticket = tmp_path / "ticket.json"
    with ticket.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "monitord", "export", incident.correlation_id[:8]],
            env=environment,
            stdout=file,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 0
    assert json.loads(ticket.read_text())["incidents"][0]["correlation_id"] == incident.correlation_id


def test_the_ending_chooses_the_format(incident, here, tmp_path: Path) -> None:
    assert here("export", "1", "-o", str(tmp_path / "a.csv")).code == 0
    (row,) = csv.DictReader((tmp_path / "a.csv").open())
    assert row["correlation_id"] == incident.correlation_id
    assert here("export", "1", "-o", str(tmp_path / "a.json")).code == 0
    assert json.loads((tmp_path / "a.json").read_text())["incidents"]
    assert here("export", "1", "-o", str(tmp_path / "plain")).code == 0
    assert json.loads((tmp_path / "plain").read_text())["incidents"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_that_says_another_format_is_refused(ending: str, incident, here, tmp_path: Path) -> None:
    file = tmp_path / f"it{ending}"
    for form in set(ExportFormat) - set(ENDINGS[ending]):
        answer = here("export", "1", "-o", str(file), "--format", form.value)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert "expected one format" in answer.err
    assert not file.exists()


@pytest.mark.parametrize("word", ["a.xml", "a.pdf", "x.1"])
def test_an_unknown_ending_is_no_format(word: str, incident, here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = here("export", "1", "-o", word)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert f"invalid -o {word}, expected" in answer.err
    assert not list(tmp_path.glob(word))


@pytest.mark.parametrize("word", ["json", "csv"])
def test_a_format_s_name_is_the_format_as_everywhere(
    word: str, incident, here, tmp_path, monkeypatch
) -> None:
    """`-o json` writes JSON to stdout for every command; no file named json comes of it."""
    monkeypatch.chdir(tmp_path)
    answer = here("export", "1", "-o", word)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("{" if word == "json" else "id,")
    assert not list(tmp_path.glob(word))
    assert here("export", "1", "-o", word, "--format", "folded").code == 2


def test_what_retention_takes_meanwhile_is_left_out_of_a_period(
    store: SQLiteProfileStore, new_incident: Callable[..., Incident], capsys: pytest.CaptureFixture[str]
) -> None:
    """And said; a named one that is gone is an error."""
    kept, gone = new_incident(), new_incident()
    for incident in (kept, gone):
        store.save_incident(incident)
    workspace = Workspace(store.data_dir, tell=say)
    of_a_period = choose(workspace, [], RecentFilter(limit=None))
    of_names = choose(workspace, [gone.correlation_id], RecentFilter())
    store.delete_incident(gone.correlation_id)
    assert [view.correlation_id for view in of_a_period()] == [kept.correlation_id]
    assert "left out of the period: 1 incident" in capsys.readouterr().err
    with pytest.raises(NotFoundError):
        list(of_names())
