"""The stacks of a brushed span: of the seconds that were asked for, from whoever's box reaches into them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitord.actions.comparing import evidence
from monitord.actions.stacks import LONGEST_S, stored_stacks
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError, NotFoundError, UsageError
from monitord.model import SNAPSHOT, Capture, CaptureStatus, ProcessKey
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.fakes import START
from tests.profiles.ring_documents import RingDocument, native, python, shop


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def with_box(
    data_dir: Path,
    document: bytes,
    *,
    ends_at: datetime,
    length_s: float = 100.0,
    pid: int = 4321,
    **alert: object,
) -> str:
    """An incident with what the box had of it, as the recorder stores it."""
    made = make_incident(pid=pid, at=ends_at)
    held = Capture(
        role="before", profiler="ring", status=CaptureStatus.OK, started_at=ends_at - timedelta(seconds=length_s),
        duration_s=length_s, target=ProcessKey(pid, 1000 + pid), format="ring", payload=document,
    )  # fmt: skip
    store = open_store(data_dir)
    store.save_incident(replace(made, captures=(*made.captures, held), alert=replace(made.alert, **alert)))
    store.close()
    return made.correlation_id


def functions(answer: dict) -> set[str]:
    return {name for name, _place, kind in answer["tree"]["functions"] if kind != "group"}


def test_a_span_has_the_stacks_of_its_own_seconds_alone(data_dir: Path) -> None:
    """What ran before and after the brushed seconds is not in them, and its CPU is not counted."""
    with_box(data_dir, shop().payload(), ends_at=after(100))
    workspace = Workspace(data_dir)
    early = stored_stacks(workspace, after(81), after(85)).as_json()
    assert {"load_orders", "spin"} <= functions(early)
    assert "price_basket" not in functions(early)
    late = stored_stacks(workspace, after(90), after(91)).as_json()
    assert "load_orders" not in functions(late)
    shop_itself = next(one for one in late["consumers"] if one["name"] == "shop")
    assert (shop_itself["function"], round(shop_itself["cpu_percent"], -1)) == ("price_basket", 90)
    assert late["cpu_seconds"] == pytest.approx(1.9, abs=0.15)
    assert json.loads(json.dumps(late)) == late


def test_a_tree_adds_up(data_dir: Path) -> None:
    """Each node's value is its own and its children's, and the first node's is all that was used."""
    with_box(data_dir, shop().payload(), ends_at=after(100))
    answer = stored_stacks(Workspace(data_dir), after(0), after(100)).as_json()
    nodes = answer["tree"]["nodes"]
    for number, (_parent, _function, total, own, _before) in enumerate(nodes):
        assert total == own + sum(node[2] for node in nodes if node[0] == number)
    assert nodes[0][2] == answer["tree"]["total"] == answer["sample_count"]


def test_a_snapshot_of_the_machine_tells_before_an_incident_of_one_process(data_dir: Path) -> None:
    """Both reach into the span: everybody's stacks come first, the others are offered; one can be asked for by name."""
    one = with_box(data_dir, shop().payload(), ends_at=after(100))
    all_of_it = with_box(data_dir, shop().payload(), ends_at=after(110), pid=0, rule=SNAPSHOT)
    workspace = Workspace(data_dir)
    found = stored_stacks(workspace, after(95), after(96))
    assert found.origin["incident"] == all_of_it
    assert [other.incident for other in found.others] == [one]
    assert stored_stacks(workspace, after(95), after(96), one[:8]).origin["incident"] == one


def test_a_profile_s_title_says_what_was_measured_as_every_page_does(data_dir: Path) -> None:
    """Of a snapshot that it is one, and of how long; of an alert the metric and the value."""
    alert = with_box(data_dir, shop().payload(), ends_at=after(100))
    snapshot = with_box(data_dir, shop().payload(), ends_at=after(110), rule=SNAPSHOT, window_s=60.0)
    workspace = Workspace(data_dir)
    assert evidence(workspace, alert).title.endswith(", cpu 97 %")
    assert "snapshot of 60 s" in evidence(workspace, snapshot).title


def test_where_nothing_is_stored_it_says_what_to_type(data_dir: Path) -> None:
    """Of a quiet time no stacks are kept, and the answer names the two commands that show some."""
    with_box(data_dir, shop().payload(), ends_at=after(100))
    with pytest.raises(NotFoundError, match=r"`monitord snapshot` .* `monitord top`"):
        stored_stacks(Workspace(data_dir), after(500), after(501))


@pytest.mark.parametrize("length_s", [0, -5, LONGEST_S + 1])
def test_a_span_that_cannot_be_is_refused(length_s: float, data_dir: Path) -> None:
    """Backwards, empty, or longer than any box."""
    with pytest.raises(UsageError):
        stored_stacks(Workspace(data_dir), START, after(length_s))


def test_a_damaged_document_is_an_error_in_one_line(data_dir: Path) -> None:
    """What stands in an artefact is an attacker's: not JSON, other keys, numbers beyond everything."""
    for number, document in enumerate(
        (b"\xff\x00", b"{}", b"[" * 50_000, shop().payload().replace(b"500000000000", b"1e999"))
    ):
        made = with_box(data_dir, document, ends_at=after(100 + 1000 * number))
        at = after(99 + 1000 * number)
        with pytest.raises(MonitordError) as refused:
            stored_stacks(Workspace(data_dir), at, at + timedelta(seconds=1), made)
        assert "\n" not in str(refused.value)


def test_hostile_names_stay_text(data_dir: Path) -> None:
    """Names of processes and functions come out as values, with secrets hidden, whatever they spell."""
    document = RingDocument()
    thread = document.process(4321, "<script>alert(1)</script>", is_target=True)
    document.ran(thread, [python("<img src=x onerror=alert(1)>"), native("--password=hunter2secret")], 0, 100)
    with_box(data_dir, document.payload(), ends_at=after(100))
    answer = stored_stacks(Workspace(data_dir), after(10), after(20)).as_json()
    assert "<img src=x onerror=alert(1)>" in functions(answer)
    assert "hunter2secret" not in json.dumps(answer)
