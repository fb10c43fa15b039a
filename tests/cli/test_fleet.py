"""The commands that ask a fleet: their forms, their filters, and texts of hosts that nobody trusts."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_fleet import EVERYWHERE, HOTTER, LAST_DAY, NEW, Made, make_fleet, write
from monitord.analytics.tables import HOTSPOTS, INCIDENTS, MACHINE_MINUTES, PROCESS_MINUTES
from monitord.cli import fleet
from monitord.cli.terminal import display_width
from monitord.export.archive import archive
from monitord.fleet.layout import ArtefactFile
from tests.cli.conftest import Answer
from tests.planting import HOSTILE, is_safe

SINCE = f"{LAST_DAY}T00:00:00Z"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A fleet of ten hosts."""
    return make_fleet(tmp_path_factory.mktemp("fleet"), 10)


LISTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "hosts": (["hosts", "-S", SINCE], fleet.HOST_KEYS),
    "recent": (["recent", "-S", SINCE], fleet.RECENT_KEYS),
    "hot": (["hot", "-S", SINCE], fleet.HOT_KEYS),
    "same": (["same", "-S", SINCE], fleet.SAME_KEYS),
    "compare": (["compare", NEW, "-S", SINCE], fleet.COMPARE_KEYS),
}


@pytest.fixture
def asked(made: Made, here: Any) -> Any:
    """Ask it: `asked("recent", …)`."""

    def ask(*words: str) -> Answer:
        answer: Answer = here("fleet", *words, "--bucket", made.root.as_uri())
        return answer

    return ask


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_its_keys_in_every_form(asked: Any, name: str) -> None:
    """JSON, JSON lines and CSV say the same, with the keys that docs/output.md has."""
    words, keys = LISTS[name]
    whole = json.loads(asked(*words, "-o", "json").out)
    assert whole
    assert all(tuple(row) == keys for row in whole)
    assert [json.loads(line) for line in asked(*words, "-o", "jsonl").out.splitlines()] == whole
    assert next(tuple(row) for row in csv.reader(io.StringIO(asked(*words, "-o", "csv").out))) == keys
    assert len(asked(*words).out.splitlines()) == len(whole) + 2  # the period and the heads of columns
    assert json.loads(asked(*words, "-o", "json", "-n", "1").out) == whole[:1]


