"""Whether what is recorded reaches the bucket of the fleet: extras, the last round, clocks, what was lost."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from monitord.doctor.check import FAILURE, OK, WARNING, Check, Surroundings
from monitord.fleet.ship_status import CLOCK_AHEAD_S, ShipStatus, read_ship_status
from monitord.installation import install_command
from monitord.model import counted
from monitord.redaction import printable

_NAME = "fleet"
_SHIP = "monitord fleet ship"


def check_shipping(here: Surroundings) -> Iterator[Check]:
    """Nothing is connected to: what the last round told counts."""
    if not here.ship_url:
        return
    extras = {"pyarrow": "analytics"}
    extras |= {"obstore": "s3"} if here.ship_url.startswith(("s3:", "gs:", "az:")) else {}
    for package, extra in extras.items():
        if importlib.util.find_spec(package) is None:
            yield Check(_NAME, FAILURE, f"cannot ship: {package} is missing", install_command(extra))
            return
    status = read_ship_status(here.data_dir)
    if status is None:
        yield Check(_NAME, OK, "nothing was shipped yet; the recorder does it within an hour")
        return
    yield from _checks(status)


def _checks(status: ShipStatus) -> Iterator[Check]:
    where = f"{printable(status.url)} as {printable(status.host_id)}"
    if status.last_error is not None:
        words = f"{printable(status.last_error)}; waiting here: {counted(status.waiting_files, 'file')}"
        yield Check(_NAME, WARNING, words, printable(status.fix) if status.fix else _SHIP)
    else:
        before = f"; was {printable(', '.join(status.previous_host_ids))}" if status.previous_host_ids else ""
        yield Check(_NAME, OK, f"{counted(status.puts, 'object')} to {where}{before}")
    if abs(status.clock_ahead_s) > CLOCK_AHEAD_S:
        side = "ahead of" if status.clock_ahead_s > 0 else "behind"
        words = f"this clock is {abs(status.clock_ahead_s):,.0f} s {side} the bucket's: rows have wrong times"
        yield Check("fleet clock", WARNING, words, "sudo timedatectl set-ntp true")
    if status.lost:
        words = f"not shipped before the store forgot it: {printable('; '.join(status.lost[-3:]))}"
        yield Check("fleet losses", WARNING, words, "monitord config set ship.spool_mb MORE")
