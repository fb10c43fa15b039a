"""An incident has one name: the short id that is shown is the one that everything prints and takes."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from monitord import logs
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.storage.ids import LENGTH, is_id_prefix, new_correlation_id, short_id

NOW = datetime.now(UTC)
TAKING = (
    "show {0} -o json",
    "explain {0} -o json",
    "events --incident {0} -o json",
    "compare {0} {1} -o json",
    "export {0} -o -",
    "reveal {0}",
    "keep {0}",
    "keep {0} --undo",
    "note {0} x",
    "delete {0} --yes",
)
PRINTING = (
    "recent",
    "show {0}",
    "explain {0}",
    "events",
    "compare {0} {1}",
    "keep {0}",
    "keep {0} --undo",
    "note {0} x",
    "status",
    "storage verify",
    "storage verify --repair",
    "storage gc --dry-run",
    "storage gc",
    "db check",
    "retention run --dry-run",
    "storage rm {key}",
    "storage stat {key}",
    "export {0} -o -  --format csv",
    "delete {0}",
    "delete {0} --yes",
)
AS_DATA = ("export",)  # what programs read has the whole id


def whole_ids(text: str, ids: list[str]) -> list[str]:
    """Whole ids in a text for people; the key of an artefact holds one, and is a name of its own."""
    bare = re.sub(r"\S*[0-9]{8}T[0-9]{6}Z-\S+", "", text)
    return [one for one in ids if one in bare]


@pytest.mark.parametrize("call", TAKING)
def test_every_command_takes_the_short_id_the_whole_one_and_the_row(call, here, store, new_incident) -> None:
    """And answers about that very incident."""
    codes = set()
    for form in ("short", "beginning", "whole", "row"):
        records = [store.save_incident(new_incident(at=NOW - timedelta(minutes=5)))[0] for _ in range(2)]
        names = {
            "short": [short_id(each.correlation_id) for each in records],
            "beginning": [each.correlation_id[:10] for each in records],
            "whole": [each.correlation_id for each in records],
            "row": [str(each.id) for each in records],
        }[form]
        answer = here(*call.format(*names).split())
        codes.add(answer.code)
        assert short_id(records[0].correlation_id) in answer.out + answer.err or call.startswith("compare")
    assert codes == {1 if call.startswith("compare") else 0}, "of empty profiles nothing can be compared"


@pytest.mark.parametrize("call", PRINTING)
def test_people_are_shown_the_short_id_alone(call, here, store, new_incident, data_dir) -> None:
    """Of sound incidents, and of some whose artefact or row is gone."""
    records = [store.save_incident(new_incident(at=NOW - timedelta(minutes=n))) for n in (1, 2, 3, 4)]
    ids = [each[0].correlation_id for each in records]
    keys = sorted(path for path in (data_dir / "artefacts").rglob("*") if path.is_file())
    for path in keys:
        if f"-{ids[3]}-" in path.name:
            path.write_bytes(b"damaged")
        if f"-{ids[2]}-" in path.name:
            path.unlink()
    key = next(path.name for path in keys if f"-{ids[0]}-incident" in path.name)
    status = {"pid": 1, "taken_at": datetime.now(UTC), "interval_s": 2.0, "last_incident": ids[0]}
    with hold(data_dir / DAEMON_LOCK, "busy"):
        write_status(data_dir, {**status, "capture": {"correlation_id": ids[1], "since": datetime.now(UTC)}})
        answer = here(*call.format(short_id(ids[0]), short_id(ids[1]), key=key).split())
    said = answer.err if call.startswith(AS_DATA) else answer.out + answer.err
    assert answer.code in (0, 1, 2, 75), said
    assert whole_ids(said, ids) == []


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_log_lines_name_incidents_as_tables_do(style: str) -> None:
    """Whatever line has a correlation id."""
    stream = io.StringIO()
    name = new_correlation_id()
    try:
        logs.configure("debug", style, stream)
        logs.get_logger().info("incident.saved", correlation_id=name, captures=2)
    finally:
        logs.configure()
    line = stream.getvalue()
    assert name not in line
    said = json.loads(line)["incident"] if style == "json" else re.search(r"incident=(\w+)", line)[1]
    assert said == short_id(name)


def test_candidates_are_told_by_names_that_can_be_typed(here, store, new_incident) -> None:
    ids = [store.save_incident(new_incident())[0].correlation_id for _ in range(30)]
    first = next(name[0] for name in ids if sum(other[0] == name[0] for other in ids) > 1)
    answer = here("show", first)
    named = re.findall(r"[a-z2-7]{8,}", answer.err.split("incidents: ")[1].split(" and ")[0])
    assert answer.code == 2
    assert all(here("show", name, "-o", "json").code == 0 for name in named)
    assert named


def test_a_short_id_is_a_beginning_that_commands_take() -> None:
    for _ in range(100):
        name = new_correlation_id()
        assert len(name) == LENGTH
        assert name.startswith(short_id(name))
        assert is_id_prefix(short_id(name))
        assert not short_id(name).isdigit()
