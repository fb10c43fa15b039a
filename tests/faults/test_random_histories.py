"""Random histories of a store with kills at any moment: real writers, real commands, readers, damage, full disks.

Each round runs a recorder's writing and two command lines at once and kills them; then nobody writes, and
everything must be in order. `MONITORD_HISTORY_S` makes it longer, `MONITORD_HISTORY_SEED` repeats one.
More than 400 lines: the steps of a history share one state and one check of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader, open_store
from monitord.storage.plans import list_capture_plans
from monitord.storage.schema import DATABASE_NAME, REVISIONS
from tests.patience import PATIENCE_S

LASTS_S = float(os.environ.get("MONITORD_HISTORY_S") or 35)
SEED = int(os.environ.get("MONITORD_HISTORY_SEED") or 20261126)
WORKER = Path(__file__).with_name("history_process.py")
BUDGET = 3_000_000
# What lies beside the store for the moment of a start: the copies that a migration or a rebuild works from.
_COPIES = re.compile(rf"{re.escape(DATABASE_NAME)}\.(new|copy|before|damaged).*")
READER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN")
held.execute("SELECT count(*) FROM incident").fetchall()
print("ready", flush=True)
sys.stdin.read()
"""


class Ledger:
    """What was acknowledged, kept outside the store, so that the store can't judge itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.whole: set[str] = set()
        self.saved: set[str] = set()
        self.may_be_gone: set[str] = set()
        self.may_be_bare: set[str] = set()
        self.deleted: set[str] = set()
        self.pinned: set[str] = set()
        self.notes: set[tuple[str, str]] = set()
        self.plans: set[str] = set()
        self.events: dict[int, str] = {}
        self.state = 0
        self.refusals: list[str] = []

    def hear(self, line: str) -> None:
        """A line of a recorder; half a line, where a kill cut it, acknowledges nothing."""
        word, *rest = line.split()
        with self._lock:
            if word == "ACK":
                self.saved.add(rest[0])
                if rest[1] == "whole":
                    self.whole.add(rest[0])
            elif word == "GONE":
                self.may_be_gone.add(rest[0])
            elif word == "DROP":
                self.may_be_bare.add(rest[0])
            elif word == "EVENT":
                self.events[int(rest[1])] = rest[0]
            elif word == "STATE":
                self.state = max(self.state, int(rest[0]))
            elif word == "ERR":
                self.refusals.append(line)

    def some_incident(self, chance: random.Random) -> str:
        with self._lock:
            return chance.choice(sorted(self.saved)[-40:] or ["nothing"])

    def forget_what_no_artefact_holds(self, store: SQLiteProfileStore) -> None:
        """After damage: plans, state and events stand in the database alone; what is there now counts on."""
        number = store.get_state("history.number")
        self.state = number if isinstance(number, int) else 0
        self.plans &= {plan.name for plan in list_capture_plans(store.state, lambda _error: None)}
        self.events.clear()


class Room:
    """Looks again and again at what lies below the directory, while somebody works in it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.is_starting = threading.Event()
        self.is_rebuilding = threading.Event()
        self.largest_bytes = 0
        self.largest: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            if not self.is_rebuilding.is_set():
                sizes = self.sizes()
                # Looked at between two moments: a file that moved meanwhile may have counted twice.
                if sum(sizes.values()) > max(self.largest_bytes, BUDGET) and not self.is_rebuilding.is_set():
                    sizes = min(sizes, self.sizes(), key=lambda each: sum(each.values()))
                if sum(sizes.values()) > self.largest_bytes and not self.is_rebuilding.is_set():
                    self.largest_bytes, self.largest = sum(sizes.values()), sizes

    def sizes(self) -> dict[str, int]:
        is_starting = self.is_starting.is_set()
        sizes: dict[str, int] = {}
        for folder, _folders, files in os.walk(self._data_dir):
            beneath = Path(folder).relative_to(self._data_dir)
            if beneath.parts[:1] == ("spool",):
                continue  # a running capture's own: it counts once nobody works
            for name in files:
                if is_starting and _COPIES.fullmatch(name):
                    continue
                with contextlib.suppress(OSError):
                    kind = beneath.parts[0] if beneath.parts else name
                    sizes[kind] = sizes.get(kind, 0) + (Path(folder) / name).lstat().st_size
        return sizes

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


