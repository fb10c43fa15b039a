"""Timeline, functions, rules and recorder in a real browser: by what a person does with mouse and keys."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_recorder import recorder
from tests.profiles.chromium import Chromium
from tests.stacks.test_box import grants, own_rings
from tests.web.browsing import TEXT, button, drag, logged_in, only_ours, picture, visit
from tests.web.histories import fill_history
from tests.web.machines import NOW_S, machine, page, shown
from tests.web.serving import WebServer

__all__ = ["machine", "page", "shown"]


# ------------------------------------------------------------------------------------------- the timeline


def test_the_timeline_shows_the_stored_day_with_its_incidents(page: Chromium, shown: WebServer) -> None:
    """The charts say in words what they draw, the hour in which nobody recorded is empty, incidents lead to theirs."""
    visit(page, shown, "timeline", "document.querySelectorAll('.u-over').length === 2")
    said = page.ask(
        "[...document.querySelectorAll('.time-chart')].map(one => one.getAttribute('aria-label'))"
    )
    assert said[0].startswith("CPU and memory: CPU from 2.0 % to 90 %; memory from ")
    assert said[1].startswith("Disks and network: disks from ")
    assert "30 incidents in this period" in page.ask(TEXT)
    assert page.ask("document.querySelectorAll('.mark-of').length") > 3
    picture(page, "timeline")
    only_ours(page, shown)


def test_a_brushed_span_says_who_ran_in_which_functions_and_which_incidents(
    page: Chromium, shown: WebServer
) -> None:
    """Dragging over the busy hour names its processes with their CPU; the address keeps the choice."""
    visit(page, shown, "timeline", "document.querySelector('.u-over')")
    drag(page, "document.querySelector('.u-over')", 0.90, 0.97)
    page.wait("document.querySelectorAll('table').length >= 3")
    text = page.ask(TEXT)
    assert "The machine used" in text
    for word in (
        "python3",
        "java",
        "postgres",
        "validate",
        "cpu-hog",
        "Stacks are shown of spans of 5 min at most",
    ):
        assert word in text, word
    first = page.ask("[...document.querySelectorAll('table')][0].querySelector('tbody tr').innerText")
    assert "python3" in first
    search = page.ask("location.search")
    assert "from=" in search
    assert "to=" in search
    page.visit(page.ask("location.href"))
    page.wait("document.querySelectorAll('table').length >= 3")
    assert page.ask("location.search") == search
    picture(page, "span")
    only_ours(page, shown)


def test_the_charts_are_walked_and_zoomed_with_keys(page: Chromium, shown: WebServer) -> None:
    """Arrow keys choose and move, with Shift they widen, plus zooms in, minus out, Escape lets go."""
    visit(page, shown, "timeline", "document.querySelector('.u-over')")
    chosen = "Number(new URLSearchParams(location.search).get('from'))"
    length = "(p => Number(p.get('to')) - Number(p.get('from')))(new URLSearchParams(location.search))"
    page.press("ArrowLeft")
    page.wait(f"{chosen} > 0")
    first = page.ask(chosen)
    page.press("ArrowLeft")
    page.wait(f"{chosen} < {first}")
    before = page.ask(length)
    page.ask(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', shiftKey: true, bubbles: true}))"
    )
    page.wait(f"{length} > {before}")
    page.press("+")
    page.wait("new URLSearchParams(location.search).has('begin')")
    page.press("Escape")
    page.wait("!new URLSearchParams(location.search).has('from')")
    for _ in range(6):
        page.press("-")
    page.wait("!new URLSearchParams(location.search).has('begin')")
    only_ours(page, shown)


def test_a_span_that_ends_before_it_begins_is_said_beside_its_fields(
    page: Chromium, shown: WebServer
) -> None:
    """Times are typed as well as dragged; an impossible span asks nobody anything."""
    visit(page, shown, "timeline", "document.querySelector('.u-over')")
    asked = len(page.requests())
    page.ask(
        "(() => { const [from, to] = document.querySelectorAll('input[type=datetime-local]');"
        " from.value = '2026-01-02T03:00'; to.value = '2026-01-02T02:00'; to.dispatchEvent(new Event('change')); })()"
    )
    page.wait(f"{TEXT}.includes('the end must come after the beginning')")
    assert not any("span" in url for url in page.requests()[asked:])


def box_of(shown: WebServer, incident: str) -> float:
    """When the black box of an incident ended."""
    told = shown.ask(f"/api/incidents/{incident}").json
    return datetime.fromisoformat(told["raised_at"]).timestamp()


def test_some_seconds_of_an_incident_have_their_stacks(
    page: Chromium, shown: WebServer, machine: tuple[Path, list[str]]
) -> None:
    """What ran in the brushed seconds is drawn as a flame graph; what ran before them is not in it."""
    ended_s = box_of(shown, machine[1][2])
    visit(
        page,
        shown,
        f"timeline?period=1h&from={ended_s - 15}&to={ended_s - 5}",
        "document.querySelector('.frame')",
    )
    frames = set(page.ask("[...document.querySelectorAll('.frame')].map(one => one.textContent)"))
    assert {"all", "<module>"} <= frames
    assert "load_orders" not in frames
    assert "From the black box of" in page.ask(TEXT)
    assert page.ask("document.querySelector('.flame-graph').getAttribute('aria-label')")
    picture(page, "stacks")
    only_ours(page, shown)


def test_of_a_quiet_time_it_says_what_to_type(page: Chromium, shown: WebServer) -> None:
    """Where no stacks are stored the page names the commands, and a page that only reads offers nothing more."""
    at = NOW_S - 40_000
    visit(page, shown, f"timeline?from={at}&to={at + 10}", f"{TEXT}.includes('monitord snapshot')")
    assert not page.ask(f"!!{button('Keep a snapshot of the last minute')}")


def test_a_page_that_may_act_offers_a_snapshot_and_says_why_there_is_none(
    browser: Chromium, machine: tuple[Path, list[str]]
) -> None:
    """With --allow-actions the recorder is asked; where nobody records that is one sentence."""
    server = WebServer(machine[0], "--allow-actions")
    try:
        logged_in(browser, server)
        at = NOW_S - 40_000
        words = button("Keep a snapshot of the last minute")
        visit(browser, server, f"timeline?from={at}&to={at + 10}", words)
        browser.ask(f"{words}.scrollIntoView({{block: 'center'}})")
        browser.click(words)
        browser.wait(f"{TEXT}.includes('nobody records')")
    finally:
        server.stop()


@own_rings  # with rings of the whole machine it has everybody's
def test_a_second_of_now_is_chosen_with_the_arrow_keys_and_has_its_stacks(
    page: Chromium, shown: WebServer, machine: tuple[Path, list[str]]
) -> None:
    """The last seconds come one by one; those that are chosen show their stacks, and nothing is stored for it."""
    before = sorted(path.name for path in (machine[0] / "artefacts").rglob("*"))
    visit(page, shown, "timeline", button("Look at what runs now"))
    page.click(button("Look at what runs now"))
    page.wait("document.querySelectorAll('.second').length > 3")
    page.ask("document.querySelector('[role=listbox]').focus()")
    page.press("ArrowLeft")
    chosen = "document.querySelectorAll('.second[aria-selected=true]').length"
    assert page.ask(chosen) == 1
    page.ask(
        "(list => { for (let n = 0; n < 2; n++) list.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', shiftKey: true, bubbles: true})) })"
        "(document.querySelector('[role=listbox]'))"
    )
    assert page.ask(chosen) == 3
    page.press("Enter")
    page.wait("document.querySelector('.frame')")
    whose = "All processes of the machine" if grants("machine") else "Your own processes alone"
    assert whose in page.ask(TEXT)
    assert sorted(path.name for path in (machine[0] / "artefacts").rglob("*")) == before
    picture(page, "now")
    only_ours(page, shown)


def test_the_timeline_of_a_new_recorder_shows_what_is_there(browser: Chromium, tmp_path: Path) -> None:
    """Half an hour of history fills the chart; a day that is asked for is a day."""
    data_dir = tmp_path / "data"
    fill_history(data_dir, datetime.now(UTC), hours=0.5, step_s=30)
    server = WebServer(data_dir)
    try:
        logged_in(browser, server)
        visit(browser, server, "timeline", "document.querySelectorAll('.u-over').length === 2")
        assert browser.ask("document.querySelector('select').value") == "all"
        visit(browser, server, "timeline?period=24h", "document.querySelectorAll('.u-over').length === 2")
        assert browser.ask("document.querySelector('select').value") == "24h"
    finally:
        server.stop()


# ------------------------------------------------------------------------------- functions, rules, recorder


def test_a_function_opens_its_history_and_leads_to_its_incidents(
    page: Chromium, shown: WebServer, machine: tuple[Path, list[str]]
) -> None:
    """Each function has its share and a dot a capture; opened, the captures are a list of links."""
    visit(page, shown, "functions", "document.querySelector('tbody tr')")
    assert page.ask("document.querySelector('tbody tr').innerText").split()[:2] == [
        "validate",
        "/srv/shop/shop.py:6",
    ]
    assert page.ask("document.querySelector('.dots').getAttribute('aria-label')").startswith("30 captures: ")
    page.ask("document.querySelector('summary').focus()")
    page.press("Enter")
    page.wait("document.querySelector('.occurrences a')")
    assert (
        page.ask("document.querySelector('.occurrences a').getAttribute('href')")
        == f"/incidents/{machine[1][0]}"
    )
    page.ask("document.querySelector('input[type=search]').focus()")
    page.type("nobody-is-called-so")
    page.wait(f"{TEXT}.includes('No function matches')")
    assert page.ask("location.search") == "?process=nobody-is-called-so"
    picture(page, "functions")
    only_ours(page, shown)


def set_rules(page: Chromium, text: str) -> None:
    page.ask(
        f"(field => {{ field.value = {json.dumps(text)}; field.focus(); }})(document.querySelector('textarea'))"
    )
    page.ask(
        "document.querySelector('textarea').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, bubbles: true}))"
    )


def test_a_rule_is_tried_out_on_stored_history_and_its_limits_are_said(
    page: Chromium, shown: WebServer
) -> None:
    """What it would have told, what of it was an incident, what history can't show, and where to put it."""
    visit(page, shown, "rules", "document.querySelectorAll('tbody tr').length > 10")
    set_rules(page, '[[rules]]\nname = "busy"\nmetric = "cpu"\nabove = 50\nwindow_s = 30\n')
    page.wait("document.querySelector('.limits')")
    text = page.ask(TEXT)
    assert "busy would have fired 3 times" in text
    assert "a pass only every 60 s, and the rule's window is 30 s" in text
    assert "then type monitord service reload" in text
    assert page.ask("[...document.querySelectorAll('table')].pop().querySelectorAll('tbody tr').length") == 3
    picture(page, "rules")
    only_ours(page, shown)
    set_rules(page, '[[rules]]\nname = "storm"\nmetric = "spawn_storm"\nabove = 5\n')
    page.wait(f"{TEXT}.includes('cannot be tried out: history does not store how many processes start')")
    for wrong, said in (
        ("[[rules", "not TOML"),
        ('[[rules]]\nname = "x"\nmetric = "moon"', "expected one of"),
        ("", "no rules"),
    ):
        set_rules(page, wrong)
        page.wait(
            f"document.querySelector('.failed') && document.querySelector('.failed').innerText.includes({json.dumps(said)})"
        )


