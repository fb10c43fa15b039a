"""The dashboard, the alert rules and the units in examples/metrics: every figure that they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from monitord.actions import metrics
from monitord.actions.workspace import Workspace

EXAMPLES = Path(__file__).parents[2] / "examples/metrics"
DOCS = Path(__file__).parents[2] / "docs/metrics.md"
NAME = re.compile(r"\bmonitord_[a-z0-9_]+")


def existing(data_dir: Path) -> set[str]:
    """Every name under which a full recorder's figures arrive."""
    names = set()
    for family in metrics.families(Workspace(data_dir)):
        ends = {"counter": ("_total",), "gauge": ("",), "summary": ("_sum", "_count")}[family.kind]
        names |= {f"{family.name}{end}" for end in ends}
    return names


def expressions() -> Iterator[str]:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["definition"] for each in dashboard["templating"]["list"] if "definition" in each)
    yield from re.findall(r"expr: (.*)", (EXAMPLES / "alert-rules.yml").read_text())


def test_every_figure_that_the_examples_name_exists(recorded: Path) -> None:
    """A dashboard over a figure that is gone shows nothing, and says nothing."""
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 20
    assert named <= existing(recorded)


def test_every_label_that_the_examples_use_exists(recorded: Path) -> None:
    """`sum by (x)` over a label that is gone adds up everything."""
    known = {label for family in metrics.families(Workspace(recorded)) for label in family.labels}
    text = "\n".join(path.read_text() for path in EXAMPLES.iterdir())
    used = {word.strip() for found in re.findall(r"by \(([^)]*)\)", text) for word in found.split(",")}
    used |= set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{(\w+)\}\}", text))
    assert used - {"instance"} <= known


def test_every_figure_is_on_the_page_of_the_docs(recorded: Path) -> None:
    """docs/metrics.md names all there are, and no other."""
    named = set(NAME.findall(DOCS.read_text()))
    assert named == existing(recorded)


def test_prometheus_and_its_own_tool_accept_the_alert_rules(require_tool: Callable[[str], str]) -> None:
    """Syntax, expressions and templates."""
    judged = subprocess.run(
        [require_tool("promtool"), "check", "rules", str(EXAMPLES / "alert-rules.yml")],
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_prometheus_accepts_every_expression_of_the_dashboard(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """As recording rules, with Grafana's variables filled in."""
    rules = [
        {"record": f"panel:number_{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions())
        if "label_values" not in expression
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    words = [require_tool("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    judged = subprocess.run(words, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_systemd_finds_nothing_to_say_about_the_units(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """The socket and its service, as they lie there; only the program's place is another here."""
    for name in ("monitord-metrics.socket", "monitord-metrics.service"):
        shutil.copy(EXAMPLES / name, tmp_path)
    unit = tmp_path / "monitord-metrics.service"
    unit.write_text(unit.read_text().replace("/usr/local/bin/monitord", "/bin/true"))
    words = [require_tool("systemd-analyze"), "verify", *map(str, sorted(tmp_path.iterdir()))]
    verdict = subprocess.run(words, capture_output=True, text=True)
    assert (verdict.returncode, verdict.stderr.strip()) == (0, "")
