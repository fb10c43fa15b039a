"""One round of shipping, for `monitord fleet ship` and for the recorder's errand, which this module is."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.workspace import Workspace
from monitord.children import answer, end_with_parent
from monitord.errors import BusyError, ConfigError, MonitordError

if TYPE_CHECKING:
    from monitord.fleet.shipping import Shipped, Shipper

_RIGHTS = "let it read, write and list below the URL: s3:GetObject, s3:PutObject, s3:ListBucket, or the like"
_WITHOUT_URL = "cannot ship: no bucket is configured; try `monitord config set ship.url s3://BUCKET/PREFIX`"


def ship(workspace: Workspace, *, everything: bool = True) -> Shipped:
    """Ship now what was recorded: all of it, or incidents and what is due; return what was done.

    How it went is written down for `status`, also where it fails. Raises ConfigError without a bucket,
    BusyError while another round goes on, PermissionDeniedError for root in somebody else's data directory,
    and what the bucket raises.
    """
    from monitord.actions.identities import identities
    from monitord.fleet.shipping import Shipper
    from monitord.storage.folder import check_data_dir

    settings = workspace.settings.ship
    if not settings.url:
        raise ConfigError(_WITHOUT_URL)
    check_data_dir(workspace.data_dir, owners_alone="monitord fleet ship")
    with workspace.past() as reader:
        shipper = Shipper(
            workspace.data_dir, settings, reader, identities(), lambda name: _archive(workspace, name)
        )
        try:
            done = shipper.run(everything=everything)
        except BusyError:
            raise
        except MonitordError as error:
            _write_status(workspace, shipper, error)
            raise
        _write_status(workspace, shipper, None)
        return done


def _archive(workspace: Workspace, name: str) -> bytes:
    from monitord.actions.exporting import incident_archive

    return incident_archive(workspace, name, raw=not workspace.settings.ship.redact).content


def _write_status(workspace: Workspace, shipper: Shipper, error: MonitordError | None) -> None:
    from monitord.fleet.ship_status import ShipStatus, write_ship_status
    from monitord.storage.artefacts.urls import shown_url

    state, done = shipper.state, shipper.done
    status = ShipStatus(
        url=shown_url(workspace.settings.ship.url),
        host_id=state.host_id,
        puts=state.puts,
        put_bytes=state.put_bytes,
        waiting_files=done.waiting_files,
        waiting_bytes=done.waiting_bytes,
        waiting_artefacts=done.artefacts_left,
        clock_ahead_s=state.clock_ahead_s,
        lost=[_lost_line(one.table, one.day, one.rows) for one in state.lost],
        notes=done.notes,
        previous_host_ids=state.previous,
        last_success_at=state.last_success_at.isoformat() if state.last_success_at else None,
    )
    if error is not None:
        status.last_error, status.last_error_at = str(error), datetime.now(UTC).isoformat()
        status.fix = _RIGHTS if error.exit_code == 4 else None
    write_ship_status(workspace.data_dir, status)


def _lost_line(table: str, day: str, rows: int | None) -> str:
    return f"{table} of {day}: {'some rows' if rows is None else f'{rows:,} rows'}"


def main() -> int:
    """Ship what is due, and say how it went as an errand does."""
    parser = argparse.ArgumentParser(prog="monitord shipping")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    try:
        from monitord import logs, rights

        logs.configure("warning")
        rights.keep_only(())  # from here on it talks to a network
        done = ship(Workspace(arguments.data_dir, arguments.config), everything=False)
        outcome, detail = "ok", "; ".join([done.as_line(), *done.notes])
    except BusyError as error:
        outcome, detail = "ok", str(error)
    except MonitordError as error:
        outcome, detail = "failed", str(error)
    answer(outcome, detail)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a client's thread that hangs in a network must not hold up the end
