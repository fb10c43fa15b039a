"""Rules tried out on stored history: fire where history can tell, and say where it can't."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.actions.rule_texts import rule_text
from monitord.actions.rule_trial import (
    BLIND_SPOTS,
    LONGEST_TEXT,
    MOST_RULES,
    Trial,
    is_replayable,
    replay,
    try_rules,
)
from monitord.actions.workspace import Workspace
from monitord.config import load_rules, parse_rules
from monitord.errors import ConfigError, MonitordError, UsageError
from monitord.model import METRIC_UNITS, Match, Rates, Rule, Threshold, TriggerMetric
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.detection.test_default_rules import CAUGHT, FILE
from tests.detection.timelines import BURNER, START, draw, passed, process

HOG = '[[rules]]\nname = "busy"\nmetric = "cpu"\nabove = 50\nwindow_s = 10\n'
DEFAULTS = {rule.name: rule for rule in load_rules(FILE)}


def stored(data_dir: Path, passes: Iterable[Rates]) -> Workspace:
    store = open_store(data_dir)
    store.add_history(list(passes))
    store.close()
    return Workspace(data_dir)


def tried(workspace: Workspace, text: str = HOG) -> Trial:
    return try_rules(workspace, text, None, None)


def notes(trial: Trial) -> str:
    return "\n".join(text for _rule, text in trial.notes)


def test_every_metric_says_what_history_lacks_of_it() -> None:
    """The table has a line of each metric that a rule may watch."""
    assert set(BLIND_SPOTS) == set(TriggerMetric) - {TriggerMetric.MANUAL}


@pytest.mark.parametrize("name", [name for name in CAUGHT if name in DEFAULTS])
def test_what_fires_live_fires_on_stored_history_exactly_where_history_holds_the_metric(
    name: str, data_dir: Path, tmp_path: Path
) -> None:
    """Each default rule's own scene, stored and tried: an alert, or a note that it can't be tried out."""
    rule = DEFAULTS[name]
    text = next(
        block for block in FILE.read_text().split("[[rules]]")[1:] if f'name = "{name}"' in block
    ).replace("enabled = false", "")
    trial = tried(stored(data_dir, CAUGHT[name]()), "[[rules]]" + text)
    assert bool(trial.found) == is_replayable(rule.metric)
    assert ("cannot be tried out" in notes(trial)) == (not is_replayable(rule.metric))


def test_a_window_shorter_than_the_step_is_said_with_the_step(data_dir: Path) -> None:
    """Passes 15 s apart can't show a burst of 10 s between them: said with numbers; of a long window nothing is."""
    workspace = stored(data_dir, draw("0 95*20 0", interval_s=15))
    trial = tried(workspace)
    assert trial.step_s == 15
    assert "100% of this history has a pass only every 15 s, and the rule's window is 10 s" in notes(trial)
    assert "a pass only every" not in notes(tried(workspace, HOG.replace("10", "60")))


def test_history_of_a_pass_a_minute_still_holds_an_hour(data_dir: Path) -> None:
    """Passes a minute apart, one late by a tick, are one stretch and not sixty."""
    apart_s = [0.0]
    for _ in range(90):
        apart_s.append(apart_s[-1] + 60.4)
    passes = [passed([process(cpu_percent=60.0)], at_s) for at_s in apart_s]
    trial = tried(stored(data_dir, passes), HOG.replace("window_s = 10", "window_s = 3600"))
    assert [one.alert.crossed_at for one in trial.found] == [START]


def test_a_stretch_of_which_nothing_is_stored_joins_nothing(data_dir: Path) -> None:
    """Two looks with an hour between them, when nobody recorded, are no hour above the threshold."""
    trial = tried(stored(data_dir, [*draw("95*2"), *draw("95", start_s=3600)]))
    assert trial.found == []
    assert trial.passes == 3


def test_an_alert_names_the_incident_that_was_stored_of_it(data_dir: Path) -> None:
    """What was an incident then is told from what only this rule would have caught."""
    workspace = stored(data_dir, [*draw("0 95*20"), *draw("0 0 95*20", start_s=4000)])
    made = make_incident(pid=BURNER.pid, at=START + timedelta(seconds=12))
    store = open_store(data_dir)
    store.save_incident(made)
    store.close()
    known = made.correlation_id
    trial = try_rules(workspace, HOG + "cooldown_s = 0\n", None, None)
    assert [one.incident for one in trial.found] == [known, None]
    assert [row["incident"] for row in trial.as_json()["alerts"]] == [known, None]


