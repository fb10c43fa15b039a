"""What all policies together decide, which is pure, and LifecycleManager, which carries it out.

One item that can't go keeps no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from monitord.errors import MonitordError, StorageError
from monitord.scheduling import ScheduledTask, TaskResult, TaskScheduler
from monitord.storage.artefacts.errors import TransientError
from monitord.storage.artefacts.lifecycle.inventory import Inventory
from monitord.storage.artefacts.lifecycle.policy import Item, LifecyclePolicy, Stock, mild_first

_BATCH = 20  # as many as one short transaction should hold
_EVERY_S = 3600.0


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
            archived, deleted = _ask(policy, stock, now)
        except Exception as error:  # noqa: BLE001  a policy may be anybody's; the others still count
            broken[name] = f"{type(error).__name__}: {error}"
            continue
        delete |= {item.key: Decision(item.key, name, item.stored_size) for item in deleted}
        archive |= {item.key: Decision(item.key, name, item.stored_size) for item in archived}
        gone = {item.key for item in deleted}
        stock = stock.without(gone).archived({item.key for item in archived})
    return Verdict(
        left=stock,
        archive=tuple(decision for key, decision in archive.items() if key not in delete),
        delete=tuple(delete.values()),
        broken=broken,
    )


def _ask(policy: LifecyclePolicy, stock: Stock, now: datetime) -> tuple[list[Item], list[Item]]:
    """What this policy would archive and delete, mildest first."""
    ready = policy.consider(stock, now)
    deleted = [item for item in stock.movable if ready.should_delete(item)]
    going = {item.key for item in deleted}
    archived = [
        item
        for item in stock.movable
        if item.archived_in is None and item.key not in going and ready.should_archive(item)
    ]
    return sorted(archived, key=mild_first), sorted(deleted, key=mild_first)


class LifecycleError(StorageError):
    """The policies could not be applied at all."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that should have gone and is there still; not even tried when the store itself was sick."""

    key: str
    policy: str
    error: Exception
    is_tried: bool = True


@dataclass(frozen=True, slots=True)
class LifecycleReport:
    """What was archived and deleted, or would be when `is_dry_run`; and what went wrong.

    `left` is what should be there now, by what was known before. `broken` maps policies that raised to what
    they said.
    """

    left: Stock
    archived: tuple[Decision, ...] = ()
    deleted: tuple[Decision, ...] = ()
    failures: tuple[Failure, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    is_dry_run: bool = False

    @property
    def is_fine(self) -> bool:
        """Whether every policy spoke and everything went that should."""
        return not (self.failures or self.broken)

    def summary(self) -> str:
        """One line for logs and tables."""
        words = "would archive {} and delete {}" if self.is_dry_run else "archived {} and deleted {}"
        line = words.format(len(self.archived), len(self.deleted))
        if self.failures:
            line += f"; {len(self.failures)} could not go, the first: {self.failures[0].error}"
        if self.broken:
            line += "; " + ", ".join(f"policy {name!r} failed: {said}" for name, said in self.broken.items())
        return line


class LifecycleManager:
    """Applies policies, in their order, to an inventory."""

    def __init__(
        self,
        policies: Mapping[str, LifecyclePolicy],
        inventory: Inventory,
        scheduler: TaskScheduler | None = None,
        *,
        every_s: float = _EVERY_S,
    ) -> None:
        """With a scheduler, `lifecycle` becomes one of its tasks, every `every_s` seconds."""
        self.policies = policies
        self.inventory = inventory
        self.scheduler = scheduler
        if scheduler is not None:
            scheduler.schedule_task(self.task("lifecycle", every_s))

    def task(self, name: str, every_s: float, first_after_s: float = 0.0) -> ScheduledTask:
        """Make a task of applying the policies, which fails when anything could not go."""

        def run(now: datetime) -> TaskResult:
            report = self.apply_policies(now)
            return TaskResult("ok" if report.is_fine else "failed", report.summary())

        return ScheduledTask(name, every_s, first_after_s, run)

    def apply_policies(self, now: datetime, *, dry_run: bool = False) -> LifecycleReport:
        """Archive and delete what the policies say; with `dry_run` only tell.

        A policy that raises and an item that can't go stop nothing else and are reported. Raises
        LifecycleError when it can't be seen what there is.
        """
        try:
            stock = self.inventory.stock()
        except (MonitordError, OSError) as error:
            raise LifecycleError(f"cannot list what is kept: {error}") from error
        verdict = judge(self.policies, stock, now)
        if dry_run:
            return LifecycleReport(
                verdict.left, verdict.archive, verdict.delete, broken=verdict.broken, is_dry_run=True
            )
        return self._carry_out(verdict, stock)

    def _carry_out(self, verdict: Verdict, stock: Stock) -> LifecycleReport:
        archived, kept_here = _told_apart(carry_out(self.inventory.archive, verdict.archive))
        deleted, still_there = _told_apart(carry_out(self.inventory.delete, verdict.delete))
        left = stock.archived({decision.key for decision in archived})
        return LifecycleReport(
            left.without({decision.key for decision in deleted}),
            archived,
            deleted,
            (*kept_here, *still_there),
            verdict.broken,
        )


Act = Callable[[Sequence[str]], None]


def carry_out(act: Act, decisions: Iterable[Decision]) -> Iterator[Decision | Failure]:
    """Act on all, in batches, and one by one where a batch fails; each decision, or its failure.

    When two items in a row fail with the very same words, these are not about an item: the store itself
    can't, and nobody waits for the rest to be refused as well. What is worth another try is left out of that:
    the items of one provider may fail together while those of another are fine.
    """
    last: list[Failure] = []  # the last two
    pending = iter(decisions)
    while batch := list(islice(pending, _BATCH)):
        if not _is_sick(last) and len(batch) > 1 and _attempt(act, batch) is None:
            yield from batch
            continue
        for each in batch:
            is_tried = not _is_sick(last)
            error = _attempt(act, [each]) if is_tried else last[-1].error
            if error is None:
                yield each
            else:
                failure = Failure(each.key, each.policy, error, is_tried)
                last = [*last[-1:], failure]
                yield failure


def _attempt(act: Act, decisions: Sequence[Decision]) -> Exception | None:
    try:
        act([each.key for each in decisions])
    except (MonitordError, OSError) as error:
        return error
    return None


def _is_sick(failures: Sequence[Failure]) -> bool:
    if len(failures) < 2 or isinstance(failures[-1].error, TransientError):
        return False
    return str(failures[-1].error) == str(failures[-2].error)


def _told_apart(
    outcomes: Iterable[Decision | Failure],
) -> tuple[tuple[Decision, ...], tuple[Failure, ...]]:
    done: list[Decision] = []
    failures: list[Failure] = []
    for each in outcomes:
        done.append(each) if isinstance(each, Decision) else failures.append(each)
    return tuple(done), tuple(failures)
