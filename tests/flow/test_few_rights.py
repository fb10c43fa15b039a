"""A recorder without rights: it has its own user's stacks, and says wherever they are shown what is missing."""

from __future__ import annotations

from collections.abc import Callable

from tests.flow.recorder import FAST, Recorder
from tests.flow.test_black_box import PROGRAM, RULE, before, box_of, ended_targets, functions, start
from tests.strangers import without

__all__ = ["ended_targets"]


def test_what_fewer_rights_take_away_is_said_wherever_stacks_are_shown(
    recorder: Callable[..., Recorder],
) -> None:
    """Its own processes have stacks from before an alert; of what else there is doctor has the fix."""
    daemon = recorder(RULE, FAST).start(prefix=tuple(without()))
    daemon.wait_for(lambda: box_of(daemon).get("state") == "on", "the black box to be on")
    assert box_of(daemon)["scope"] in ("own processes", "dumps")
    why = box_of(daemon)["reason"]
    assert "the kernel grants no ring" in why
    assert "`monitord doctor` has the fix" in why
    target = start(daemon, *without(), daemon.interpreter, "-c", PROGRAM + "load_orders(100)")
    incident = daemon.incident(pid=target.pid)
    assert "load_orders" in functions(incident)
    assert why in str(before(incident)["notes"])
    for question in (["show", str(incident["id"])], ["status"]):
        words = " ".join(daemon.answer(*question)[1].split())
        assert words.count("`monitord doctor` has the fix") == 1, (question, words)
    unread = incident["context"]["unread"]
    assert "stack: permission denied (to change that: " in unread, "the kernel's own stacks of its threads"
    for question in ("show", "explain"):
        assert unread in " ".join(daemon.answer(question, str(incident["id"]))[1].split())
