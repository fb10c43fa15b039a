"""Pruner: takes the oldest events away in short transactions, so that nobody who writes waits long."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from monitord.storage.events.access import DataAccess, Which

Transaction = Callable[[], AbstractContextManager[Connection]]

LONGEST_HOLD_S = 0.05
_AIM_S = LONGEST_HOLD_S / 4  # a batch is planned by the one before it, and the next may be slower
_FIRST, _SMALLEST, LARGEST_BATCH = 100, 10, 2000
_BREATH_S = 0.001  # between batches: SQLite gives its lock to the next that asks


class Pruner:
    """Removes by id (which is time), by number, by type. `clock` gives seconds for the pace of batches."""

    def __init__(self, transaction: Transaction, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._transaction = transaction
        self._clock = clock
        self.batches: list[int] = []

    def remove(
        self,
        *,
        before: int | None = None,
        code: int | None = None,
        at_most: int | None = None,
        which: Which = "all",
    ) -> int:
        """The oldest go, until none is left that fits or `at_most` are gone; how many.

        `which` "loose" takes those that belong to no incident, "spare" these and the samples before one.
        """
        gone, size = 0, _FIRST
        self.batches = []
        while at_most is None or gone < at_most:
            wanted = size if at_most is None else min(size, at_most - gone)
            with self._transaction() as connection:
                began_s = self._clock()
                count = DataAccess(connection).delete_oldest(wanted, before, code, which)
            taken_s = self._clock() - began_s  # with the commit, which holds the lock as well
            gone += count
            self.batches.append(count)
            if count < wanted:
                return gone
            size = _next_size(size, taken_s)
            time.sleep(_BREATH_S)
        return gone


def _next_size(size: int, taken_s: float) -> int:
    """As many as should take the aimed time; at most twice as many as before."""
    fitting = int(size * _AIM_S / taken_s) if taken_s > 0 else LARGEST_BATCH
    return max(_SMALLEST, min(fitting, 2 * size, LARGEST_BATCH))