def test_a_tried_rule_is_saved_from_the_page(
    page: Chromium, machine: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --allow-actions a button puts it into the configuration; one that can't be is said and not written."""
    config = tmp_path / "config.toml"
    config.write_text("# mine\n")
    monkeypatch.setenv("MONITORD_CONFIG", str(config))
    server = WebServer(machine[0], "--allow-actions")
    try:
        visit(logged_in(page, server), server, "rules", button("Try a change"))
        rule = '[[rules]]\nname = "busy"\nmetric = "cpu"\nabove = 50\nwindow_s = 30\n'
        set_rules(page, rule)
        page.wait(button("Save it"))
        page.click(button("Save it"))
        page.wait(f"{TEXT}.includes('that takes them up')")
        assert tomllib.loads(config.read_text())["rules"] == tomllib.loads(rule)["rules"]
        config.write_text("rules = [{ name = 'busy', metric = 'cpu', above = 1 }]\n")
        page.click(button("Save it"))
        page.wait(f"{TEXT}.includes('nothing was written')")
        picture(page, "rule-saved")
    finally:
        server.stop()


def test_a_rule_in_force_is_taken_as_the_start_of_a_new_one(page: Chromium, shown: WebServer) -> None:
    """Its text comes into the field, and the field has the focus."""
    visit(page, shown, "rules", button("Try a change"))
    page.click(button("Try a change"))
    page.wait("document.activeElement.tagName === 'TEXTAREA'")
    assert page.ask("document.querySelector('textarea').value").startswith(
        '[[rules]]\nname = "cpu-hog"\nmetric = "cpu"\nabove = 90\n'
    )


def test_the_recorder_page_says_what_it_costs_and_what_is_degraded(
    page: Chromium, shown: WebServer, machine: tuple[Path, list[str]]
) -> None:
    """Nobody records: one sentence with what to type. One that runs: cost, store, jobs and degradations."""
    visit(page, shown, "recorder", "document.querySelector('.parts')")
    assert "start it with" in page.ask("document.querySelector('main [role=alert]').innerText")
    now = datetime.now(UTC).isoformat()
    status = {
        "degraded": ["artefacts wait here: no route"], "own_cpu_percent": 0.07, "own_rss_bytes": 40 << 20, "process_count": 210,
        "jobs": {"retention": {"last_run": now, "next_run": now, "outcome": "freed 3 MB"}}, "black_box": {"state": "on", "scope": "machine", "kept_s": 100},
    }  # fmt: skip
    with recorder(machine[0], **status):
        visit(page, shown, "recorder", f"{TEXT}.includes('records')")
        text = page.ask(TEXT)
    for said in (
        "0.07 %",
        "40.0 MiB",
        "artefacts wait here: no route",
        "freed 3 MB",
        "all processes",
        "of 50.0 MB",
    ):
        assert said in text, said
    picture(page, "recorder")
    ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    with recorder(machine[0], taken_at=ago):
        visit(page, shown, "recorder", f"{TEXT}.includes('does not report')")
        assert "has reported nothing for 10 min" in page.ask(
            "document.querySelector('main [role=alert]').innerText"
        )
    only_ours(page, shown)
