"""The commands on a real store: health, single artefacts, tidying, repair, backup and back."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.model import Incident
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.artefacts.keyring import new_key
from tests import preloaded
from tests.cli.conftest import Cli
from tests.cli.test_acting import status_of
from tests.cli.test_metrics import REPORT
from tests.incident_rows import stored_incidents
from tests.patience import PATIENCE_S

Maker = Callable[..., Incident]


@pytest.fixture
def filled(store: SQLiteProfileStore, new_incident: Maker) -> Path:
    """A data directory with two incidents."""
    for name in ("python3", "evil\x1b[31m\nname"):
        store.save_incident(new_incident(name=name))
    store.close()
    return store.data_dir


def keys(here: Cli, *words: str) -> list[str]:
    return [row["key"] for row in json.loads(here("storage", "ls", *words, "-o", "json").out)]


def profile_key(here: Cli) -> str:
    return next(key for key in keys(here) if "profile" in key)


# -------------------------------------------------------------------------------------------- status


def test_status_probes_and_says_what_it_found(here: Cli, filled: Path) -> None:
    """Each check with its detail; nothing of the probe is left, and nobody need be recording."""
    before = sorted(path.name for path in (filled / "artefacts").iterdir())
    told = json.loads(here("storage", "status", "--json").out)
    assert [(each["where"], each["name"], each["ok"]) for each in told["checks"]] == [
        ("here", "write and read", True),
        ("here", "latency", True),
        ("here", "free space", True),
    ]
    assert told["counters"] is None
    assert told["usage"]["artefact_bytes"] > 0
    assert sorted(path.name for path in (filled / "artefacts").iterdir()) == before
    assert "a probe was written, read back and deleted" in here("storage", "status").out


def test_a_failing_check_comes_with_its_fix_and_exit_1(here: Cli, filled: Path, tmp_path: Path) -> None:
    """A remote provider that is not there, and a floor above what the disk has: both said, this disk is fine."""
    config = tmp_path / "config.toml"
    config.write_text(
        f'[storage]\nurl = "file://{tmp_path}/nowhere/else"\n[retention]\nmin_free_disk_mb = 9e12\n'
    )
    answer = here("storage", "status", "--config", str(config))
    assert answer.code == 1
    assert "free space (here)" in answer.err
    assert "fix: free space on the disk, or lower retention.min_free_disk_mb" in answer.out
    assert f"write and read (file://{tmp_path}/nowhere/else)" in answer.err


def test_status_shows_what_the_daemon_counted(here: Cli, filled: Path) -> None:
    """Counters and alerts are the running daemon's."""
    with hold(filled / DAEMON_LOCK, "test"):
        told = status_of(os.getpid(), storage=REPORT)
        (filled / "status.json").write_text(json.dumps(told, default=str))
        answer = here("storage", "status")
        assert "12 writes, 3 reads, 1 deletes, 4 errors" in answer.out
        assert json.loads(here("storage", "status", "--json").out)["alerts"] == REPORT["alerts"]


# --------------------------------------------------------------------------------- single artefacts


def test_ls_lists_by_key_and_prefix_and_no_name_breaks_its_table(here: Cli, filled: Path) -> None:
    """All keys in order, those that begin so, at most so many; a hostile process name is one word of a row."""
    found = keys(here)
    assert found == sorted(path.name for path in (filled / "artefacts").iterdir())
    assert keys(here, found[2]) == [found[2]]
    assert keys(here, "-n", "2") == found[:2]
    assert keys(here, "no-such") == []
    table = here("storage", "ls").out
    assert len(table.splitlines()) == len(found) + 1
    assert "\x1b" not in table
    (filled / "artefacts" / found[0]).write_bytes(b"torn")
    rows = json.loads(here("storage", "ls", "--json").out)
    assert [bool(row["problem"]) for row in rows] == [True] + [False] * (len(found) - 1)


