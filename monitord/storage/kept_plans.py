"""Capture plans in an artefact, too: one has them all, so that they come back with a lost database.

While there is a database it is what counts: a plan is written there first and deleted there last, so that a
kill in between leaves an artefact with too few plans and never one with too many. Loaded where there are any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from monitord.errors import StorageError, UsageError
from monitord.logs import get_logger
from monitord.model import NamedPlan
from monitord.storage.artefacts import PLANS_KEY, StorageManager
from monitord.storage.plans import (
    delete_capture_plan,
    get_capture_plan,
    kept_as,
    names_of,
    parsed,
    store_capture_plan,
)
from monitord.storage.state import Storage

_KIND = "plans"
_LIMIT_BYTES = 4 << 20


def keep_plan(artefacts: StorageManager, state: Storage, plan: NamedPlan) -> None:
    """Keep a plan, in place of the one of its name; raises UsageError for one that can't be, or too many."""
    _payload({**_held(state), plan.name: kept_as(plan)})
    store_capture_plan(state, plan)
    _write(artefacts, _held(state))


def drop_plan(artefacts: StorageManager, state: Storage, name: str) -> None:
    """Remove a plan; raises NotFoundError."""
    held = dict(_held(state))
    if held.pop(name, None) is not None:
        _write(artefacts, held)
    delete_capture_plan(state, name)


def agree_on_plans(artefacts: StorageManager, state: Storage) -> int:
    """Bring plans back where the database has none, else the artefact to what it has; how many came back."""
    held = _held(state)
    try:
        kept = _read(artefacts)
    except StorageError as error:  # damaged, or encrypted with a key that is not at hand
        get_logger().warning("store.plans_unreadable", artefact=PLANS_KEY, reason=str(error))
        kept = {}
    if kept and not held:
        return sum(_take(state, name, text) for name, text in kept.items())
    if held != kept:
        try:
            _write(artefacts, held)
        except (StorageError, UsageError) as error:  # a full disk; it is written at the next start
            get_logger().warning("store.plans_not_kept", artefact=PLANS_KEY, reason=str(error))
    return 0


def _take(state: Storage, name: str, text: str) -> bool:
    try:
        store_capture_plan(state, parsed(name, text.encode()))
    except StorageError as error:
        get_logger().warning("store.plan_unreadable", plan=name, reason=str(error))
        return False
    return True


def _held(state: Storage) -> Mapping[str, str]:
    """The sound plans of the database, as they are kept there."""
    found = {}
    for name in names_of(state):
        try:
            found[name] = kept_as(get_capture_plan(state, name))
        except StorageError:
            continue  # `plan list` tells of it
    return found


def _read(artefacts: StorageManager) -> Mapping[str, str]:
    if not artefacts.exists(PLANS_KEY):
        return {}
    if artefacts.get_metadata(PLANS_KEY).size > _LIMIT_BYTES:
        raise StorageError(f"cannot read {PLANS_KEY}: it is larger than {_LIMIT_BYTES} bytes")
    try:
        plans = json.loads(artefacts.retrieve_data(PLANS_KEY))["plans"]
        return {str(name): str(text) for name, text in plans.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"cannot read {PLANS_KEY}: it holds no capture plans") from error


def _write(artefacts: StorageManager, plans: Mapping[str, str]) -> None:
    if not plans:
        artefacts.delete(PLANS_KEY)
        return
    payload = _payload(plans)
    kind = {"kind": _KIND}
    artefacts.store_data(PLANS_KEY, payload, tags=kind, content_type="application/json", attributes=kind)


def _payload(plans: Mapping[str, str]) -> bytes:
    """The artefact's bytes; raises UsageError for more than would be read again."""
    payload = json.dumps({"plans": dict(plans)}, separators=(",", ":")).encode("ascii")
    if len(payload) > _LIMIT_BYTES:
        raise UsageError(
            f"cannot keep so many capture plans: {len(payload):,} bytes, expected at most {_LIMIT_BYTES:,};"
            " `monitord plan delete NAME` makes room"
        )
    return payload