@pytest.mark.parametrize(
    ("name", "days"), [("hosts", 1), ("recent", 7), ("hot", 1), ("same", 1), ("compare", 7)]
)
def test_without_since_it_begins_with_a_whole_day_and_says_so(
    asked: Any, name: str, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of UTC, so many before its end; a whole day's hot functions are answered from their sums."""
    words = [name, *([NEW] if name == "compare" else [])]
    end = LAST_DAY + timedelta(days=1)
    first = LAST_DAY - timedelta(days=days)
    for width in ("80", "40"):
        monkeypatch.setenv("COLUMNS", width)
        told = " ".join(asked(*words, "-U", f"{end}T00:00:00Z", "--utc").out.split())
        assert told.startswith(f"from {first} 00:00 to {end} 00:00 UTC ")
    given = ["-S", f"{first}T00:00:00Z", "-U", f"{end}T00:00:00Z", "-o", "json"]
    assert asked(*words, "-U", f"{end}T00:00:00Z", "-o", "json").out == asked(*words, *given).out
    before = datetime.now(UTC)
    nothing = asked(*words, "--host", "nobody", "--utc")
    begun = {(now - timedelta(days=days)).date() for now in (before, datetime.now(UTC))}  # midnight may come
    assert any(f" since {day} 00:00 UTC; --since 30d looks further back" in nothing.err for day in begun), (
        nothing
    )
    assert " ".join(asked(name, "--help").out.split()).count("00:00 UTC") == 1


def test_what_was_planted_is_said(asked: Any, made: Made) -> None:
    """The function that got hotter, and the incident on many hosts."""
    hotter = json.loads(asked(*LISTS["compare"][0], "-o", "json").out)[0]
    assert (hotter["function"], hotter["hosts_hotter"]) == (HOTTER, len(made.upgraded))
    same = json.loads(asked(*LISTS["same"][0], "-o", "json").out)[0]
    assert (same["what"], same["hosts"]) == (EVERYWHERE, len(made.struck))


@pytest.mark.parametrize("name", ["hosts", "recent", "hot", "same"])
def test_a_question_by_its_name_is_the_command_s(asked: Any, name: str) -> None:
    """`fleet query hot` says what `fleet hot` does; here what both print for programs."""
    words = ["-S", SINCE, "-n", "20", "-o", "json"]
    assert json.loads(asked("query", name, *words).out) == json.loads(asked(name, *words).out)


def test_a_question_s_values(asked: Any, made: Made) -> None:
    found = json.loads(asked("query", "same", f"hosts={len(made.struck)}", "-S", SINCE, "-o", "json").out)
    assert [row["what"] for row in found] == [EVERYWHERE]
    for words, said in (
        (["same", "hosts=many"], "invalid hosts 'many'"),
        (["same", "since=1"], "expected hosts=…"),
        (["compare"], "compare needs version=…"),
        (["recent", "pinned=yes"], "invalid pinned 'yes'"),
        (["SELECT 1 FROM incidents", "x"], "put the SQL in quotes"),
    ):
        answer = asked("query", *words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
        assert said in answer.err


@pytest.mark.parametrize("engine", ["spark", "clickhouse"])
def test_sql_is_printed_for_another_engine_s_client(asked: Any, engine: str, made: Made) -> None:
    """All that it needs: the bucket's tables and the question with its values; SQL of one's own is refused."""
    answer = asked("query", "hot", "function=it's", "-S", SINCE, "--print", engine)
    assert answer.code == 0
    assert "it\\'s" in answer.out
    assert f"{made.root}/v1/hotspot" in answer.out
    assert "$since" not in answer.out
    refused = asked("query", "SELECT 1", "--print", engine)
    assert (refused.code, "expected one of hosts, recent" in refused.err) == (2, True)


@pytest.mark.parametrize("words", [["recent"], ["same"], ["query", "recent"]], ids=" ".join)
def test_a_rule_that_nothing_was_raised_by_is_told_with_those_there_are(asked: Any, words: list[str]) -> None:
    """It may have raised something at another time: the answer is empty, and no failure. Known ones say nothing."""

    def of_rule(name: str) -> Answer:
        chosen = [f"rule={name}"] if words[0] == "query" else ["--rule", name]
        found: Answer = asked(*words, *chosen, "-S", SINCE, "-o", "json")
        return found

    there = [row["rule"] for row in json.loads(asked("query", "rules", "-S", SINCE, "-o", "json").out)]
    answer = of_rule("no\x1bpe")
    assert (answer.code, json.loads(answer.out)) == (0, [])
    said = "cannot find rule 'no\\x1bpe' among what these hosts shipped of this time; there are: "
    assert said in answer.err
    assert all(rule in answer.err for rule in ("cpu-hog", "out-of-memory", *there))
    assert "cannot find rule" not in of_rule("out-of-memory").err  # configured here, though it raised nothing
    assert json.loads(asked("recent", "--rule", there[0], "-S", SINCE, "-o", "json").out)


def test_one_host_at_a_moment(asked: Any) -> None:
    """Its machine, its processes, its incidents; a host that nobody heard of is not found."""
    words = ["--at", f"{LAST_DAY}T03:00:00Z", "--within", "2h"]
    found = json.loads(asked("show", "host-0005", *words, "-o", "json").out)
    assert found["host_id"] == "host-0005"
    assert found["machine"]
    assert {row["host_id"] for row in found["incidents"]} == {"host-0005"}
    assert "processes: " in asked("show", "host-0005", *words).out
    nothing = asked("show", "nobody", *words)
    assert (nothing.code, "monitord fleet hosts" in nothing.err) == (3, True)


def test_an_incident_with_its_evidence(asked: Any, made: Made, tmp_path: Path) -> None:
    """As its host shipped it; saved on request, into a new folder alone."""
    row = json.loads(asked("recent", "-S", SINCE, "-o", "json", "-n", "1").out)[0]
    name = row["correlation_id"]
    none = json.loads(asked("show", name, "-o", "json").out)
    assert none["evidence"] is None
    assert "cannot find evidence" in none["why_no_evidence"]
    assert asked("show", name, "--save", str(tmp_path / "none")).code == 3
    files = {
        "incident.json": json.dumps({"incidents": [{"correlation_id": name}]}).encode(),
        "summary.md": b"**used** a core\n\x1b[2Jand more",
        "report.html": b"<p>x",
    }
    path = made.root / ArtefactFile(LAST_DAY, row["host_id"], name).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive("it", files, datetime.now(UTC), {}))
    assert json.loads(asked("show", name, "-o", "json").out)["evidence"] == {"correlation_id": name}
    shown = asked("show", name).out
    assert "**used** a core" in shown
    assert is_safe(shown)
    assert asked("show", name, "--save", str(tmp_path / "new")).code == 0
    assert (tmp_path / "new" / "report.html").read_bytes() == b"<p>x"
    assert asked("show", name, "--save", str(tmp_path / "new")).code == 2
    path.write_bytes(path.read_bytes()[:-20])
    assert "invalid evidence" in json.loads(asked("show", name, "-o", "json").out)["why_no_evidence"]


def test_sql_of_ones_own(asked: Any, made: Made) -> None:
    """One SELECT over all hosts; what is not one is refused, with what can be asked."""
    answer = asked("query", "SELECT count(*) AS n FROM incidents", "-o", "json")
    assert json.loads(answer.out) == [{"n": made.incidents}]
    for sql in ("DROP TABLE incidents", "SELECT 1", "SELECT nothing FROM incidents"):
        refused = asked("query", sql)
        assert (refused.code, refused.out) == (2, "")
        assert "incidents" in refused.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["recent", "--bucket", "redis://x"], 6),
        (["recent", "--bucket", "file:///nowhere/at/all"], 3),
        (["recent"], 6),
        (["same", "--within", "0s"], 2),
        (["show", "abc"], 2),
        (["show", "abcdef", "--at", "03:00", "--save", "x"], 2),
    ],
    ids=str,
)
def test_what_can_not_be_asked_is_refused_in_one_line(here: Any, words: list[str], code: int) -> None:
    """With the code that says why."""
    answer = here("fleet", *words)
    assert answer.err.startswith("monitord: ")
    assert len(answer.err.splitlines()) == 1
    assert answer.code == code or "cannot open" in answer.err


