"""How it goes with messages: one small file, written by the sender, read by all. No secret is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitord.durable import read_regular
from monitord.recorder.status import MESSAGES_FILE


def read_message_status(data_dir: Path) -> dict[str, Any] | None:
    """Read what was written last; None when there is nothing that can be understood.

    `receivers` has for each name kind, sent, waiting, held, failed, last_sent_at, last_error, last_error_at;
    `complaints` is what does not go well, in words; `next_due_at` when there is something to do again (ISO
    8601; None: not by itself).
    """
    try:
        held = json.loads(read_regular(data_dir / MESSAGES_FILE))
    except (OSError, ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) and isinstance(held.get("receivers"), Mapping) else None
