"""Rules that are saved: what is written is what was tried, and nothing is written that could not be read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.actions.rule_saving import save_rules
from monitord.actions.workspace import Workspace
from monitord.config import load
from monitord.config.editing import with_table, without_table
from monitord.errors import ConfigError

RULE = '[[rules]]\nname = "busy"\nmetric = "cpu"\nabove = 70\nwindow_s = 30\n'
OTHERS = """\
# mine
[log]
level = "debug"  # loud

[[rules]]
name = "disk"   # first
metric = "disk_io"
above = "10MB/s"

[[rules]]
name = "busy"
metric = "cpu"
above = 50
[rules.match]
names = ["a"]

[[rules]]
name = "net"
metric = "network"
above = "1MB/s"
# the end
[sampling]
interval_s = 3
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "config.toml")


def rules_of(path: Path) -> dict[str, object]:
    return {rule.name: rule for rule in load(path, os.environ).settings.rules}


def test_a_rule_stands_in_the_file_and_is_what_was_tried(workspace: Workspace) -> None:
    (path := workspace.config_path).write_text("")
    saved = save_rules(workspace, RULE)
    assert saved.names == ("busy",)
    assert saved.file == path
    assert saved.hint.startswith("nobody records here; start it with ")
    assert saved.hint.endswith("; that takes them up")
    assert rules_of(path)["busy"].above.value == 70
    assert "cpu-hog" in rules_of(path), "the default rules stay"


def test_one_of_the_same_name_is_replaced_and_every_other_line_stays(workspace: Workspace) -> None:
    (path := workspace.config_path).write_text(OTHERS)
    save_rules(workspace, RULE)
    said = path.read_text()
    found = tomllib.loads(said)
    assert [rule["name"] for rule in found["rules"]] == ["disk", "net", "busy"]
    assert found["rules"][2] == tomllib.loads(RULE)["rules"][0], "what it matched before went with it"
    assert found["sampling"] == {"interval_s": 3}
    for line in ("# mine", 'level = "debug"  # loud', 'name = "disk"   # first', "# the end"):
        assert line in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no rules"),
        ("[log]\nlevel = 'debug'\n", "no rules"),
        (RULE.replace("cpu", "cpux"), "metric"),
        (RULE.replace("above = 70", ""), "above: missing"),
        (RULE + "[sampling]\ninterval_s = -1\n", "interval_s"),
        (RULE + RULE, "busy"),
        ("[[rules]\n", "line 1"),
    ],
)
def test_what_can_t_be_a_rule_changes_nothing(workspace: Workspace, text: str, why: str) -> None:
    (path := workspace.config_path).write_text(OTHERS)
    with pytest.raises(ConfigError, match=why):
        save_rules(workspace, text)
    assert path.read_text() == OTHERS


def test_a_file_written_otherwise_is_refused_and_kept(workspace: Workspace) -> None:
    """A list of inline tables can't be edited line by line."""
    held = 'rules = [{ name = "busy", metric = "cpu", above = 50 }]\n'
    (path := workspace.config_path).write_text(held)
    with pytest.raises(ConfigError, match="nothing was written"):
        save_rules(workspace, RULE)
    assert path.read_text() == held


NAMES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=5, unique=True)


@given(
    names=NAMES,
    number=st.integers(0, 4),
    ends=st.sampled_from(["", "\n", "# end", "\n[log]\nlevel = 'info'\n"]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_any_list_of_tables_one_goes_and_the_others_stay(names: list[str], number: int, ends: str) -> None:
    text = "# first\n"
    for name in names:
        text = with_table(text, "rules", {"name": name, "metric": "cpu", "above": 1})
        text += "[rules.match]\nnames = ['x']\n" if name in "ac" else ""
    text += ends
    number %= len(names)
    left = tomllib.loads(without_table(text, "rules", number))
    expected = tomllib.loads(text)
    del expected["rules"][number]
    assert (left.get("rules", []), left.get("log")) == (expected["rules"], expected.get("log"))
