"""A whole state copied into another backend, each record read back and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitord.errors import UsageError
from monitord.storage.state.backend import StateBackend, deadline
from monitord.storage.state.errors import StateUnavailableError
from monitord.storage.state.items import DEADLINE_S, Write
from monitord.storage.state.names import Address

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did: items that are in both now, and those that ended or changed while it went on."""

    items: int
    namespaces: int
    missed: int


def copy_state(
    source: StateBackend,
    target: StateBackend,
    now_us: int,
    *,
    merge: bool = False,
    within_s: float = DEADLINE_S,
) -> Copied:
    """Copy every live item with its times and version; into a state that has none, unless to `merge`.

    Items of equal names are replaced. Each question may take `within_s`. Raises UsageError for a target in
    use, StateUnavailableError when a record does not come back as it was written.
    """
    with deadline(within_s):
        if not merge and target.namespaces(now_us):
            raise UsageError(
                "cannot copy into a state with items; try --merge, which replaces those of equal names"
            )
    with deadline(within_s):
        namespaces = source.namespaces(now_us)
    items = missed = 0
    for user_id, session_id, _count in namespaces:
        with deadline(within_s):
            keys = source.keys(user_id, session_id, now_us)
        for some in _batches([Address(user_id, session_id, key) for key in keys], target.changes_at_once):
            count = _copied(source, target, some, now_us, within_s)
            items, missed = items + count, missed + len(some) - count
    return Copied(items, len(namespaces), missed)


def _batches(addresses: Sequence[Address], at_once: int | None) -> Iterator[Sequence[Address]]:
    step = min(_AT_ONCE, at_once or _AT_ONCE)
    for start in range(0, len(addresses), step):
        yield addresses[start : start + step]


def _copied(
    source: StateBackend, target: StateBackend, addresses: Sequence[Address], now_us: int, within_s: float
) -> int:
    with deadline(within_s):
        records = source.read(addresses, now_us)
    writes = [Write(*at, record) for at, record in zip(addresses, records, strict=True) if record is not None]
    if not writes:
        return 0
    with deadline(within_s):
        target.write(writes, now_us)
    with deadline(within_s):
        found = target.read([Address(each.user_id, each.session_id, each.key) for each in writes], now_us)
    wrong = sum(there != each.record for there, each in zip(found, writes, strict=True))
    if wrong:
        raise StateUnavailableError(
            f"cannot copy: {wrong} of {len(writes)} items are not as they were written"
        )
    return len(writes)