def test_bounds_stop_a_trial_and_say_so(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many passes or alerts end a trial with what was found so far, and a sentence."""
    monkeypatch.setattr("monitord.actions.rule_trial.MOST_PASSES", 30)
    workspace = stored(data_dir, draw("0 95*9 " * 10))
    assert tried(workspace).stopped == "stopped after 30 stored passes; try a shorter period"
    assert tried(workspace).passes == 30
    late = try_rules(workspace, HOG, None, None, longest_s=0.0)
    assert (late.passes, str(late.stopped).partition(",")[0]) == (0, "stopped after 0 stored passes")
    monkeypatch.setattr("monitord.actions.rule_trial.MOST_PASSES", 3000)
    monkeypatch.setattr("monitord.actions.rule_trial.MOST_ALERTS", 2)
    trial = tried(workspace, HOG + "cooldown_s = 0\n")
    assert trial.stopped == "stopped after 2 alerts: the rule fires nearly always"


@pytest.mark.parametrize(
    "text",
    [
        "", "[[rules]]", "name = 'x'", "rules = 1", "[[rules]]\nname = 'x'\nmetric = 'cpu'", HOG + HOG, HOG + "above = 1",
        HOG.replace("50", "'50 parsecs'"), HOG.replace("cpu", "moon"), "a = " + "[" * 5000, "[" + " " * 15_000, 'a = """\n[' + " " * 15_000 + '"""', "\0", "x" * (LONGEST_TEXT + 1),
        "".join(HOG.replace("busy", f"busy-{number}") for number in range(MOST_RULES + 1)),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_rule_is_one_line(text: str, data_dir: Path) -> None:
    """Whatever stands in the field, the answer is one line that names what is wrong."""
    with pytest.raises((ConfigError, UsageError)) as refused:
        try_rules(Workspace(data_dir), text, None, None)
    assert str(refused.value).startswith(("rules:", "invalid ", "cannot "))
    assert "\n" not in str(refused.value)


def test_without_a_store_it_says_so(data_dir: Path) -> None:
    """No data directory is an error and not a trial that found nothing."""
    with pytest.raises(MonitordError):
        tried(Workspace(data_dir))


def test_a_file_is_tried_as_a_text_is(data_dir: Path, tmp_path: Path) -> None:
    """`rules test FILE` and the page give the same answer, which is plain JSON."""
    workspace = stored(data_dir, draw("0 95*20"))
    file = tmp_path / "rules.toml"
    file.write_text(HOG)
    from_file, from_text = replay(workspace, file, None, None), tried(workspace)
    assert json.loads(json.dumps(from_file.as_json())) == from_text.as_json()
    (rule,) = from_text.rules
    assert replace(rule, match=Match()) == rule
    assert from_text.as_json()["rules"][0]["fired"] == 1


THRESHOLDS = {"percent": 37.5, "bytes": 3 << 20, "bytes_per_s": 12_345_678.0, "seconds": 61.0, "count": 412.0}


@pytest.mark.parametrize("metric", [one for one in TriggerMetric if one is not TriggerMetric.MANUAL])
def test_a_rule_written_as_text_reads_back_as_it_was(metric: TriggerMetric) -> None:
    """Every default rule and one of every metric with all its settings survive the way to text and back."""
    rules = [rule for rule in DEFAULTS.values() if rule.metric is metric]
    is_below = metric is TriggerMetric.FREE_MEMORY
    for unit in METRIC_UNITS[metric]:
        limit = Threshold(THRESHOLDS[unit], unit)
        rules.append(
            Rule(
                "all-of-it", metric, None if is_below else limit, limit if is_below else None,
                times_baseline=None if is_below else 3.0, window_s=17.5, min_share=0.55, cooldown_s=33.0,
                escalation_factor=2.0, captures_per_hour=9, profiler="none", is_enabled=False,
                match=Match() if metric.is_machine_wide else Match(('a"b', "*"), ("root",), ("x.service",), (7,), ("\u00fc",)),
            )
        )  # fmt: skip
    for rule in rules:
        assert parse_rules(rule_text(rule)) == (rule,)


def test_passes_that_looked_at_no_process_say_nothing_of_one(data_dir: Path) -> None:
    """The machine is stored every two seconds and its processes every fifteen: each rule is told its own step."""
    passes = [
        passed([process(cpu_percent=95.0)] if second % 15 < 2 else [], float(second), interval_s=2.0)
        for second in range(0, 600, 2)
    ]
    workspace = stored(data_dir, passes)
    said = notes(tried(workspace))
    assert (
        "a pass only every 14 s, and the rule's window is 10 s" in said
        or "every 15 s" in said
        or "every 16 s" in said
    )
    assert [one.alert.crossed_at for one in tried(workspace, HOG.replace("10", "60")).found] == [START]
    machine_wide = HOG.replace('"cpu"', '"network"').replace("50", '"1GB/s"')
    assert "a pass only every" not in notes(tried(workspace, machine_wide))


def test_history_thinned_to_its_busiest_passes_is_called_so(data_dir: Path) -> None:
    """Of a day before only each minute's busiest look is kept: whoever tries a rule there is told that it exaggerates."""
    workspace = stored(data_dir, draw("95*90", interval_s=60))
    assert "100% of this history is thinned to its busiest passes" in notes(
        tried(workspace, HOG.replace("10", "3600"))
    )
    assert "busiest" not in notes(tried(stored(data_dir.parent / "fine", draw("95*90", interval_s=15))))
