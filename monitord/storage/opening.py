"""A database of the current schema where there may be none, an older one, or a damaged one.

A start with a current schema writes nothing, so that it succeeds on a full disk. Nothing is ever
deleted here: a damaged database is set aside, and what lies in the artefacts comes back by adoption.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from monitord.children import own_command, own_environment
from monitord.durable import (
    durable_write,
    file_mode,
    is_shared,
    owner_where,
    read_regular,
    synchronise_folder,
)
from monitord.errors import NotFoundError, StorageError
from monitord.logs import get_logger
from monitord.storage.connection import engine_over, set_pragmas
from monitord.storage.faults import DamagedError, explained
from monitord.storage.folder import check_data_dir, check_database_file, hand_over
from monitord.storage.readonly import stored_revision
from monitord.storage.schema import DATABASE_NAME, HEAD, MIGRATION_LOCK_NAME, UNFILLED_NAME
from monitord.storage.tables import alembic_version, metadata

_MIGRATION_TIMEOUT_S = 600


def prepare_database(data_dir: Path, *, create: bool = True, is_suspect: bool = False) -> bool:
    """Leave a database of the current schema in `data_dir`; see `unfilled` for what a new one still lacks.

    Whether it was built or migrated: then there may be a copy of what was there before.

    `is_suspect` asks for a whole integrity check first. Raises NotFoundError when there is none and
    none is to be made, SchemaTooNewError with the file untouched, StorageError for the rest.
    """
    check_data_dir(data_dir, create=create)
    database = data_dir / DATABASE_NAME
    if check_database_file(database):
        try:
            revision = stored_revision(database)
            if is_suspect:
                check_integrity(database)
        except DamagedError as error:
            set_aside(database, str(error))
            revision = None
        if revision == HEAD:
            return unfilled(data_dir) is not None
        if revision is not None:
            migrate_in_child(data_dir)
            return True
    if not create:
        raise NotFoundError(f"cannot find a database in {data_dir}; `monitord run` makes it")
    with migration_lock(data_dir):
        _build(database)
    return True


def unfilled(data_dir: Path) -> list[Path] | None:
    """Of a database that was built anew: those it stands for, to be salvaged; None once that was done.

    It stands in a file, because the builder may be killed before everything is back.
    """
    try:
        names = read_regular(data_dir / UNFILLED_NAME).decode("ascii").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        return []
    found = [data_dir / name for name in dict.fromkeys(names) if name.startswith(f"{DATABASE_NAME}.")]
    return [path for path in found if path.parent == data_dir and path.is_file()]


def mark_filled(data_dir: Path) -> None:
    """Everything is back."""
    with contextlib.suppress(OSError):  # done again at the next start, which changes nothing
        (data_dir / UNFILLED_NAME).unlink(missing_ok=True)


def _mark_unfilled(data_dir: Path, aside: Path | None = None) -> None:
    """On a disk too full for it the promise is weaker: then only this process fills the database."""
    names = [path.name for path in (*(unfilled(data_dir) or ()), aside) if path is not None]
    with contextlib.suppress(OSError):
        owner = owner_where(data_dir.stat())
        durable_write(data_dir / UNFILLED_NAME, "\n".join(names).encode("ascii"), owner=owner)


def check_integrity(database: Path) -> None:
    """Raise DamagedError when SQLite's whole check finds anything."""
    connection = sqlite3.connect(database, timeout=5)
    try:
        with explained(database):
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
    finally:
        connection.close()
    if found != ["ok"]:
        raise DamagedError(f"cannot open {database}: {found[0]}")


@contextlib.contextmanager
def migration_lock(data_dir: Path) -> Iterator[None]:
    """One at a time builds, migrates or sets aside; waits for the other."""
    path = data_dir / MIGRATION_LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write in {data_dir}: {error.strerror}") from error
    try:
        hand_over(descriptor, data_dir)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def set_aside(database: Path, reason: str) -> Path | None:
    """Rename a damaged database with its WAL out of the way; the new name, None when another did it."""
    with migration_lock(database.parent):
        try:
            stored_revision(database)
            check_integrity(database)
            return None
        except DamagedError:
            pass  # still so, now that nobody else is at it
        except OSError:
            return None
        aside = _put_aside(database, "damaged")
    get_logger().error("store.damaged_set_aside", database=str(database), kept_as=str(aside), reason=reason)
    return aside


def put_aside(database: Path) -> Path:
    """Rename a database that is to be built anew; the name it is kept under. Nobody may have it open."""
    with migration_lock(database.parent):
        return _put_aside(database, "before")


def _put_aside(database: Path, why: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = database.with_name(f"{database.name}.{why}-{stamp}")
    _mark_unfilled(database.parent, aside)
    _rename_all(database, aside)
    return aside


def _rename_all(database: Path, aside: Path) -> None:
    try:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                database.with_name(database.name + suffix).rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StorageError(f"cannot set {database} aside: {error.strerror}") from error


def _build(database: Path) -> None:
    """A new database, whole or not at all, unless another process was faster: built aside and renamed."""
    if check_database_file(database) and stored_revision(database) == HEAD:
        return
    unborn = database.with_name(f"{database.name}.new")
    _forget(unborn)
    try:
        mode = file_mode(shared=is_shared(unborn.parent.stat()))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(unborn, flags, mode), "wb") as made:
            hand_over(made.fileno(), database.parent)
        with explained(database):
            _create_tables(unborn)
        if _has_leftovers(database):  # a WAL without its database must never be replayed into the new one
            _put_leftovers_aside(database)
        if unfilled(database.parent) is None:
            _mark_unfilled(database.parent)
        unborn.rename(database)
        synchronise_folder(database.parent)
    except OSError as error:
        raise StorageError(f"cannot make {database}: {error.strerror}") from error
    finally:
        _forget(unborn)


def _put_leftovers_aside(database: Path) -> None:
    """They belong to the database that was being set aside when its process was killed, if there is one."""
    begun = unfilled(database.parent) or []
    if begun and not begun[-1].with_name(f"{begun[-1].name}-wal").exists():
        _rename_all(database, begun[-1])
    else:
        _put_aside(database, "damaged")


def _has_leftovers(database: Path) -> bool:
    return any(database.with_name(database.name + suffix).exists() for suffix in ("-wal", "-shm"))


def _forget(unborn: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            unborn.with_name(unborn.name + suffix).unlink()


def _create_tables(database: Path) -> None:
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # must come before the first table
        set_pragmas(connection)
        with engine_over(lambda: connection).begin() as opened:
            metadata.create_all(opened)
            alembic_version.create(opened)
            opened.execute(alembic_version.insert().values(version_num=HEAD))
    finally:
        connection.close()


def migrate_in_child(data_dir: Path) -> None:
    """Bring an older database up to date in a process of its own, so that this one never loads Alembic."""
    command = own_command("monitord.storage.migrate", str(data_dir.absolute()))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_MIGRATION_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=own_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"cannot migrate {data_dir / DATABASE_NAME}: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise StorageError(f"cannot migrate {data_dir / DATABASE_NAME}: {lines[-1]}")
    get_logger().info("store.migrated", database=str(data_dir / DATABASE_NAME), revision=HEAD)
