"""What the black box held from before the alert is the first evidence, wherever evidence is shown or chosen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.cli.terminal import display_width
from monitord.model import Capture, CaptureStatus, Hotspot, Incident, TriggerMetric
from monitord.profiles import hotspots, parse
from monitord.storage.rows import choose_leading
from tests.cli.conftest import Cli, make_incident
from tests.profiles.ring_documents import RingDocument, shop

PID = 4321


def with_before(document: RingDocument | None = None, **usual: object) -> Incident:
    """An incident of the usual shape, whose profile came late, with what the black box held of the spike."""
    made = make_incident(**{"late": True, **usual})  # type: ignore[arg-type]  # what it takes
    payload = (document or shop(PID)).payload()
    read = parse("ring", payload, pid=PID)
    before = Capture(
        role="before", profiler="ring", format="ring", status=CaptureStatus.OK, duration_s=100.0,
        started_at=datetime.now(UTC) - timedelta(minutes=6), target=made.captures[0].target, payload=payload,
        sample_count=read.sample_count, hotspots=hotspots(read), notes={"ring": "2 samples lost"},
    )  # fmt: skip
    return replace(made, captures=(before, *made.captures))


@pytest.fixture
def incident(store) -> Incident:
    made = with_before()
    store.save_incident(made)
    return made


def test_it_leads_in_recent_show_explain_and_hot_and_the_incident_is_not_late(incident, here: Cli) -> None:
    (row,) = json.loads(here("recent", "--json").out)
    assert (row["hottest_function"], row["profiler"], row["late"]) == ("price_basket", "ring", False)
    shown = json.loads(here("show", incident.correlation_id, "--json").out)
    assert shown["hotspots"][0]["function"] == "price_basket"
    assert {each["role"]: each["late"] for each in shown["captures"] if each["status"] == "ok"} == {
        "before": False, "context": False, "profile": True,
    }  # fmt: skip
    (hottest, *_more) = json.loads(here("hot", "--json").out)
    assert hottest["function"] == "price_basket"
    told = here("explain", incident.correlation_id).out
    assert (
        "Before the alert the black box saw it spend 83 ± 10 % of its time in 263 samples in price_basket"
        in (" ".join(told.split()))
    )
    assert "over" not in told


def test_show_says_from_when_the_evidence_is_and_what_was_taken_during_the_alert(store, here: Cli) -> None:
    afterwards = (Hotspot("send_mail", "/srv/shop/mail.py", 7, 0.9, 1.0),)
    made = with_before(late=False, hotspots=afterwards)
    store.save_incident(made)
    page = here("show", made.correlation_id).out
    assert "Where the time went (before the alert, from the black box: 263 samples)" in page
    assert "During the alert (what only the profile taken then shows)" in page
    assert "py-spy, during the alert, 980 samples" in page
    assert "ring, 263 samples, 100 s, 2 samples lost" in page
    assert "late" not in page
    told = " ".join(here("explain", made.correlation_id).out.split())
    assert "During the alert it spent 90 % in send_mail (/srv/shop/mail.py:7)" in told


@pytest.mark.parametrize(
    ("metric", "profiler"), [(TriggerMetric.HANG, "py-spy"), (TriggerMetric.CPU, "ring")]
)
def test_a_hang_is_led_by_where_it_waits_also_when_its_rows_are_judged_anew(
    metric: TriggerMetric, profiler: str, store, here: Cli
) -> None:
    made = with_before(metric=metric, late=False)
    store.save_incident(made)
    assert json.loads(here("recent", "--json").out)[0]["profiler"] == profiler
    with store._transaction() as connection:
        assert choose_leading(connection, made.correlation_id)
    assert json.loads(here("recent", "--json").out)[0]["profiler"] == profiler


@pytest.mark.parametrize("form", ["folded", "speedscope", "pprof", "flamegraph", "profile-json"])
def test_every_form_is_written_from_it(form: str, incident, here: Cli, tmp_path: Path) -> None:
    written = tmp_path / "out"
    assert here("export", incident.correlation_id, "--format", form, "-o", str(written)).code == 0
    content = written.read_bytes()
    if form == "pprof":
        import gzip

        content = gzip.decompress(content)
    assert b"price_basket" in content
    assert b"stranger" not in content


def test_json_and_csv_of_an_incident_name_its_function(incident, here: Cli) -> None:
    exported = json.loads(here("export", incident.correlation_id, "--format", "json").out)
    assert exported["incidents"][0]["hotspots"][0]["function"] == "price_basket"
    assert ",price_basket," in here("export", incident.correlation_id, "--format", "csv").out


def test_two_incidents_are_compared_by_it(store, here: Cli) -> None:
    first, second = with_before(), with_before()
    document = shop(PID)
    document.ran(0, [("sort_orders", "/srv/shop/orders.py", 50, None, "python")], 0, 50)
    second = with_before(document, at=datetime.now(UTC))
    for made in (first, second):
        store.save_incident(made)
    found = json.loads(here("compare", first.correlation_id, second.correlation_id, "--json").out)
    assert found["before_samples"] == 263
    assert found["differences"][0]["function"] == "sort_orders"
    assert found["differences"][0]["verdict"] == "new"


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_comparison_names_its_functions_on_any_screen(
    columns: int, store, here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    document = shop(PID)
    document.ran(0, [("sort_orders", "/srv/shop/orders.py", 50, None, "python")], 0, 50)
    first, second = with_before(), with_before(document, at=datetime.now(UTC))
    for made in (first, second):
        store.save_incident(made)
    lines = here("compare", first.correlation_id, second.correlation_id).out.splitlines()
    assert max(map(display_width, lines)) <= columns
    assert any("sort_orders" in line for line in lines)


def test_a_rebuilt_database_says_the_same(incident, store, data_dir: Path, here: Cli) -> None:
    was = json.loads(here("show", incident.correlation_id, "--json").out)
    store.close()
    for name in data_dir.glob("monitord.db*"):
        name.unlink()
    assert here("db", "check").code in (0, 1)
    store.migrate_if_needed()
    again = json.loads(here("show", incident.correlation_id, "--json").out)
    assert [each["role"] for each in again["captures"]] == [each["role"] for each in was["captures"]]
    assert again["hotspots"] == was["hotspots"]
    assert again["late"] is False


def test_threads_that_wait_are_told_apart_in_show_explain_and_json(store, here: Cli) -> None:
    made = with_before(notes={"waiting": "45 threads wait in _worker, 2 in \x1b[31maccept"})
    store.save_incident(made)
    shown = json.loads(here("show", made.correlation_id, "--json").out)
    assert shown["waiting"] == "45 threads wait in _worker, 2 in \x1b[31maccept"
    page, told = here("show", made.correlation_id).out, here("explain", made.correlation_id).out
    assert "  45 threads wait in _worker, 2 in \\x1b[31maccept" in page
    assert "Beside that, 45 threads wait in _worker, 2 in \\x1b[31maccept." in told
