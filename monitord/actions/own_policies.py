"""`python -m monitord.actions.own_policies`: lets the evidence go that policies of other packages choose.

A child of the recorder, because nobody else's code runs in that. The policies are entry points in the group
`monitord.retention_policies`, each a callable that gives a LifecyclePolicy; pinned incidents are never shown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitord import logs, rights
from monitord.actions.workspace import Workspace
from monitord.children import answer, end_with_parent
from monitord.errors import MonitordError
from monitord.jobs import RetentionManager
from monitord.jobs.plan import EVIDENCES
from monitord.model import counted
from monitord.plugins import load_plugin
from monitord.recorder.artefact_stores import POLICY_GROUP
from monitord.recorder.from_settings import retention_limits
from monitord.redaction import printable
from monitord.scheduling import TaskResult
from monitord.storage.artefacts.lifecycle import Cut, LifecyclePolicy, Stock, judge
from monitord.storage.incident_stock import correlation_id_of

_REASON_AT_MOST = 300


def main() -> int:
    """Do it once and print how it went, as JSON."""
    parser = argparse.ArgumentParser(prog="monitord own policies")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the answer, whatever a policy prints
            done = run(Workspace(arguments.data_dir, arguments.config))
    except MonitordError as error:
        done = TaskResult("failed", str(error))
    answer(done.outcome, done.detail)
    return 0 if done.outcome == "ok" else 1


def run(workspace: Workspace) -> TaskResult:
    """Ask every configured policy, and make summaries of what they let go."""
    settings = workspace.settings
    logs.configure(settings.log.level, settings.log.style)
    rights.keep_only(())
    made, broken = _made(settings.retention.policies)
    now = datetime.now(UTC)
    with workspace.store() as store:
        manager = RetentionManager(store, retention_limits(settings))
        postponed = manager.purge_expired(now, dry_run=True).postponed
        # What judges by the clock must not be asked while the clock is in doubt.
        policies = {each.name: each.policy for each in made if not (postponed and each.is_by_age)}
        usage = store.usage()
        items = store.incidents(usage, {}, now).select((Cut(EVIDENCES),))
        verdict = judge(policies, Stock.of(items, usage.total_bytes, usage.free_disk_bytes), now)
        store.drop_evidence([correlation_id_of(each.key) for each in verdict.delete])
    said = f"evidence of {counted(len(verdict.delete), 'incident')} went"
    if broken := {**broken, **verdict.broken}:
        why = "; ".join(f"{name}: {printable(reason)[:_REASON_AT_MOST]}" for name, reason in broken.items())
        return TaskResult("failed", f"{why}; {said}")
    return TaskResult("ok", f"{said}; nothing by age: {postponed}" if postponed else said)


@dataclass(frozen=True, slots=True)
class _Made:
    """A policy of another package, and whether it judges by age."""

    name: str
    policy: LifecyclePolicy
    is_by_age: bool


def _made(names: Sequence[str]) -> tuple[list[_Made], dict[str, str]]:
    """Make the policies, and why others can't be made: one that is broken stops no other."""
    made, broken = [], {}
    for name in names:
        try:
            policy = load_plugin(POLICY_GROUP, name)()
            made.append(_Made(name, policy, policy.get_retention_period() is not None))
        except Exception as error:  # noqa: BLE001  a policy may be anybody's
            kind = "" if isinstance(error, MonitordError) else f"{type(error).__name__}: "
            broken[name] = f"{kind}{error}"
    return made, broken


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
