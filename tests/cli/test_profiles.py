"""An incident's profile written in every form, and two incidents compared, by the real command line."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from dataclasses import replace

import pytest

from monitord.model import CaptureStatus, Hotspot, Incident, Statement
from monitord.profiles import hotspots, parse
from monitord.profiles.identifying import SourceText, identify
from tests import preloaded

FILE = "/home/alice/app/work.py"
SECRET = "sk-proj-Zq3vT8xW1nB6kD4mJ9pL2rY7"
SOURCE = "def work(items):\n    parse(items)\n    send(items)\n\ndef parse(items):\n    return items\n\ndef send(items):\n    return items\n"
FOLDED = "main (/srv/app/main.py:1);work ({file}:{call});{name} ({file}:{line}) {count}\n"


def _folded(parse_count: int, send_count: int) -> bytes:
    words = (("parse", 2, 6, parse_count), ("send", 3, 9, send_count))
    return "".join(
        FOLDED.format(file=FILE, call=call, name=name, line=line, count=count)
        for name, call, line, count in words
    ).encode()


def _incident(new_incident, payload: bytes, source: str = SOURCE) -> Incident:
    incident = new_incident(user="alice")
    spots = identify(hotspots(parse("folded", payload)), {FILE: SourceText(source)}.get)
    captures = tuple(
        replace(one, format="folded", payload=payload, hotspots=spots, sample_count=1000)
        if one.status is CaptureStatus.OK and one.role == "profile"
        else one
        for one in incident.captures
    )
    return replace(incident, captures=captures)


@pytest.fixture
def two(store, new_incident) -> tuple[str, str]:
    """An incident, and a later one in which `parse` was edited and got hotter."""
    edited = SOURCE.replace(
        "def parse(items):\n    return items", "def parse(items):\n    return sorted(items)"
    )
    return tuple(  # type: ignore[return-value]  # there are two
        store.save_incident(_incident(new_incident, *words))[0].correlation_id
        for words in ((_folded(500, 500), SOURCE), (_folded(900, 100), edited))
    )


FORMS = ["folded", "speedscope", "pprof", "flamegraph", "profile-json"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written_whole_and_without_the_users_name(form, here, two, tmp_path) -> None:
    file = tmp_path / "out"
    answer = here("export", two[0], "--format", form, "-o", str(file))
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith(f"wrote 1,000 samples to {file}\nhidden: ")
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_bytes()
    text = (gzip.decompress(content) if form == "pprof" else content).decode("utf-8", "replace")
    assert "alice" not in text
    assert "work.py" in text
    assert "parse" in text
    raw = here("export", two[0], "--format", form, "-o", str(file), "--raw")
    assert raw.code == 0
    assert "--raw" in raw.err


def test_raw_forms_say_what_the_evidence_says(environment, two) -> None:
    def written(form: str) -> bytes:
        words = preloaded.command("cli", "export", two[0], "--format", form, "-o", "-", "--raw")
        return subprocess.run(words, env=environment, capture_output=True, check=True).stdout

    assert parse("folded", written("folded")).stacks == parse("folded", _folded(500, 500)).stacks
    frames = json.loads(written("profile-json"))["frames"]
    assert {frame["file"] for frame in frames} == {FILE, "/srv/app/main.py"}
    assert gzip.decompress(written("pprof"))
    assert b"</html>" in written("flamegraph")


def test_secrets_in_names_are_hidden_or_refused(here, store, new_incident, tmp_path) -> None:
    payload = f"main (/srv/app/main.py:1);login --password={SECRET} (/srv/{SECRET}/x.py:2) 5\n".encode()
    name = store.save_incident(_incident(new_incident, payload))[0].correlation_id
    for form in FORMS:
        file = tmp_path / f"out-{form}"
        answer = here("export", name, "--format", form, "-o", str(file))
        assert SECRET not in answer.err
        if answer.code == 0:
            content = file.read_bytes()
            assert SECRET.encode() not in (gzip.decompress(content) if form == "pprof" else content)
        else:
            assert "refused" in answer.err
            assert not file.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--format", "pprof", "-o", "-"],
        ["export", "1", "2", "--format", "folded", "-o", "-"],
        ["export", "-S", "1h", "--format", "folded", "-o", "-"],
        ["export", "1", "--format", "gif", "-o", "-"],
        ["compare", "1"],
        ["compare", "1", "2", "-o", "xml"],
        ["compare", "1", "2", "--format", "flamegraph"],
        ["compare", "1", "2", "--format", "flamegraph", "--json", "-o", "x"],
        ["compare", "1", "2", "--json", "-o", "table"],
        ["compare", "1", "2", "--raw"],
    ],
    ids=" ".join,
)
def test_words_that_do_not_fit_end_with_2(words, here, two) -> None:
    answer = here(*words)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_an_incident_without_a_profile_ends_with_3(here, store, new_incident) -> None:
    incident = new_incident()
    bare = replace(incident, captures=incident.captures[:1])
    name = store.save_incident(bare)[0].correlation_id
    answer = here("export", name, "--format", "folded", "-o", "-")
    assert (answer.code, answer.out) == (3, "")
    assert f"`monitord show {name[:8]}`" in answer.err  # the name that every page shows


def test_damaged_evidence_is_one_line(here, store, new_incident, tmp_path) -> None:
    """The evidence of the usual fixture is no speedscope file."""
    name = store.save_incident(new_incident())[0].correlation_id
    answer = here("export", name, "--format", "pprof", "-o", str(tmp_path / "out"))
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "speedscope" in answer.err
    assert not (tmp_path / "out").exists()


def test_evidence_that_unpacks_to_too_much_is_not_unpacked(here, store, new_incident, tmp_path) -> None:
    """Zeros pack a thousandfold: what the artefact says of its size is looked at before it is read."""
    bomb = tmp_path / "bomb"
    with bomb.open("wb") as file:
        file.truncate(300 << 20)
    incident = new_incident()
    captures = tuple(
        replace(one, payload=None, path=bomb) if one.format == "speedscope" else one
        for one in incident.captures
    )
    name = store.save_incident(replace(incident, captures=captures))[0].correlation_id
    answer = here("export", name, "--format", "folded", "-o", str(tmp_path / "out"))
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "314,572,800 bytes" in answer.err


@pytest.mark.parametrize("form", [*FORMS, "report", "markdown", "json", "csv"])
def test_a_secret_in_a_functions_name_or_file_leaves_in_no_form(
    form: str, here, store, new_incident, tmp_path
) -> None:
    """A secret that stands nowhere but in frames: no command line or source has told it."""
    stack = "main (/srv/app/main.py:1);load_{0} (/srv/{0}/main.py:2);call (/srv/password={1}/x.py:3);leaf (/home/alice/{0}.py:4)"
    planted = ("ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a", "Zq8vLp-7hunter")
    payload = f"{stack.format(*planted)} 100\n".encode()
    name = store.save_incident(_incident(new_incident, payload))[0].correlation_id
    file = tmp_path / "written"
    assert here("export", name, "--format", form, "-o", str(file)).code == 0
    content = file.read_bytes()
    content = gzip.decompress(content) if form == "pprof" else content
    assert [secret for secret in (*planted, "alice") if secret.encode() in content] == []
    if form != "csv":
        assert b"leaf" in content or b"main" in content, "the functions are in it"


# ------------------------------------------------------------------------------------- compare


def test_two_incidents_are_compared_for_a_person(here, two) -> None:
    answer = here("compare", *two)
    assert answer.code == 0
    lines = answer.out.splitlines()
    parse_line = next(line for line in lines if " parse" in line)
    assert "50 %" in parse_line
    assert "90 %" in parse_line
    assert "hotter  parse  (code changed)" in parse_line
    assert any("cooler  send  (same code)" in line for line in lines)
    assert any("› line" in line for line in lines)


def test_the_same_code_that_got_slower_is_called_so(here, store, new_incident) -> None:
    names = [
        store.save_incident(_incident(new_incident, _folded(*counts)))[0].correlation_id
        for counts in ((500, 500), (900, 100))
    ]
    answer = here("compare", *names)
    assert "hotter  parse  (same code, slower)" in answer.out
    assert "slower: the same code has a larger share" in answer.out


def test_noise_is_said_to_be_noise(here, store, new_incident) -> None:
    names = [
        store.save_incident(_incident(new_incident, _folded(*counts)))[0].correlation_id
        for counts in ((500, 500), (510, 490))
    ]
    answer = here("compare", *names)
    assert "no function's share moved by more than chance explains" in answer.out
    assert "2 moved by less than chance explains" in answer.out
    assert here("compare", *names, "--all").out.count(" noise") == 2


def test_callers_that_took_nothing_themselves_are_counted_not_listed(here, store, new_incident) -> None:
    """A row of 0 % before and now says nothing, though what the function calls is new or gone."""
    names = [
        store.save_incident(_incident(new_incident, _folded(*counts)))[0].correlation_id
        for counts in ((1000, 0), (0, 1000))
    ]
    payload = b"other (/srv/app/main.py:1);caller (/srv/app/main.py:2);leaf (/srv/app/main.py:3) 1000\n"
    third = store.save_incident(_incident(new_incident, payload))[0].correlation_id
    answer = here("compare", names[0], third)
    assert "gone  parse" in answer.out
    assert "new  leaf" in answer.out
    assert not any(word in answer.out for word in ("caller", "other ", "   0 %    0 %"))
    assert re.search(r"^[1-9]\d* more differ; ", answer.out, re.MULTILINE)
    assert "caller" in here("compare", names[0], third, "--all").out


def test_a_share_that_is_shown_as_it_was_is_unchanged(here, store, new_incident) -> None:
    """Whatever moved it: what it calls, or less than one percent. No line says "0 % → 0 % hotter"."""
    before = b"main (/srv/app/main.py:1);a (/srv/app/main.py:9) 90000\nb (/srv/app/main.py:8) 10000\n"
    after = b"main (/srv/app/main.py:1);a (/srv/app/main.py:9) 89600\nb (/srv/app/main.py:8) 10400\n"
    names = [
        store.save_incident(_incident(new_incident, payload))[0].correlation_id for payload in (before, after)
    ]
    found = json.loads(here("compare", *names, "-o", "json").out)
    assert {one["function"]: one["verdict"] for one in found["differences"]} == {
        "main": "cooler", "a": "cooler", "b": "hotter",
    }, "programs get what the numbers say"  # fmt: skip
    rows = here("compare", *names, "--all").out.splitlines()[4:]
    assert [row.split() for row in rows if row.endswith("main.py")]
    for row in rows:
        if shares := re.findall(r"(\d+) %", row)[:2]:
            assert (shares[0] == shares[1]) == ("unchanged" in row), row


def test_edited_code_is_shown_where_its_share_did_not_move(here, store, new_incident) -> None:
    edited = SOURCE.replace(
        "def parse(items):\n    return items", "def parse(items):\n    return sorted(items)"
    )
    names = [
        store.save_incident(_incident(new_incident, *words))[0].correlation_id
        for words in ((_folded(500, 500), SOURCE), (_folded(510, 490), edited))
    ]
    out = here("compare", *names).out
    assert "noise  parse  (code changed)" in out
    assert "send" not in out


def test_two_incidents_are_compared_for_a_program(here, two) -> None:
    answer = json.loads(here("compare", *two, "-o", "json").out)
    assert (answer["before"]["correlation_id"], answer["after"]["correlation_id"]) == two
    first = answer["differences"][0]
    assert (first["function"], first["verdict"], first["code"], first["is_noise"]) == (
        "parse",
        "hotter",
        "changed",
        False,
    )
    assert answer == json.loads(here("compare", *two, "--json").out)


def test_two_incidents_in_one_flame_graph(here, two, tmp_path) -> None:
    file = tmp_path / "diff.html"
    answer = here("compare", *two, "--format", "flamegraph", "-o", str(file))
    assert (answer.code, answer.out) == (0, "")
    page = file.read_text()
    assert "compared with" in page
    assert "alice" not in page
    raw = here("compare", *two, "--format", "flamegraph", "-o", str(file), "--raw")
    assert raw.code == 0
    assert "alice" in file.read_text()


# ---------------------------------------------------------------------------------------- show


def test_show_prints_the_hottest_line_beside_its_share(here, two) -> None:
    out = here("show", two[1]).out
    assert "› return sorted(items)" in out
    assert "90 % ±2" in out


def test_hostile_source_lines_stay_on_their_line(here, store, new_incident) -> None:
    spot = Hotspot("f", "/srv/x.py", 1, 0.5, 0.5, source_line="\x1b[31m evil\u202e\n\r" + "x" * 500)
    name = store.save_incident(new_incident(hotspots=(spot,)))[0].correlation_id
    out = here("show", name).out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert max(map(len, out.splitlines())) < 200


def test_hotspots_come_back_as_they_were_and_old_ones_stay_readable(store, new_incident, data_dir) -> None:
    """Rows of before this version have none of the new values; a later version may have more."""
    import sqlite3

    from monitord.storage.queries import StoreReader

    spot = Hotspot(
        "f", "/x.py", 3, 0.5, 0.5, module="x", share_error=0.1, func_id="a" * 16, stmt_id="b" * 16, func_hash="c" * 16,
        arity=0, ast_version="3.11", source_state="same", source_line="x = 1", statements=(Statement(3, 0.5, "b" * 16),),
    )  # fmt: skip
    name = store.save_incident(new_incident(hotspots=(spot, Hotspot("g", None, None, 0.0, 1.0))))[
        0
    ].correlation_id
    with StoreReader(data_dir) as reader:
        assert reader.incident(name).hotspots == (spot, Hotspot("g", None, None, 0.0, 1.0))
    old = '[{"function": "f", "file": "/x.py", "line": 3, "self_share": 0.5, "total_share": 0.5, "kind": "python", "module": null, "later": 1}]'
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.execute("UPDATE incident SET hotspots = ? WHERE correlation_id = ?", [old, name])
    with StoreReader(data_dir) as reader:
        assert reader.incident(name).hotspots == (Hotspot("f", "/x.py", 3, 0.5, 0.5),)