def hostile_fleet(root: Path) -> Made:
    """Every text of every table, of hosts that nobody trusts."""
    at = int(datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, 3, tzinfo=UTC).timestamp()) * 1_000_000
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in HOSTILE.values()]
    for table in (INCIDENTS, HOTSPOTS, PROCESS_MINUTES, MACHINE_MINUTES):
        for host in ("evil-1", "evil-2"):
            columns: dict[str, Any] = {
                name: texts if kind == "text" else [at] * len(texts) if kind == "time" else [1] * len(texts)
                for name, kind in table.columns
                if kind != "bool"
            }
            if table is HOTSPOTS:  # each process with two versions
                columns["version"] = [NEW, "old"] * (len(texts) // 2)
                columns["process"] = [texts[number // 2] for number in range(len(texts))]
            columns |= {name: [10**number for number in range(len(texts))] for name in ("value", "rss_bytes")}
            write(root, table, LAST_DAY, host, columns, len(texts))
    return Made(root, (LAST_DAY,), [], set(), set())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_text_of_a_host_breaks_a_page(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """No control, nothing wider than the screen, no trace; and each form for programs can be read."""
    monkeypatch.setenv("COLUMNS", str(columns))
    made = hostile_fleet(tmp_path)
    moment = ["show", "evil-1", "--at", f"{LAST_DAY}T03:00:00Z"]
    sql = ["query", "SELECT process, reason, raised_at FROM incidents", "-S", SINCE]
    for words in [*(words for words, _keys in LISTS.values()), moment, sql]:
        answer = here("fleet", *words, "--bucket", made.root.as_uri())
        assert answer.code == 0, answer.err
        assert answer.out
        assert is_safe(answer.out + answer.err)
        assert all(display_width(line) <= columns for line in answer.out.splitlines()), words
        if columns == 80:  # of which a document for programs knows nothing
            told = here("fleet", *words, "--bucket", made.root.as_uri(), "-o", "json").out
            assert json.loads(told)
            assert is_safe(told)
