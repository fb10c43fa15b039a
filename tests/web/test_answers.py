"""Answers before they leave: what they hold, what they cost, and who they are still for."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from monitord import web
from monitord.actions import incidents as of_one
from monitord.actions import lists
from monitord.actions.budget import Budget
from monitord.actions.underway import CapturesUnderway
from monitord.actions.workspace import Workspace
from monitord.errors import BusyError, MonitordError
from monitord.export.shapes import detail, row
from monitord.storage.queries import RecentFilter
from monitord.web.answers import acting, incidents
from monitord.web.application import Answers, fit
from monitord.web.question import Question
from monitord.web.routes import API, Get


def asked(path: str, names: MutableMapping[str, str], message: dict[str, Any]) -> Request:
    async def receive() -> dict[str, Any]:
        return message

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "path_params": names,
    }
    return Request(scope, receive)


@pytest.mark.parametrize(("kind", "count"), [("http.request", 1), ("http.disconnect", 0)])
def test_who_left_while_waiting_for_a_turn_costs_no_work(tmp_path: Path, kind: str, count: int) -> None:
    """Somebody who goes from page to page would otherwise keep all threads busy with what nobody waits for."""
    worked: list[Question] = []
    answers = Answers(Workspace(tmp_path), CapturesUnderway(), allows_actions=False)
    route = Get("/api/x", lambda question: worked.append(question) or {})
    asyncio.run(answers.endpoint(route)(asked("/api/x", {}, {"type": kind})))  # type: ignore[arg-type]
    answers.end()
    assert len(worked) == count


def test_no_answer_holds_a_number_that_json_does_not_know() -> None:
    text = json.dumps(
        fit({"a": [float("nan"), float("inf")], "b": {"c": -float("inf")}, "d": 1.5, "e": True})
    )
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, None],
        "b": {"c": None},
        "d": 1.5,
        "e": True,
    }


def test_what_a_page_adds_to_an_answer_takes_the_place_of_nothing(stored: tuple[Path, list[str]]) -> None:
    """The incident's notes once took the place of the page's warnings."""
    data_dir, ids = stored
    workspace = Workspace(data_dir)
    plain = detail(of_one.incident(workspace, ids[0]))
    listed = row(next(lists.recent(workspace, RecentFilter(limit=1))))
    shown = incidents.one(Question(workspace, path={"id": ids[0]}))
    assert {name: shown[name] for name in plain} == plain
    first = incidents.listed(Question(workspace, query={"limit": "1"}))["rows"][0]
    assert {name: first[name] for name in listed} == listed
    for one in API:
        if isinstance(one, Get):
            names = {"id": ids[0], "other": ids[1]}
            try:
                said = one.answer(Question(workspace, path=names))
            except MonitordError:
                continue  # needs words, or a recorder
            assert not isinstance(said, dict) or "warnings" not in said, one.path


def test_what_fills_the_store_from_a_page_has_an_hourly_limit(tmp_path: Path) -> None:
    budget = Budget(1)
    budget.spend()
    question = Question(Workspace(tmp_path), path={"id": "x"}, budget=budget)
    for act in (acting.snapshot, acting.capture_again):
        with pytest.raises(BusyError, match="the limit of 1 action an hour"):
            act(question)


def test_what_is_of_the_machine_is_not_called_the_process_s_own() -> None:
    """The history's network is the machine's busiest interface; the page called it "Its network traffic"."""
    page = (Path(web.__file__).parent / "static" / "pages" / "incident.js").read_text(encoding="utf-8")
    labels = dict(re.findall(r'\["([a-z_]+)", "([^"]+)", "(?:percent|bytes|bytes_per_s|count)"', page))
    own = {"cpu_percent", "rss_bytes", "disk_bytes_per_s"}
    assert {name for name, label in labels.items() if label.startswith("Its ")} == own
    assert labels.keys() > own
