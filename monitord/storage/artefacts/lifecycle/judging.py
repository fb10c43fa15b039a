"""What all policies together decide: pure, so that it can be foretold, and tried with any stock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitord.storage.artefacts.lifecycle.policy import Item, LifecyclePolicy, Stock, mild_first


@dataclass(frozen=True, slots=True)
class Decision:
    """One item that goes: by which policy, and the bytes it takes."""

    key: str
    policy: str
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be moved and deleted, in the order in which it should be done.

    `left` is what will be there then. `broken` maps the policies that raised to what they said; they decided
    nothing.
    """

    left: Stock
    archive: tuple[Decision, ...] = ()
    delete: tuple[Decision, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)


def judge(policies: Mapping[str, LifecyclePolicy], stock: Stock, now: datetime) -> Verdict:
    """Ask the policies one after the other; each sees what those before it leave.

    Pinned items stay. What one policy archives and a later one deletes is only deleted.
    """
    archive: dict[str, Decision] = {}
    delete: dict[str, Decision] = {}
    broken: dict[str, str] = {}
    for name, policy in policies.items():
        try:
            outgoing, doomed = _ask(policy, stock, now)
        except Exception as error:  # noqa: BLE001  a policy may be anybody's; the others still count
            broken[name] = f"{type(error).__name__}: {error}"
            continue
        delete |= {item.key: Decision(item.key, name, item.stored_size) for item in doomed}
        archive |= {item.key: Decision(item.key, name, item.stored_size) for item in outgoing}
        gone = {item.key for item in doomed}
        stock = stock.without(gone).archived({item.key for item in outgoing})
    return Verdict(
        left=stock,
        archive=tuple(decision for key, decision in archive.items() if key not in delete),
        delete=tuple(delete.values()),
        broken=broken,
    )


def _ask(policy: LifecyclePolicy, stock: Stock, now: datetime) -> tuple[list[Item], list[Item]]:
    """What this policy would archive and delete, mildest first."""
    ready = policy.consider(stock, now)
    doomed = [item for item in stock.movable if ready.should_delete(item)]
    going = {item.key for item in doomed}
    outgoing = [
        item
        for item in stock.movable
        if item.archived_in is None and item.key not in going and ready.should_archive(item)
    ]
    return sorted(outgoing, key=mild_first), sorted(doomed, key=mild_first)
