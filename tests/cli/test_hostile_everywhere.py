"""Every text of everything stored, hostile at once: no output breaks at any width, in any form.

More than 400 lines: what plants the texts and what reads every output belong together.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text

from monitord.cli.app import COMMANDS
from monitord.cli.terminal import display_width
from monitord.export import evidence
from monitord.logs import configure, get_logger
from monitord.model import (
    CONTEXT_LABELS,
    CaptureStatus,
    Cause,
    Event,
    EventType,
    Hotspot,
    Incident,
    ProcessKey,
    ProcessRates,
    Rates,
    RuleStatus,
    Statement,
    SystemRates,
    Threshold,
    TriggerMetric,
)
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import STATUS_FILE
from monitord.recorder.uploader_status import UploaderStatus, write_uploader_status
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.tables import metadata
from tests import preloaded
from tests.cli.conftest import Cli, make_incident
from tests.flow.recorder import QUICK, Recorder
from tests.mcp_server.talking import SUBJECTS, over_stdio
from tests.planting import HOSTILE, is_safe, plant, plant_plain

NOW = datetime.now(UTC)
KEPT = frozenset({"correlation_id"})  # ours: who it is, never a process's
READERS = frozenset({"role", "format"})  # which of our readers takes it; one capture has them planted, too
OUR_WORDS = (
    "reason",
    "text",
    "rule",
    "profiler",
    "status",
    "file",
    "outcome",
    "job",
)  # that a page looks for
OUR_NOTES = (
    *CONTEXT_LABELS,
    "looks",
    "threads",
    "unnamed",
    "explained",
    "java",
    "behind",
    "first_try",
    "windows",
    "skew",
)


# ------------------------------------------------------------------------------- what is planted


def hostile_incident(text: str, at: datetime) -> Incident:
    """An incident of the usual shape, each text of it and of its evidence the hostile one."""
    spot = Hotspot("f", "/f", 1, 0.4, 1.0, statements=(Statement(1, 0.4, "s"),))
    spots = (spot, replace(spot, seen="x"), replace(spot, kind="native", self_share=0.2))
    incident = make_incident(hotspots=spots, at=at)
    context, profile, failed = incident.captures
    captures = (
        replace(context, notes=dict.fromkeys(OUR_NOTES, "x")),
        replace(profile, format="speedscope", payload=speedscope(text), notes=dict.fromkeys(OUR_NOTES, "x")),
        replace(failed, status=CaptureStatus.PERMISSION_DENIED),
    )
    planted = plant(replace(incident, captures=captures), text, KEPT | READERS)
    planted = replace(planted, cause=Cause(text, text, "likely", text, text, ((text, text),)))
    strange = plant(replace(profile, status=CaptureStatus.PARTIAL, payload=b"{}"), text)
    return replace(planted, captures=(*planted.captures, strange))


def speedscope(text: str) -> bytes:
    """A profile in which every name is the hostile one."""
    lane = {"type": "sampled", "name": text, "unit": "seconds", "startValue": 0, "endValue": 1}
    frames = [{"name": text, "file": text, "line": 1}, {"name": "known", "file": text, "line": 2}]
    lanes = [lane | {"samples": [[0], [1, 0], [1]], "weights": [1, 2, 3]}]
    return json.dumps({"shared": {"frames": frames}, "profiles": lanes}).encode()


def hostile_pass(text: str) -> Rates:
    process = ProcessRates(ProcessKey(7, 7), "x", 1, "R", 0, 99.0, 1 << 20, 1, unit="x")
    system = SystemRates(
        99.0, 2, 8 << 30, 4 << 30, 0, 1.0, {"x": 1.0}, {"x": 1.0}, {"x": 1.0}, memory_held_bytes={"x": 1}
    )
    rates = Rates(NOW - timedelta(minutes=1), 1.0, 2.0, system, (process,), process_count=1)
    return replace(plant(rates, text), gap=None)


def hostile_events(text: str) -> Iterator[Event]:
    clipped = text[:4_096] or None  # what an event may hold at most
    for kind in EventType:
        event = plant(Event(kind, NOW - timedelta(minutes=1), pid=7, payload={}), clipped or "x")
        words = dict.fromkeys((text[:500], *OUR_WORDS), text[:500])
        yield replace(event, payload={**words, "nested": [{text[:500]: text[:500]}]}, function=clipped)


def hostile_state(store: SQLiteProfileStore, text: str, n: int) -> None:
    """Capture plans and what else is kept by key; a plan's name is checked, whatever else it holds is not."""
    pattern = text.replace("\0", "")[:256] or "x"  # which is refused
    plan = {"match": {key: [pattern] for key in ("names", "users", "units")}, "profiler": "perf"}
    store.state.set(f"plan/p{n}", json.dumps(plan).encode())
    store.state.set(f"baseline/{n}", json.dumps(text).encode())
    store.set_state(f"hostile{n}", {"word": text})