def test_stat_says_whose_it_is_and_where_it_lies(here: Cli, filled: Path) -> None:
    """Sizes, checksum, the incident, the file's path."""
    key = profile_key(here)
    told = json.loads(here("storage", "stat", key, "--json").out)
    assert Path(told["place"]) == filled / "artefacts" / key
    assert told["incident"] in key
    assert told["size_bytes"] == 2000
    assert told["checksum"].startswith("sha256:")
    assert key in here("storage", "stat", key).out
    assert here("storage", "stat", "no-such-key").code == 3
    assert here("storage", "stat", "../../etc/passwd").code == 2


def test_cat_gives_the_plain_bytes_and_refuses_a_damaged_artefact(cli: Cli, here: Cli, filled: Path) -> None:
    """The bytes that the profiler left, to the byte; a flipped one is exit 1."""
    key = profile_key(here)
    assert cli("storage", "cat", key).out == "{}" * 1000
    path = filled / "artefacts" / key
    path.write_bytes(path.read_bytes()[:-2] + b"xx")
    answer = cli("storage", "cat", key)
    assert answer.code == 1
    assert "damaged" in answer.err


def on_a_terminal(environment: dict[str, str], *words: str) -> tuple[int, bytes]:
    """The command line with a terminal as its stdout."""
    master, screen = pty.openpty()
    process = subprocess.Popen(
        preloaded.command("cli", *words), env=environment, stdout=screen, stderr=subprocess.DEVNULL
    )
    os.close(screen)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while block := os.read(master, 65536):
            shown += block
    os.close(master)
    return process.wait(PATIENCE_S), shown


def test_cat_keeps_bytes_that_a_screen_would_obey_from_a_terminal(
    environment: dict[str, str], here: Cli, store: SQLiteProfileStore, new_incident: Maker
) -> None:
    """Text is shown; an escape sequence or binary is refused, unless it is forced."""
    from dataclasses import replace

    incident = new_incident()
    captures = list(incident.captures)
    payloads = {"ok": "grün 97\n".encode(), "escape": b"\x1b]0;owned\x07", "binary": bytes(range(256))}
    shown = {}
    for name, payload in payloads.items():
        captures[1] = replace(captures[1], payload=payload)
        saved = store.save_incident(replace(new_incident(name=name), captures=tuple(captures)))
        key = next(row.artefact_key for row in saved if row.role == "profile" and row.artefact_key)
        shown[name] = on_a_terminal(environment, "storage", "cat", key)
        forced = on_a_terminal(environment, "storage", "cat", key, "--force")
        assert forced[0] == 0
        assert payload.splitlines()[0][:5] in forced[1]
    assert shown["ok"] == (0, "grün 97\r\n".encode())
    assert shown["escape"] == (2, b"")
    assert shown["binary"] == (2, b"")


def test_rm_asks_for_yes_says_whose_it_is_and_leaves_a_store_that_verifies(here: Cli, filled: Path) -> None:
    """Nothing goes without --yes; afterwards the row says missing, and the store is in step."""
    key = profile_key(here)
    refused = here("storage", "rm", key)
    assert refused.code == 2
    assert "is evidence of incident" in refused.err
    assert key in keys(here)
    assert here("storage", "rm", key, "--yes").code == 0
    assert key not in keys(here)
    assert here("storage", "verify").code == 0
    assert here("storage", "rm", key, "--yes").code == 3


def test_rm_does_not_take_what_an_incident_is_rebuilt_from(here: Cli, filled: Path) -> None:
    """An incident's own artefact goes with its incident, and the way is told."""
    key = next(key for key in keys(here) if "incident" in key)
    answer = here("storage", "rm", key, "--yes")
    assert answer.code == 2
    assert "monitord delete" in answer.err
    assert key in keys(here)


# ----------------------------------------------------------------------------------- gc and verify


@pytest.fixture
def mess(filled: Path) -> dict[str, Path]:
    """A damaged capture, a lost one, a damaged incident, a stranger, an abandoned temporary file."""
    artefacts = filled / "artefacts"
    contexts = sorted(artefacts.glob("*context*"))
    profiles = sorted(artefacts.glob("*profile*"))
    own = sorted(artefacts.glob("*incident*"))[0]
    harmed = profiles[0]
    harmed.write_bytes(harmed.read_bytes()[:-3] + b"xyz")
    contexts[1].unlink()
    own.write_bytes(b"garbage")
    part = artefacts / f".{'0' * 16}.part"
    part.write_bytes(b"half")
    return {"harmed": harmed, "lost": contexts[1], "own": own, "part": part}


