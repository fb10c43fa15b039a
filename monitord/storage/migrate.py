"""`python -m monitord.storage.migrate DATA_DIR`: bring the database to the schema of this monitord.

The only importer of Alembic, and only ever as a process of its own. Keeps one copy of the database as it
was (`monitord.db.before-<revision>`); all steps are one transaction; two at once wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

import monitord
from monitord import rights
from monitord.durable import file_mode, is_shared
from monitord.errors import MonitordError, StorageError
from monitord.storage.connection import engine_over, set_pragmas
from monitord.storage.faults import explained
from monitord.storage.folder import check_data_dir, check_database_file
from monitord.storage.opening import migration_lock
from monitord.storage.readonly import stored_revision
from monitord.storage.schema import DATABASE_NAME, HEAD


def migrations_folder() -> Path:
    """In the wheel the migrations lie inside the package, in a checkout beside it."""
    package = Path(monitord.__file__).resolve().parent
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


def alembic_config() -> Config:
    """Make Alembic's settings, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(data_dir: Path, revision: str = HEAD) -> None:
    """Migrate the database in `data_dir`, made if there is none; a newer one stays untouched."""
    check_data_dir(data_dir)
    database = data_dir / DATABASE_NAME
    with migration_lock(data_dir), explained(database):
        before = stored_revision(database) if check_database_file(database) else None
        if before == revision:
            return
        if before is None:
            mode = file_mode(shared=is_shared(data_dir.stat()))
            with contextlib.suppress(FileExistsError):
                os.close(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
        else:
            _keep_copy(database, before)
        _upgrade(database, revision)


def _keep_copy(database: Path, revision: str) -> None:
    """A copy of the database as it is; older copies go when it is complete."""
    kept, unborn = (database.with_name(f"{database.name}.{end}") for end in (f"before-{revision}", "copy"))
    unborn.unlink(missing_ok=True)
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        os.close(os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        connection.execute("VACUUM INTO ?", (str(unborn),))
        unborn.rename(kept)
    finally:
        connection.close()
        unborn.unlink(missing_ok=True)
    for older in database.parent.glob(f"{database.name}.before-*"):
        if older != kept:
            older.unlink()


def _upgrade(database: Path, revision: str) -> None:
    connection = sqlite3.connect(database, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect in an empty database only
        set_pragmas(connection)
        config = alembic_config()
        with engine_over(lambda: connection).begin() as begun:
            config.attributes["connection"] = begun
            command.upgrade(config, revision)
    finally:
        connection.close()


def main() -> int:
    """Exit 0 when the schema is current, else one line on stderr and the error's exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m monitord.storage.migrate DATA_DIR\n")
        return 2
    try:
        # Root tidies what a service's user owns: these three, and nothing else.
        rights.keep_only((rights.CAP_CHOWN, rights.CAP_DAC_OVERRIDE, rights.CAP_FOWNER))
        rights.refuse_calls(profiles=False)
        migrate(Path(sys.argv[1]))
    except MonitordError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"{StorageError(error)}\n")
        return StorageError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
