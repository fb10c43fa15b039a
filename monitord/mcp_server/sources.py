"""Where answers come from: given by the command that starts the server; this room reads no configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.mcp_server.output_filter import Fence
from monitord.storage.queries import StoreReader


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Sources:
    """What the tools may use.

    `command(words)` runs one of monitord's own commands and gives its JSON; it raises MonitordError in the
    command's words. `parse_period` reads what a person calls times; both ends of a period come checked.
    `audit(tool, about)` writes an action down where `monitord events` shows it, before it is done.
    """

    data_dir: Path
    open_reader: Callable[[], StoreReader]
    read_status: Callable[[], Mapping[str, Any] | None]
    parse_period: Callable[[str | None, str | None], tuple[datetime | None, datetime | None]]
    command: Callable[[Sequence[str]], Any]
    audit: Callable[[str, Mapping[str, Any]], None]
    fence: Fence
    now: Callable[[], datetime] = _now