def test_verify_finds_everything_and_repair_leaves_nothing(
    here: Cli, filled: Path, mess: dict[str, Path]
) -> None:
    """Without --repair nothing changes and the exit is 1; with it the store is sound and no incident is lost."""
    answer = here("storage", "verify", "--json")
    assert answer.code == 1
    told = json.loads(answer.out)
    for path in mess.values():
        assert [line for line in told["problems"] if path.name in line], path
    assert mess["harmed"].exists()
    repaired = here("storage", "verify", "--repair", "--json")
    assert repaired.code == 0, repaired
    assert json.loads(repaired.out)["problems"] == []
    steps = "\n".join(json.loads(repaired.out)["repaired"])
    assert f"quarantined {mess['harmed'].name}" in steps
    assert f"marked missing: {mess['lost'].name}" in steps
    assert "written anew from its rows" in steps
    assert len(list((filled / "quarantine").iterdir())) == 2
    assert here("storage", "verify").out == "every artefact is what was stored\n"
    assert len(json.loads(here("recent", "--json").out)) == 2
    (filled / "monitord.db").unlink()  # and what was written anew can be rebuilt from
    with contextlib.closing(open_store(filled)) as store:
        assert len(stored_incidents(store)) == 2


def test_what_was_repaired_is_told_in_one_order(
    here: Cli, store: SQLiteProfileStore, new_incident: Maker
) -> None:
    """By the incidents' ids, whatever the order in which they were stored: two runs can be compared."""
    for _ in range(6):
        key = store.save_incident(new_incident())[0].correlation_id
        (own,) = (path for path in (store.data_dir / "artefacts").iterdir() if f"{key}-incident" in path.name)
        own.write_bytes(b"garbage")
    store.close()
    steps = json.loads(here("storage", "verify", "--repair", "--json").out)["repaired"]
    anew = [step for step in steps if "written anew" in step]
    assert anew == sorted(anew)
    assert len(anew) == 6


def test_gc_tells_first_and_tidies_then(here: Cli, filled: Path) -> None:
    """Temporary files of the dead, quarantine of last week, rows and files out of step; what is young stays."""
    artefacts = filled / "artefacts"
    (artefacts / f".{'0' * 16}.part").write_bytes(b"half")
    lost = sorted(artefacts.glob("*context*"))[0]
    lost.unlink()
    (artefacts / "stranger").write_bytes(b"?")
    (artefacts / "stranger").chmod(0o600)
    (filled / "quarantine").mkdir(mode=0o700)
    (filled / "quarantine" / "young").write_bytes(b"?")
    (filled / "quarantine" / "young").chmod(0o600)
    (filled / "spool" / "killed").mkdir(parents=True)
    (filled / "spool" / "killed" / "perf.data").write_bytes(bytes(5000))
    told = json.loads(here("storage", "gc", "--dry-run", "--json").out)
    assert (told["abandoned"], told["abandoned_bytes"]) == (["killed"], 5000)
    assert told["temporary_files"] == [f".{'0' * 16}.part"]
    assert told["without_file"] == [lost.name]
    assert told["without_row"] == ["stranger"]
    assert told["quarantined"] == []
    assert (artefacts / "stranger").exists()
    assert here("storage", "gc").code == 0
    assert not (artefacts / f".{'0' * 16}.part").exists()
    assert not (artefacts / "stranger").exists()
    assert not list((filled / "spool").iterdir())
    assert here("storage", "gc", "--dry-run").out == "nothing to tidy\n"
    assert (filled / "quarantine" / "young").exists()
    assert here("storage", "verify").code == 0


# ---------------------------------------------------------------------- backup, restore and rebuild


