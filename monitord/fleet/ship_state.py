"""What a host remembers of shipping, in one file: who it is in the bucket, what lies there, what was lost."""

from __future__ import annotations

import re
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from monitord.durable import durable_write, read_regular
from monitord.ownership import make_folder

FOLDER = "ship"
STATE_FILE = "state.json"
_LIMIT_BYTES = 16 << 20
_NONCES_KEPT = 256
_LOST_KEPT = 64
_UNFIT = re.compile(r"[^a-z0-9-]+")


class Mark(msgspec.Struct):
    """What of one table and day lies in the bucket: its sum, how many rows, and when it was put there.

    Without a sum something of ours may lie there, and it is not known what.
    """

    sha256: str
    rows: int
    size_bytes: int
    put_at: datetime


class Lost(msgspec.Struct):
    """Rows that had to make room here before the bucket was back; None where nobody counted them."""

    table: str
    day: str
    rows: int | None


class ShipState(msgspec.Struct):
    """`since`: what is older was shipped under another name. `nonces`: names of our rounds, newest last."""

    host_id: str
    key: str
    since: datetime | None = None
    previous: list[str] = []
    nonces: list[str] = []
    claimed: str | None = None
    marks: dict[str, Mark] = {}
    artefacts: dict[str, str] = {}
    dropped: dict[str, int | None] = {}
    lost: list[Lost] = []
    tables_at: datetime | None = None
    last_success_at: datetime | None = None
    clock_ahead_s: float = 0.0
    puts: int = 0
    put_bytes: int = 0

    def new_nonce(self) -> str:
        """Draw the name of the round that begins; it must be on the disk before it is in the bucket."""
        self.nonces = [*self.nonces[1 - _NONCES_KEPT :], secrets.token_hex(8)]
        return self.nonces[-1]

    def forget_bucket(self) -> None:
        """All that is held goes there again; what lies there of ours is not known, and looked at first."""
        never = datetime.fromtimestamp(0, UTC)
        self.marks = {name: Mark("", mark.rows, mark.size_bytes, never) for name, mark in self.marks.items()}
        self.artefacts, self.claimed = {}, None

    def note_lost(self, table: str, day: str, rows: int | None) -> None:
        """Remember what can't be shipped any more."""
        self.lost = [*self.lost[1 - _LOST_KEPT :], Lost(table, day, rows)]


def new_state(*, pseudonym: bool, before: ShipState | None = None) -> ShipState:
    """Draw an identity: random, so that clones and containers of one image can't have the same by chance.

    With `before` its host gave its name up, and what it shipped under it stays there.
    """
    tail = secrets.token_hex(4)
    name = (
        "" if pseudonym else _UNFIT.sub("-", socket.gethostname().partition(".")[0].lower())[:40].strip("-")
    )
    state = ShipState(f"{name or 'host'}-{tail}", secrets.token_hex(32))
    if before is not None:
        state.since = before.last_success_at
        state.previous = [*before.previous[-7:], before.host_id]
    return state


def read_state(data_dir: Path) -> ShipState | None:
    """Read what was written last; None where there is nothing. Raises ValueError where it is damaged."""
    try:
        return msgspec.json.decode(read_regular(data_dir / FOLDER / STATE_FILE, _LIMIT_BYTES), type=ShipState)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise ValueError("it is damaged") from error


def write_state(data_dir: Path, state: ShipState) -> None:
    """Replace the file; on the disk when this returns. Raises OSError."""
    folder = data_dir / FOLDER
    make_folder(folder)
    durable_write(folder / STATE_FILE, msgspec.json.encode(state))
