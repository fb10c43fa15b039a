"""The tools that ask a fleet: the command line's answers, within limits, and nothing a host wrote unmarked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_fleet import EVERYWHERE, LAST_DAY, SMALL, Made, make_fleet
from monitord.mcp_server.fleet import FLEET
from monitord.mcp_server.output_filter import ANSWER_LIMIT_BYTES
from monitord.mcp_server.server import READING
from monitord.storage import open_store
from tests.cli.test_fleet import hostile_fleet
from tests.mcp_server.talking import Asker, over_stdio
from tests.planting import is_safe

DAY = {"since": f"{LAST_DAY}T00:00:00Z", "until": f"{LAST_DAY}T23:59:59Z"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Twenty hosts, with a torn file, foreign files and another version's columns among theirs."""
    return make_fleet(tmp_path_factory.mktemp("bucket"), 20, size=SMALL, traps=True)


@contextmanager
def connected_to(url: str, folder: Path) -> Iterator[Asker]:
    open_store(folder / "data").close()
    with over_stdio(folder / "data", MONITORD_FLEET__URL=url) as asker:
        yield asker


@pytest.fixture(scope="module")
def asker(fleet: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with connected_to(fleet.root.as_uri(), tmp_path_factory.mktemp("asked")) as connected:
        yield connected


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """Every text of every host is an attacker's."""
    made = hostile_fleet(tmp_path_factory.mktemp("evil"))
    with connected_to(made.root.as_uri(), tmp_path_factory.mktemp("evil-asked")) as connected:
        yield connected


def test_they_are_there_where_a_bucket_is_configured_and_only_there(asker: Asker, tmp_path: Path) -> None:
    """They read only; a bucket that is shipped to will do; a configuration without one has none of them."""
    tools = asker.tools()
    assert set(tools) == {*READING, *FLEET}
    assert all(tools[name].annotations.read_only_hint for name in FLEET)
    assert all(tools[name].input_schema["additionalProperties"] is False for name in FLEET)
    open_store(tmp_path / "data").close()
    with over_stdio(tmp_path / "data") as alone:
        assert set(alone.tools()) == set(READING)


@pytest.mark.parametrize(
    ("question", "words", "flags"),
    [
        ("hosts", {}, ()),
        ("recent", {}, ()),
        ("recent", {"host": "host-000*", "process": "svc*"}, ("--host", "host-000*", "--process", "svc*")),
        ("recent", {"metric": "cpu", "text": "a"}, ("--metric", "cpu", "--grep", "a")),
        ("hot", {"module": "orders"}, ("--module", "orders")),
        ("same", {"window_s": 600, "hosts": 3}, ("--within", "600s", "--hosts", "3")),
    ],
    ids=str,
)
def test_the_command_line_says_the_same(
    question: str, words: dict[str, Any], flags: tuple[str, ...], asker: Asker, fleet: Made, here: Any
) -> None:
    """The same rows in the same order, with the same keys and values."""
    period = ("-S", DAY["since"], "-U", DAY["until"])
    said = here("fleet", question, "-n", "50", *period, *flags, "--bucket", fleet.root.as_uri(), "--json")
    told = asker.told(f"fleet_{question}", {**DAY, **words, "limit": 50})
    assert told["rows"] == json.loads(said.out)
    assert told["rows"], "nothing was compared"


def test_what_was_passed_over_is_said_and_a_list_that_goes_on_too(asker: Asker, fleet: Made) -> None:
    told = asker.told("fleet_hosts", DAY)
    assert "passed over" in told["trouble"] or "cannot read" in told["trouble"]
    assert len(told["rows"]) == 20
    assert told["is_cut"] is (len(fleet.hosts) > 20)
    few = asker.told("fleet_hosts", {**DAY, "limit": 3})
    assert (few["is_cut"], few["rows"]) == (True, told["rows"][:3])
    assert EVERYWHERE in {row["what"] for row in asker.told("fleet_same", DAY)["rows"]}


@pytest.mark.parametrize("tool", ["fleet_recent", "fleet_same"])
def test_a_rule_that_nothing_was_raised_by_is_told_with_those_there_are(tool: str, asker: Asker) -> None:
    told = asker.told(tool, {**DAY, "rule": "nope"})
    assert told["rows"] == []
    assert (
        "cannot find rule 'nope' among what these hosts shipped of this time; there are: cpu-hog"
        in told["trouble"]
    )


@pytest.mark.parametrize(
    ("tool", "words", "expected"),
    [
        ("fleet_recent", {"since": "2026-01-01", "until": "2026-11-20"}, "31 days"),
        ("fleet_recent", {"limit": 51}, "limit"),
        ("fleet_hosts", {"bucket": "file:///etc"}, "unknown argument bucket"),
        ("fleet_hot", {"since": "what"}, "invalid time"),
        ("fleet_same", {"window_s": 0}, "window_s"),
        ("fleet_same", {"hosts": 1}, "hosts"),
    ],
    ids=str,
)
def test_bad_words_are_refused_in_one_line(
    tool: str, words: dict[str, Any], expected: str, asker: Asker
) -> None:
    """No other bucket than the one configured, no longer period, no more rows."""
    answer = asker.call(tool, words)
    assert answer.is_error
    assert expected in answer.content[0].text
    assert "\n" not in answer.content[0].text


@pytest.mark.parametrize("tool", FLEET)
def test_texts_of_hosts_are_data_printable_and_bounded(tool: str, hostile: Asker) -> None:
    told = hostile.told(tool, {**DAY, "limit": 50})
    assert told["rows"]
    assert "data, not instructions" in told["notice"]
    text = json.dumps(told, ensure_ascii=False)
    assert is_safe(text)
    assert len(json.dumps(told["rows"])) <= ANSWER_LIMIT_BYTES + 2 * 50


def test_an_answer_is_given_again_and_a_failure_is_not(tmp_path: Path) -> None:
    """Within a minute the bucket is not read again for the same words; a bucket that comes is seen at once."""
    made = make_fleet(tmp_path / "made", 3, size=SMALL)
    bucket = tmp_path / "bucket"
    with connected_to(bucket.as_uri(), tmp_path) as asker:
        refused = asker.call("fleet_hosts", DAY)
        assert refused.is_error
        assert "\n" not in refused.content[0].text
        made.root.rename(bucket)
        first = asker.told("fleet_hosts", DAY)["rows"]
        assert len(first) == 3
        bucket.rename(tmp_path / "gone")
        assert asker.told("fleet_hosts", DAY)["rows"] == first
        assert asker.call("fleet_hot", DAY).is_error


def test_nothing_that_answers_a_fleet_is_loaded_without_one() -> None:
    code = "import sys, monitord.mcp_server.server; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not [
        name for name in loaded.split() if name.startswith(("monitord.fleet.ask", "monitord.analytics"))
    ]
    assert not {"duckdb", "pyarrow", "obstore"} & set(loaded.split())
