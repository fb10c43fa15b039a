"""A recorder's writing without its watching: it does at random what a daemon does to its store, until it is killed.

Run: python history_process.py DATA_DIR SEED BUDGET_BYTES. On stdout, flushed at once: READY; what is durable
("ACK id whole|bare", "EVENT id", "STATE number"), said once the call returned; and what may go from now on
("GONE id", "DROP id"), said before. "ERR …" is a refusal.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.errors import MonitordError
from monitord.jobs import RetentionLimits
from monitord.model import Event, EventType, ProcessKey
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.retention_store import Saving
from monitord.storage import SQLiteProfileStore

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.fakes import a_process, some_rates  # noqa: E402

_SPEC = importlib.util.spec_from_file_location("writer", ROOT / "tests" / "storage" / "writer_process.py")
assert _SPEC
assert _SPEC.loader
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)


def say(*words: object) -> None:
    print(*words, flush=True)


class TellingStore(SQLiteProfileStore):
    """Says what retention is about to take."""

    def delete_incidents(self, correlation_ids: Sequence[str]) -> int:
        say(*(f"GONE {each}\n" for each in correlation_ids))
        return super().delete_incidents(correlation_ids)

    def drop_evidence(self, correlation_ids: Sequence[str]) -> int:
        say(*(f"DROP {each}\n" for each in correlation_ids))
        return super().drop_evidence(correlation_ids)


class Recording:
    """The daemon's side of the store, and a number that tells what was written last."""

    def __init__(self, data_dir: Path, seed: int, budget_bytes: int) -> None:
        self.chance = random.Random(seed)
        self.store = TellingStore(data_dir, budget_bytes=budget_bytes)
        limits = RetentionLimits(
            max_total_bytes=budget_bytes, min_free_disk_bytes=0, process_share=self.chance.choice((0.3, 1.0))
        )
        self.store.adopt()
        self.saving = Saving(self.store, limits)
        known = self.store.get_state("history.number")
        self.number = known if isinstance(known, int) else 0
        self.known: list[str] = []

    def save(self) -> None:
        payload = os.urandom(int(10 ** self.chance.uniform(3, 5)))
        name = self.chance.choice(("burner", "leaker", "talker"))
        severity = self.chance.uniform(0.5, 5)
        incident = writer.make_incident(
            pid=self.chance.randrange(1, 9999),
            name=name,
            at=datetime.now(UTC),
            payload=payload,
            severity=severity,
        )
        rows = self.saving.save(incident)
        assert isinstance(rows, list)
        is_whole = any(row.profiler == "py-spy" and row.profile_path for row in rows)
        self.known.append(incident.correlation_id)
        say("ACK", incident.correlation_id, "whole" if is_whole else "bare")

    def more_evidence(self) -> None:
        """The profile of an incident that is there comes later, or its reason."""
        if self.known:
            self.store.set_reason(self.known[-1], f"seen again, number {self.number}")

    def event(self) -> None:
        correlation_id = self.known[-1] if self.known else None
        stored = self.store.events.store_event(
            Event(EventType.REPEAT, datetime.now(UTC), pid=1, correlation_id=correlation_id)
        )
        if correlation_id:
            say("EVENT", correlation_id, stored.id)

    def history(self) -> None:
        second = (datetime.now(UTC) - some_rates(0).taken_at) / timedelta(seconds=1)
        processes = [a_process(key=ProcessKey(pid, 1)) for pid in range(1, 15)]
        self.saving.add_history([some_rates(second, processes)], step_s=2)

    def state(self) -> None:
        self.number += 1
        self.store.set_state("history.number", self.number)
        say("STATE", self.number)

    def job(self) -> None:
        """One of the daemon's jobs, whatever the time."""
        chosen = self.chance.choice([*self.saving.jobs, self.saving.jobs[0], self.saving.jobs[0]])
        chosen.run(datetime.now(UTC))

    def capture(self) -> None:
        """What a profiler leaves in the spool while it works; a kill leaves it there."""
        folder = self.store.data_dir / "spool" / f"run{self.number}-{self.chance.randrange(999)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "perf.data").write_bytes(bytes(300_000))
        self.save()
        (folder / "perf.data").unlink()
        folder.rmdir()


def main() -> None:
    data_dir, seed, budget_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    data_dir.mkdir(mode=0o700, exist_ok=True)
    with hold(data_dir / DAEMON_LOCK, "another recorder runs"):
        recording = Recording(data_dir, seed, budget_bytes)
        say("READY")
        steps: list[Callable[[], None]] = [
            *([recording.save] * 5), recording.capture, recording.more_evidence,
            *([recording.history] * 2), recording.event, recording.event, recording.state, recording.job,
        ]  # fmt: skip
        while True:
            step = recording.chance.choice(steps)
            try:
                step()
            except (MonitordError, OSError) as error:
                say("ERR", step.__name__, str(error).replace("\n", " "))


if __name__ == "__main__":
    main()
