"""What docs/output.md and docs/mcp.md say is what programs get: every key, every tool."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.export.shapes import EVENT_KEYS, HOT_KEYS, ROW_KEYS
from monitord.mcp_server.fleet import FLEET
from monitord.mcp_server.server import ACTING, READING
from monitord.model import CaptureStatus, Incident, TriggerMetric
from monitord.profiles import hotspots, parse
from monitord.profiles.identifying import SourceText, identify

DOCS = Path(__file__).parents[2] / "docs"
OUTPUT = (DOCS / "output.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^## ", OUTPUT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def words_of(text: str) -> set[str]:
    """Every name in backticks, also of several in one pair."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return {word for span in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"[a-z][a-z_]*", span)}


def keys_of(value: object, *, depth: int = 9) -> set[str]:
    """The keys of an answer. What texts are called by (notes, contexts) is not a key of ours."""
    if isinstance(value, list):
        return set().union(*(keys_of(each, depth=depth) for each in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    inner = (keys_of(each, depth=depth - 1) for key, each in value.items() if key not in ("notes", "context"))
    return set(value).union(*(inner if depth else ()))


@pytest.mark.parametrize(
    ("title", "keys"),
    [("`monitord recent`", ROW_KEYS), ("`events`", EVENT_KEYS), ("`hot`", HOT_KEYS)],
    ids=["recent", "events", "hot"],
)
def test_every_key_of_a_list_is_on_the_page(title: str, keys: tuple[str, ...]) -> None:
    assert set(keys) - words_of(section(title)) == set()


def test_every_metric_and_status_is_on_the_page() -> None:
    text = words_of(section("`monitord recent`"))
    assert {metric.value for metric in TriggerMetric} - text == set()
    assert {status.value for status in CaptureStatus} - text == set()


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        (("show", "ID", "--json"), ("`monitord show ID -o json`", "`monitord recent`")),
        (("explain", "ID", "--json"), ("`explain ID`",)),
        (("status", "--json"), ("`monitord status -o json`",)),
        (("doctor", "--json"), ("Others",)),
        (("storage", "status", "--json"), ("`storage`", "`monitord status -o json`")),
        (("storage", "ls", "--json"), ("`storage`",)),
        (("storage", "verify", "--json"), ("`storage`",)),
        (("storage", "gc", "--json"), ("`storage`",)),
        (("retention", "run", "--dry-run", "--json"), ("Others",)),
        (("db", "check", "--json"), ("Others",)),
        (("events", "index", "--json"), ("`events`",)),
        (("events", "index", "create", "arity", "--json"), ("`events`",)),
        (("plan", "list", "--json"), ("Others",)),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_every_key_of_an_answer_is_on_the_page(words, titles, incident, here) -> None:
    """Also those within: nothing that a program gets is missing from the page."""
    here("plan", "set", "slow", "--rate", "5", "--match-name", "java")
    answer = here(*(incident.correlation_id if word == "ID" else word for word in words))
    told = keys_of(json.loads(answer.out))
    assert told, answer.err
    assert told - set().union(*(words_of(section(title)) for title in titles)) == set()


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (("recent", "--json"), "`monitord recent`"),
        (("show", "ID", "--json"), "`monitord show ID -o json`"),
        (("compare", "ID", "LATER", "--json"), "`monitord compare -o json`"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, tuple) else None,
)
def test_every_key_of_the_pages_tables_is_in_the_answer(words, title, store, new_incident, here) -> None:
    """And every key of a comparison on its page, within its lists, too: the words of its verdicts apart."""
    ids = {
        name: store.save_incident(comparable(new_incident(), counts))[0].correlation_id
        for name, counts in (("ID", (500, 500)), ("LATER", (900, 100)))
    }
    told = keys_of(json.loads(here(*(ids.get(word, word) for word in words)).out))
    promised = set(
        re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\| ([^|]*) \|", section(title), re.MULTILINE)))
    )
    assert promised
    assert promised - told == set()
    if words[0] == "compare":
        assert told - words_of(section(title)) == set()


def comparable(incident: Incident, counts: tuple[int, int]) -> Incident:
    """The incident with a profile that can be read, of a function with a source."""
    source = SourceText("def work():\n    parse()\n    send()\n")
    payload = "main;work (/w.py:2);parse {}\nmain;work (/w.py:3) {}\n".format(*counts).encode()
    spots = identify(hotspots(parse("folded", payload)), {"/w.py": source}.get)
    captures = tuple(
        replace(one, format="folded", payload=payload, hotspots=spots) if one.profiler == "py-spy" else one
        for one in incident.captures
    )
    return replace(incident, captures=captures)


def test_every_tool_is_on_the_page_of_the_server() -> None:
    text = (DOCS / "mcp.md").read_text(encoding="utf-8")
    before, behind = text.split("With `--allow-actions`, and only then")
    assert {*READING, *FLEET, "last_query"} - words_of(before) == set()
    assert set(ACTING) - words_of(behind.split("##")[0]) == set()
