"""`python -m monitord.actions.own_policies`: lets the evidence go that policies of other packages choose.

A child of the recorder, because nobody else's code runs in that. The policies are entry points in the group
`monitord.retention_policies`, each a callable that gives a LifecyclePolicy; pinned incidents are never shown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from monitord import logs, rights
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError
from monitord.jobs import RetentionManager
from monitord.jobs.plan import EVIDENCES
from monitord.model import counted
from monitord.plugins import load_plugin
from monitord.recorder.artefact_stores import POLICY_GROUP
from monitord.recorder.from_settings import retention_limits
from monitord.scheduling import TaskResult
from monitord.storage.artefacts.lifecycle import Cut, Stock, judge
from monitord.storage.incident_stock import correlation_id_of


def main() -> int:
    """Do it once and print how it went, as JSON."""
    parser = argparse.ArgumentParser(prog="monitord own policies")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        done = run(Workspace(arguments.data_dir, arguments.config))
    except MonitordError as error:
        done = TaskResult("failed", str(error))
    print(json.dumps({"outcome": done.outcome, "detail": done.detail}), flush=True)  # noqa: T201  the answer
    return 0 if done.outcome == "ok" else 1


def run(workspace: Workspace) -> TaskResult:
    """Ask every configured policy, and make summaries of what they let go."""
    settings = workspace.settings
    logs.configure(settings.log.level, settings.log.style)
    rights.keep_only(())
    policies = {name: load_plugin(POLICY_GROUP, name)() for name in settings.retention.policies}
    now = datetime.now(UTC)
    with workspace.store() as store:
        manager = RetentionManager(store, retention_limits(settings))
        postponed = manager.purge_expired(now, dry_run=True).postponed
        if postponed:  # what judges by the clock must not be asked while the clock is in doubt
            policies = {name: each for name, each in policies.items() if each.get_retention_period() is None}
        usage = store.usage()
        items = store.incidents(usage, {}, now).select((Cut(EVIDENCES),))
        verdict = judge(policies, Stock.of(items, usage.total_bytes, usage.free_disk_bytes), now)
        store.drop_evidence([correlation_id_of(each.key) for each in verdict.delete])
    said = f"evidence of {counted(len(verdict.delete), 'incident')} went"
    if verdict.broken:
        return TaskResult("failed", "; ".join(f"{name}: {why}" for name, why in verdict.broken.items()))
    return TaskResult("ok", f"{said}; nothing by age: {postponed}" if postponed else said)


def _end_with_parent() -> None:
    """End when stdin is closed: the recorder that holds its other end is gone."""
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
