"""What real clients send that no schema asks for: ids as numbers, empty optional words, dummies, other names."""

from __future__ import annotations

from typing import Any

import pytest

from monitord.mcp_server.server import ACTING, READING
from monitord.storage import SQLiteProfileStore
from tests.mcp_server.incidents import make_incident
from tests.mcp_server.talking import Asker, over_stdio


@pytest.fixture
def asker(store: SQLiteProfileStore) -> Any:
    store.save_incident(make_incident())
    with over_stdio(store.data_dir, "--allow-actions") as asker:
        yield asker


def test_a_row_s_number_is_its_id_as_a_number_and_as_a_string(asker: Asker) -> None:
    (row,) = asker.told("recent_anomalies")["rows"]
    for tool in ("get_incident", "explain_incident", "get_profile"):
        told = [
            asker.told(tool, {"id": given}) for given in (row["id"], str(row["id"]), row["correlation_id"])
        ]
        assert told[0] == told[1] == told[2]
    both = {"before": row["id"], "after": row["id"]}
    assert asker.told("compare_profiles", both)["differences"] == []
    assert asker.told("query_events", {"incident": row["id"], "event_type": "hotspot"})["rows"]
    asker.told("add_note", {"id": row["id"], "text": "seen"})


def test_an_empty_optional_argument_is_one_left_out(asker: Asker) -> None:
    """Of every tool that reads, each optional argument, as "" and as null; a snapshot needs a recorder."""
    tools = asker.tools()
    for name in READING:
        if name == "take_snapshot":
            schema = tools[name].input_schema
            refused = asker.call(name, dict.fromkeys(schema["properties"], ""))
            assert "nobody records" in refused.content[0].text
            continue
        schema = tools[name].input_schema
        needed = {"id": "1", "before": "1", "after": "1", "since": "1h"}
        required = {word: needed[word] for word in schema.get("required", ())}
        optional = [word for word in schema["properties"] if word not in required]
        for empty in ("", None):
            asker.told(name, {**required, **dict.fromkeys(optional, empty)})


def test_a_dummy_and_another_name_for_a_beginning_are_understood(asker: Asker) -> None:
    for dummy in ("random_string", "dummy", "anything"):
        asker.told("system_now", {dummy: "x"})
    asker.told("recent_anomalies", {"random_string": ""})
    for words in ({"since": "1h", "until": "now"}, {"from": "1h", "to": "now"}, {"from": "1h"}):
        assert len(asker.told("what_happened", words)["incidents"]) == 1
        assert len(asker.told("recent_anomalies", words)["rows"]) == 1
    assert asker.call("recent_anomalies", {"from": "1h", "since": "2h"}).is_error


def test_wrong_arguments_are_one_line_of_ours(asker: Asker) -> None:
    """Every argument of every tool with something that can't be, a misspelt and a missing one: no library speaks."""
    tools = asker.tools()
    for name in (*READING, *ACTING):
        schema = tools[name].input_schema
        wrong: list[dict[str, Any]] = [{word: {"a": [1]}} for word in schema["properties"]]
        wrong += [{"sicne": "1h"}] if schema["properties"] else []
        wrong += [{}] if schema.get("required") else []
        for arguments in wrong:
            answer = asker.call(name, arguments)
            said = answer.content[0].text
            assert answer.is_error, (name, arguments)
            assert "\n" not in said
            assert not any(word in said.lower() for word in ("http", "pydantic", "traceback", "input_value"))
    said = asker.call("recent_anomalies", {"sicne": "1h"}).content[0].text
    assert "unknown argument sicne: recent_anomalies takes limit, since, until" in said