def test_backup_and_restore_by_hand(here: Cli, filled: Path, tmp_path: Path) -> None:
    """What is restored answers the same questions; what is in use is refused with the way out."""
    copy, again = tmp_path / "copy", tmp_path / "again"
    made = json.loads(here("storage", "backup", str(copy), "--json").out)
    assert made["counts"]["incidents"] == 2
    assert here("storage", "backup", str(copy)).code == 2
    assert here("storage", "restore", str(copy)).code == 2
    assert here("storage", "restore", str(copy), "--data-dir", str(again)).code == 0
    asked = ("recent", "--json")
    before = json.loads(here(*asked).out)
    after = json.loads(here(*asked, "--data-dir", str(again)).out)
    for row in (*before, *after):
        row.pop("profile_path", None)
    assert before == after
    assert here("storage", "verify", "--data-dir", str(again)).code == 0
    assert here("storage", "restore", str(tmp_path)).code == 3


def test_a_running_daemon_is_not_restored_over_nor_rebuilt_under(
    here: Cli, filled: Path, tmp_path: Path
) -> None:
    """Both are busy, with what to type, and nothing is changed."""
    here("storage", "backup", str(tmp_path / "copy"))
    before = sorted(path.name for path in filled.iterdir())
    with hold(filled / DAEMON_LOCK, "test"):
        for words in (("restore", str(tmp_path / "copy")), ("rebuild", "--yes")):
            answer = here("storage", *words)
            assert answer.code == 75, words
            assert "monitord service stop" in answer.err
    assert sorted({path.name for path in filled.iterdir()} - {"lock"}) == before


def test_rebuild_brings_incidents_back_and_keeps_the_old_database(here: Cli, filled: Path) -> None:
    """Only with --yes; the same incidents, the old file beside the new."""
    before = {row["correlation_id"] for row in json.loads(here("recent", "--json").out)}
    assert here("storage", "rebuild").code == 2
    answer = here("storage", "rebuild", "--yes")
    assert answer.code == 0, answer
    assert "2 incidents came back" in answer.out
    assert {row["correlation_id"] for row in json.loads(here("recent", "--json").out)} == before
    assert len(list(filled.glob("monitord.db.before-*Z"))) == 1


def test_rotate_key_lets_the_old_key_go(
    here: Cli, data_dir: Path, tmp_path: Path, new_incident: Maker
) -> None:
    """After it the new key alone opens everything; without a key there is nothing to rotate."""
    from monitord.config import load
    from monitord.recorder.artefact_stores import open_local_store

    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        path.write_text(new_key())
        path.chmod(0o600)

    def configured(text: str) -> list[str]:
        config = tmp_path / "config.toml"
        config.write_text(f"[storage]\n{text}\n")
        return ["--config", str(config)]

    assert here("storage", "rotate-key", *configured("")).code in (3, 6)
    words = configured(f'encryption_key = "file:{old}"')
    store = open_store(data_dir, open_artefacts=open_local_store(load(tmp_path / "config.toml", {}).settings))
    store.save_incident(new_incident())
    store.close()
    assert here("storage", "verify", *words).code == 0
    both = configured(f'encryption_key = "file:{new}"\nold_encryption_keys = ["file:{old}"]')
    answer = here("storage", "rotate-key", *both)
    assert answer.code == 0, answer
    assert answer.out.startswith("3 of 3")
    assert here("storage", "rotate-key", *both).out.startswith("0 of 3")
    assert here("storage", "verify", *configured(f'encryption_key = "file:{new}"')).code == 0
    assert here("storage", "verify", *configured(f'encryption_key = "file:{old}"')).code == 1


def test_commands_say_that_there_is_nothing(here: Cli, tmp_path: Path) -> None:
    """A data directory that is not there is exit 3 for every command that needs one."""
    for words in (
        ("status",), ("ls",), ("stat", "k"), ("cat", "k"), ("rm", "k"), ("verify",), ("gc",),
        ("backup", str(tmp_path / "copy")), ("rebuild", "--yes"),
    ):  # fmt: skip
        answer = here("storage", *words)
        assert (answer.code, answer.out) == (3, ""), words
        assert len(answer.err.splitlines()) == 1, words