def hostile_status(told: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """A real recorder's status, in which every text is hostile, and every list of texts has all of them."""
    planted: dict[str, Any] = plant_plain(told, texts[0])
    rule = RuleStatus(
        "r", TriggerMetric.CPU, Threshold(90.0, "percent"), 10.0, "armed", ProcessKey(7, 7), "x", (99.0,)
    )
    rules = [plant(rule, text) for text in texts]
    return planted | {
        "taken_at": datetime.now(UTC).isoformat(),
        "reported_at": datetime.now(UTC).isoformat(),
        "interval_s": 3600.0,  # so long is it not silent, however slowly the pages are asked for
        "degraded": texts,
        "config_paths": texts,
        "pending": texts,
        "missing_sources": {text: text for text in texts},
        "jobs": {"tidy": {"last_run": NOW.isoformat(), "next_run": NOW.isoformat(), "outcome": texts[1]}},
        "capture": {"correlation_id": texts[0], "since": NOW.isoformat()},
        "rules": [json.loads(json.dumps(_values(one))) for one in rules],
        "rules_taken_at": datetime.now(UTC).isoformat(),
    }


def _values(status: RuleStatus) -> dict[str, Any]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(status).items() if name != "seen_at"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a real recorder tells of itself."""
    recorder = Recorder(tmp_path_factory.mktemp("told"), QUICK)
    try:
        recorder.start()
        recorder.stop()
        return dict(json.loads((recorder.data_dir / STATUS_FILE).read_text()))
    finally:
        recorder.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, told: dict[str, Any]) -> Path:
    """A data directory in which every text of everything is hostile; one incident a kind of text, two of the first."""
    folder = tmp_path_factory.mktemp("hostile") / "data"
    store = open_store(folder)
    for n, text in enumerate([next(iter(HOSTILE.values())), *HOSTILE.values()]):
        incident = hostile_incident(text, NOW - timedelta(minutes=2 * n + 1))
        store.save_incident(incident)
        store.add_note(incident.correlation_id, text[:1_000] or "x", NOW)
        store.add_history([hostile_pass(text)])
        store.events.store_events(list(hostile_events(text)))
        hostile_state(store, text, n)
    store.close()
    (folder / STATUS_FILE).write_text(json.dumps(hostile_status(told, list(HOSTILE.values()))))
    write_uploader_status(folder, replace_texts(UploaderStatus(refused=["x"]), HOSTILE["terminal"]))
    return folder


def replace_texts(status: UploaderStatus, text: str) -> UploaderStatus:
    return plant(status, text, frozenset({"archived_at", "last_success_at", "last_error_at"}))


@pytest.fixture
def data_dir(filled: Path) -> Path:
    return filled


@contextmanager
def recording(data_dir: Path) -> Iterator[None]:
    """Somebody holds the lock, and said a moment ago what stands in the status."""
    with hold(data_dir / DAEMON_LOCK, "taken"):
        yield


def ids(data_dir: Path) -> list[str]:
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        return [
            row[0] for row in connection.execute("SELECT correlation_id FROM incident ORDER BY raised_at")
        ]


# ------------------------------------------------------------------------------- what is asked

OF_ALL = (
    "recent -n 99",
    "events list -n 999",
    "events stats",
    "events index",
    "hot",
    "hot --node 0",
    "query hot-functions",
    'query (TABLE"incidents")',
    "replay",
    "replay -S 1d --step 1h",
    "status",
    "explain",
    "rules list",
    "plan list",
    "profile list",
    "storage status",
    "storage ls",
    "storage metrics",
    "storage gc",
    "storage verify",
    "state stats",
    "state ls",
    "db check",
    "doctor",
    "retention run --dry-run",
    "config show",
    "config show --origin",
    "config validate",
    "config path",
    "prefer",
    "version",
)
OF_ONE = (
    "show {id}",
    "explain {id}",
    "compare {id} {other}",
    "similar {id}",
    "reveal {id}",
    "keep {id}",
    "note {id} x",
    "storage stat {key}",
    "plan get p{n}",
)
ELSEWHERE = {
    "run", "top", "capture", "snapshot", "events prune", "events get", "events copy", "profile run", "profile clear", "profile show", "profile compare", "rules test", "delete", "plan set", "plan delete",
    "service install", "service upgrade", "service uninstall", "service start", "service stop", "service restart", "service reload",
    "service status", "service logs", "logs", "help", "web", "config get", "config set", "config init", "config schema",
    "db upgrade", "db vacuum", "metrics serve", "metrics textfile", "mcp serve", "mcp install", "storage cat", "storage rm", "storage backup",
    "storage restore", "storage rebuild", "storage rotate-key", "storage adopt", "completion", "export", "summary", "open", "notify test", "notify desktop", "deployed", "fleet ship",
    "fleet hosts", "fleet recent", "fleet hot", "fleet same", "fleet compare", "fleet show", "fleet query", "fleet compact",
    "state get", "state set", "state delete", "state copy",
}  # fmt: skip
FOR_PROGRAMS = "monitord_"  # of `storage metrics`
CODES = {"doctor": (0, 1), "status": (0,), "plan": (0, 3)}


def test_every_command_is_asked_or_shows_nothing_stored() -> None:
    asked = {
        words
        for words, _where, _summary in COMMANDS
        for said in (*OF_ALL, *OF_ONE)
        if f"{said} ".startswith(f"{words} ")
    }
    assert {words for words, _where, _summary in COMMANDS} - asked == ELSEWHERE


def questions(data_dir: Path) -> Iterator[list[str]]:
    for words in OF_ALL:
        yield words.split()
    known = ids(data_dir)
    for n, one in enumerate(known):
        for words in OF_ONE:
            if "{key}" not in words:
                yield words.format(id=one, other=known[n - 1], n=n).split()


def is_copied(line: str) -> bool:
    """What one copies whole is not broken."""
    words = line.strip()
    is_key = (
        re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[\w.-]+", words) is not None
    )  # where all other columns gave way
    return is_key or words.startswith(("fix: ", "monitord ", "sudo ", "/")) or FOR_PROGRAMS in words


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_no_page_breaks(here, data_dir: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """No raw control, nothing wider than the screen, no trace, and every command answers."""
    monkeypatch.setenv("COLUMNS", str(columns))
    found = []
    with recording(data_dir):
        for words in questions(data_dir):
            found += faults(here, words, columns)
    print(*found, sep="\n")
    assert not found


def faults(here: Cli, words: list[str], columns: int) -> list[str]:
    """What is wrong with a page, in words."""
    try:
        answer = here(*words)
    except Exception as error:  # noqa: BLE001 - every command is tried
        return [f"{words}: {error!r} at {traceback.extract_tb(error.__traceback__)[-1]}"]
    said = answer.out + answer.err
    lines = answer.out.splitlines()
    wide = [line for line in lines if display_width(line) > columns and not is_copied(line)]
    unsafe = [line for line in said.split("\n") if not is_safe(line)]
    found = [f"{words}: {display_width(line)} columns: {line[:150]}" for line in wide[:5]]
    found += [f"{words}: unsafe: {line[:150]!a}" for line in unsafe[:5]]
    if answer.code not in CODES.get(words[0], (0,)) or "Traceback" in said:
        found.append(f"{words}: exit code {answer.code}: {answer.err[-300:]}")
    return [*found, f"{words}: {len(said)} characters"] if len(said) > 400_000 else found


# ------------------------------------------------------------------------------- documents

LISTS = ("recent -n 99", "events -n 999", "hot", "query hot-functions", 'query (TABLE"incidents")')
DOCUMENTS = (
    *LISTS,
    "events stats",
    "status",
    "explain",
    "rules list",
    "plan list",
    "profile list",
    "storage status",
    "storage ls",
    "doctor",
    "storage verify",
    "storage gc",
    "state stats",
    "state ls",
)
DOCUMENTS_OF_ONE = (
    "show {id}",
    "explain {id}",
    "compare {id} {other}",
    "similar {id}",
    "plan get p{n}",
    "state get plan/p{n}",
)


def checked_json(text: str) -> Any:
    """Strict readers take it: ASCII, no lone surrogates, no NaN."""
    assert text.isascii()
    assert is_safe(text)
    value = json.loads(text, parse_constant=pytest.fail)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def test_no_document_breaks(here, data_dir: Path) -> None:
    """JSON and JSON lines parse, whatever stands in them."""
    known = ids(data_dir)
    asked = [words.split() for words in DOCUMENTS]
    asked += [
        words.format(id=one, other=known[n - 1], n=n).split()
        for n, one in enumerate(known)
        for words in DOCUMENTS_OF_ONE
    ]
    with recording(data_dir):
        for words in asked:
            answer = here(*words, "-o", "json")
            assert answer.code in CODES.get(words[0], (0,)), (words, answer.err[:300])
            assert answer.out, (words, answer.err)
            checked_json(answer.out)
        for words in LISTS:
            for line in here(*words.split(), "-o", "jsonl").out.splitlines():
                checked_json(line)


def check_csv(text: str) -> list[list[str]]:
    """One line a row, as many cells in each, nothing that a spreadsheet would run."""
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert text.count("\r\n") == len(rows)
    assert is_safe(text.replace("\r\n", "\n"))
    assert len({len(row) for row in rows}) == 1
    assert [
        cell for row in rows for cell in row if re.match(r"\s*[=+\-@＝＋－＠]", cell) and not _is_number(cell)
    ] == []
    return rows


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", cell) is not None


def test_no_table_of_a_spreadsheet_breaks(here, data_dir: Path) -> None:
    for words in LISTS:
        assert len(check_csv(here(*words.split(), "-o", "csv").out)) >= len(HOSTILE), words


class _Tags(HTMLParser):
    """Which elements a page has, and which of their attributes can run something."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not [name for name, _value in attrs if name.startswith("on")], attrs
        assert not [
            value for name, value in attrs if name in ("src", "href") and "javascript:" in (value or "")
        ]


@pytest.mark.parametrize("raw", [False, True], ids=["redacted", "raw"])
@pytest.mark.parametrize(
    "form",
    ["json", "csv", "folded", "speedscope", "flamegraph", "profile-json", "pprof", "report", "markdown"],
)
def test_no_export_breaks(
    here, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, raw: bool
) -> None:
    """Each format of each incident parses back; no element is in a page that none wrote."""
    # A process of its own reads each, forked: two hundred starts of one were half of this file's CPU.
    monkeypatch.setattr(evidence, "own_command", lambda _module: preloaded.command("export"))
    elements = set()
    for one in ids(data_dir):
        file = tmp_path / "out"
        answer = here("export", one, "--format", form, "-o", str(file), *(["--raw"] if raw else []))
        assert answer.code == 0, answer.err
        assert is_safe(answer.err)
        content = file.read_bytes()
        if form == "pprof":
            assert gzip.decompress(content)
            continue
        text = content.decode("utf-8")
        if form in ("json", "speedscope", "profile-json"):
            checked_json(text)
        elif form == "csv":
            assert len(check_csv(text)) == 2
        elif form == "markdown":
            assert is_safe(text)
            check_markdown(text)
        elif form == "folded":
            assert all(re.fullmatch(r"[^\n]* [0-9]+", line) for line in text.splitlines())
            assert is_safe(text)
        else:
            page = _Tags()
            page.feed(text)
            elements.add(tuple(sorted(set(page.seen))))
            assert is_safe(text.replace("\t", ""))
    assert len(elements) <= 1, "no name may add an element"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_no_summary_breaks(here, data_dir: Path, form: str) -> None:
    """A few lines that are ours, none of them endless, whatever names hold."""
    for one in ids(data_dir):
        answer = here("summary", one, "-o", form)
        assert answer.code == 0, answer.err
        assert all(map(is_safe, answer.out.split("\n")))
        lines = answer.out.splitlines()
        assert 5 <= len(lines) <= 16
        assert max(map(len, lines)) < 1_500
        if form == "markdown":
            check_markdown(answer.out)
        else:
            assert all(line.startswith("  ") for line in lines[1:])


def check_markdown(text: str) -> None:
    """Outside code nothing is a link, an image, markup of HTML, a mention or an address."""
    bare = re.sub(r"(?s)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"[<>@\[\]!\\]|://|www\.", bare.replace("\\|", "")), bare


# ------------------------------------------------------------------------------- assistants and logs


def test_no_answer_to_an_assistant_breaks(data_dir: Path) -> None:
    """Every tool and resource answers, about each incident: short, and nothing bare in it."""
    with over_stdio(data_dir) as asker:
        said = [
            (f"{kind} {one}", asker.read(f"monitord://{kind}/{one}"))
            for one in ids(data_dir)
            for kind in ("incident", "profile")
        ]
        for name, tool in asker.tools().items():
            if name == "take_snapshot":
                continue  # of a recorder that runs: tests/flow/test_snapshot.py
            known = tool.input_schema.get("properties", {})
            subjects = [word for word in SUBJECTS if word in known]
            for one in ids(data_dir) if subjects else [""]:
                wanted = {word: "1d" for word in ("since",) if word in known}
                answer = asker.call(name, wanted | dict.fromkeys(subjects, one))
                assert not answer.is_error, (name, one, answer.content)
                said.append((name, "".join(part.text for part in answer.content)))
    assert len(said) > 60
    for name, text in said:
        assert is_safe(text), name
        text.encode("utf-8")
        assert len(text) < 100_000, name


@pytest.mark.parametrize("style", ["json", "logfmt"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_line_of_the_log_breaks(style: str, kind: str) -> None:
    """Values, words in lists and tables, names of keys, errors with their traces: one line each."""
    text, stream = HOSTILE[kind], io.StringIO()
    configure("debug", style, stream)
    log = get_logger()
    log.info("a.b", name=text, several=[text], table={text: text}, thing=Path(text.replace("\0", "")))
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("a.b", error=text)
    lines = stream.getvalue().splitlines()
    assert stream.getvalue().count("\n") == len(lines) == 2
    assert all(map(is_safe, lines))
    if style == "json":
        for line in lines:
            checked_json(line)


# ------------------------------------------------------------------------------- is everything planted?

OURS = {
    "incident": {"correlation_id", "trigger_metric", "artefact_key", "state"},
    "profile_capture": {"trigger_metric", "profile_path", "correlation_id", "status", "artefact_key", "checksum", "state"},
    "history": set(),
    "state": {"user_id", "session_id", "key", "version"},  # what can't be printed is refused as a name
    "event": set(),
}  # fmt: skip


def test_every_column_of_text_holds_the_hostile_one(data_dir: Path) -> None:
    """Of every table; a new column has to be planted, or named among those that hold our own words only."""
    hostile = HOSTILE["markup"][:20]
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        for table in metadata.tables.values():
            for column in table.columns:
                if not isinstance(column.type, Text) or column.name in OURS[table.name]:
                    continue
                cells = connection.execute(f'SELECT "{column.name}" FROM "{table.name}"')  # noqa: S608  our own names
                assert any(hostile in str(cell) for (cell,) in cells), (table.name, column.name)