class History:
    """One data directory, and what happens to it."""

    def __init__(self, folder: Path, seed: int, *, is_small_disk: bool) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.data_dir = folder / "data"
        self.is_small_disk = is_small_disk
        self.ledger = Ledger()
        self.room = Room(self.data_dir)
        self.config = folder / "config.toml"
        self.config.write_text(
            f"[retention]\nmax_total_mb = {BUDGET / 1e6}\nmin_free_disk_mb = 0\nprocess_share = 1.0\n"
        )
        self.counts: dict[str, int] = {}
        self.failures: list[str] = []
        self.this_round: list[str] = []
        self._live: list[subprocess.Popen[str]] = []

    # ------------------------------------------------------------------------------------- one round

    def round(self) -> None:
        """Some seconds of everything at once, ended by kills; then one look finds all in order."""
        self.this_round.clear()
        self.room.is_starting.set()
        self._change_while_nobody_writes()
        worker = self._start([sys.executable, str(WORKER), str(self.data_dir), self._seed(), str(BUDGET)])
        ready = threading.Event()
        listener = threading.Thread(target=self._listen, args=(worker, ready), daemon=True)
        listener.start()
        commands = [threading.Thread(target=self._some_commands, args=(self._seed(),)) for _ in range(2)]
        if self.chance.random() < 0.2:
            time.sleep(self.chance.uniform(0.0, 1.2))  # the moment of the kill, not a synchronisation
        else:
            assert ready.wait(PATIENCE_S), self._log()
            for each in commands:
                each.start()
            self._be_in_the_way()
        assert worker.poll() is None, f"the recorder ended by itself: {self._log()}"
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        listener.join()
        for each in commands:
            if each.ident is not None:
                each.join()
        assert not self.failures, self.failures
        self.room.is_starting.set()
        for each in self._live:
            each.kill()
            each.wait()
        self._live.clear()
        self.check()

    def _be_in_the_way(self) -> None:
        with contextlib.ExitStack() as held:
            if self.chance.random() < 0.3:
                held.enter_context(self._reader())
            if self.is_small_disk and self.chance.random() < 0.3:
                held.enter_context(self._full_disk())
            time.sleep(self.chance.uniform(0.3, 2.5))  # the moment of the kill, not a synchronisation

    def _some_commands(self, seed: str) -> None:
        chance = random.Random(seed)
        for _ in range(chance.randrange(1, 3)):
            chosen = chance.choice(
                (
                    self._keep,
                    self._keep,
                    self._delete,
                    self._note,
                    self._plan,
                    self._tidy,
                    self._ask,
                    self._back_up,
                )
            )
            try:
                chosen(chance)
            except Exception as error:  # noqa: BLE001  it is the test's to fail, in its own thread
                self.failures.append(f"{chosen.__name__}: {error!r}")
            self._count(chosen.__name__)

    def _run(self, chance: random.Random, *words: str) -> bool:
        """A command to its end, or to its kill; whether it said that it was done."""
        command = [sys.executable, "-m", "monitord", *words, "--data-dir", str(self.data_dir)]
        process = self._start([*command, "--config", str(self.config)], tell=False)
        try:
            process.wait(chance.uniform(0.2, 0.8) if chance.random() < 0.2 else PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        return process.returncode == 0

    def _keep(self, chance: random.Random) -> None:
        chosen = self.ledger.some_incident(chance)
        if len(self.ledger.pinned) < 6 and self._run(chance, "keep", chosen):
            self.ledger.pinned.add(chosen)

    def _delete(self, chance: random.Random) -> None:
        chosen = self.ledger.some_incident(chance)
        self.ledger.may_be_gone.add(chosen)
        self.ledger.deleted.add(chosen)
        self._run(chance, "delete", chosen, "--yes")

    def _note(self, chance: random.Random) -> None:
        chosen, text = self.ledger.some_incident(chance), f"seen {chance.randrange(10**6)}"
        if self._run(chance, "note", chosen, text):
            self.ledger.notes.add((chosen, text))

    def _plan(self, chance: random.Random) -> None:
        name = f"plan-{chance.randrange(10)}"
        if self._run(chance, "plan", "set", name, "--match-name", name, "--profiler", "py-spy"):
            self.ledger.plans.add(name)

    def _tidy(self, chance: random.Random) -> None:
        words = chance.choice(
            (("storage", "gc"), ("storage", "verify", "--repair"), ("db", "check"), ("db", "vacuum"))
        )
        if words != ("db", "vacuum"):
            self._run(chance, *words)
            return
        self.room.is_rebuilding.set()  # asked for by a person, it takes the disk's room for its copies
        self._run(chance, *words)

    def _ask(self, chance: random.Random) -> None:
        words = chance.choice((("recent", "-o", "json"), ("export", "-o", "-"), ("hot",), ("status",)))
        self._run(chance, *words)

    def _back_up(self, chance: random.Random) -> None:
        copy, again = (self.folder / f"{name}{chance.randrange(10**9)}" for name in ("copy", "again"))
        saved, gone = set(self.ledger.saved), self.ledger.may_be_gone
        if self._run(chance, "storage", "backup", str(copy)):
            done = subprocess.run(
                [sys.executable, "-m", "monitord", "storage", "restore", str(copy), "--data-dir", str(again)],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
            assert done.returncode == 0, done.stderr
            assert saved - gone <= stored(again)
        for folder in (copy, again):
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[None]:
        reader = self._start([sys.executable, "-c", READER, str(self.data_dir / DATABASE_NAME)])
        assert reader.stdout
        reader.stdout.readline()
        self._count("reader")
        yield
        reader.communicate("")

    @contextlib.contextmanager
    def _full_disk(self) -> Iterator[None]:
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        self._count("full disk")
        yield
        ballast.unlink()

    def _change_while_nobody_writes(self) -> None:
        database = self.data_dir / DATABASE_NAME
        luck = self.chance.random()
        if not database.exists():
            return
        if luck < 0.15:
            self._damage(database)
        elif luck < 0.3:  # what an older monitord left: the next start migrates it
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.execute("DROP INDEX idx_event_name")  # what the last one made
                connection.execute("UPDATE alembic_version SET version_num = ?", [REVISIONS[-2]])
                connection.commit()
            self._count("migration")
        elif luck < 0.35:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            self._count("lost database")
            self._no_more_than_artefacts()

    def _damage(self, database: Path) -> None:
        pages = database.stat().st_size // 4096
        with database.open("r+b") as file:
            for _ in range(self.chance.randrange(1, 4)):
                file.seek(4096 * self.chance.randrange(pages))
                file.write(self.chance.randbytes(4096))
        self._count("damage")
        self._no_more_than_artefacts()

    def _no_more_than_artefacts(self) -> None:
        with contextlib.closing(open_store(self.data_dir, budget_bytes=BUDGET)) as store:
            store.adopt()
            self.ledger.forget_what_no_artefact_holds(store)

    # ------------------------------------------------------------------------------------- invariants

    def check(self) -> None:
        """Nobody writes: the next start works, and what was acknowledged is there, whole, within the budget."""
        ledger = self.ledger
        with contextlib.closing(open_store(self.data_dir, budget_bytes=BUDGET)) as store:
            store.adopt()
            assert not store.is_degraded, store.degraded_reason
            store.settle()
            self.room.is_starting.clear()
            self.room.is_rebuilding.clear()
            assert store.verify() == []
            found = store.leftovers(datetime.min.replace(tzinfo=UTC))
            assert found.is_nothing, found
            total = sum(self.room.sizes().values())
            assert total <= BUDGET, self.room.sizes()
            assert not list((self.data_dir / "spool").glob("*"))
            kept = stored(self.data_dir)
            assert ledger.saved - ledger.may_be_gone <= kept, "acknowledged and lost"
            assert ledger.pinned - ledger.deleted <= kept, "pinned and lost"
            assert ledger.state <= (store.get_state("history.number") or 0), "state went back"
            plans = {plan.name for plan in list_capture_plans(store.state)}
            assert ledger.plans <= plans, "a plan was lost"
        self._check_rows(kept)

    def _check_rows(self, kept: set[str]) -> None:
        ledger = self.ledger
        with contextlib.closing(sqlite3.connect(self.data_dir / DATABASE_NAME)) as connection:
            missing = connection.execute(
                "SELECT correlation_id, artefact_key FROM profile_capture WHERE state = 'missing'"
            ).fetchall()
            assert missing == [], "rows without their artefact"
            whole = {row[0] for row in connection.execute(
                "SELECT correlation_id FROM profile_capture WHERE profiler = 'py-spy' AND artefact_key IS NOT NULL"
            )}  # fmt: skip
            assert (ledger.whole - ledger.may_be_bare - ledger.may_be_gone) <= whole, "evidence was lost"
            pinned = {
                row[0] for row in connection.execute("SELECT correlation_id FROM incident WHERE pinned")
            }
            assert ledger.pinned - ledger.deleted <= pinned, "a pin was lost"
            notes = {
                (row[0], json.loads(row[1])["text"])
                for row in connection.execute(
                    "SELECT correlation_id, payload FROM event WHERE event_type = 4"
                )
            }
            lost = {note for note in ledger.notes if note[0] in kept} - notes
            assert not lost, f"notes were lost: {lost}"
            events = {row[0] for row in connection.execute("SELECT id FROM event")}
            gone = {each for each, of in ledger.events.items() if of in kept} - events
            assert not gone, f"events were lost: {gone}"

    # ------------------------------------------------------------------------------------- processes

    def _start(self, command: list[str], *, tell: bool = True) -> subprocess.Popen[str]:
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if tell else subprocess.DEVNULL,
                stderr=log,
                text=True,
                cwd=Path(__file__).parents[2],
            )
        if tell:
            self._live.append(process)
        return process

    def _listen(self, worker: subprocess.Popen[str], ready: threading.Event) -> None:
        """`ready` is set once it has worked: what comes then hits it at work, however slow the machine."""
        assert worker.stdout
        answers = 0
        for line in worker.stdout:
            if not line.endswith("\n") or not line.strip():
                continue
            if line == "READY\n":
                self.room.is_starting.clear()
                continue
            self.ledger.hear(line)
            answers += line.startswith(("ACK", "ERR"))
            if answers == 2:
                ready.set()

    def _seed(self) -> str:
        return str(self.chance.randrange(10**9))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.this_round.append(what)

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def close(self) -> None:
        self.room.close()
        for each in self._live:
            each.kill()
            each.wait()


def stored(data_dir: Path) -> set[str]:
    with StoreReader(data_dir) as reader:
        return {row.correlation_id for row in reader.each_recent(RecentFilter(limit=None))}


@pytest.fixture
def histories(tmp_path: Path) -> Iterator[Callable[[int], History]]:
    made: list[History] = []
    mounted: list[Path] = []

    def make(seed: int) -> History:
        folder = tmp_path / f"history{len(made)}"
        folder.mkdir()
        if os.geteuid() == 0:
            words = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(folder)]
            if subprocess.run(words, capture_output=True).returncode == 0:
                mounted.append(folder)
        made.append(History(folder, seed, is_small_disk=folder in mounted))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.timeout(600 + 2 * LASTS_S)
def test_any_history_of_writing_killing_and_damage_leaves_the_store_in_order(
    histories: Callable[[int], History],
) -> None:
    """Nothing acknowledged is lost, rows and artefacts agree, the budget held at every moment, the next start works."""
    history = histories(SEED)
    until_s = time.monotonic() + LASTS_S
    rounds = 0
    while time.monotonic() < until_s:
        history.round()
        rounds += 1
        assert history.room.largest_bytes <= BUDGET, f"{rounds}: {history.room.largest} {history.this_round}"
    print(rounds, "rounds", len(history.ledger.saved), "saved", history.counts, history.room.largest_bytes)
    print(len(history.ledger.refusals), "refusals", history.ledger.refusals[-3:])
    assert len(history.ledger.saved) > rounds, "too few incidents for the kills to mean anything"
