"""What the black box records with: rings of the machine; where these are refused, the best that is left."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from monitord.stacks.asking import AskedLives, Asking
from monitord.stacks.lives import Lives
from monitord.stacks.rings import Rings

_WEAKER = "only busy processes of monitord's own user: the kernel grants no ring of the whole machine"
_WEAKEST = "only Python of busy processes, four times a second: the kernel grants no ring"


@dataclass(frozen=True, slots=True)
class BoxSettings:
    """How the rings are to be; `is_enabled`: whether there are to be any."""

    rate_hz: int = 19
    bytes_per_cpu: int = 512 * 1024
    is_enabled: bool = True


def is_linux() -> bool:
    """Whether /proc can be asked who runs."""
    return sys.platform == "linux"


def opened(settings: BoxSettings) -> tuple[Rings | Asking, Lives | AskedLives, str | None]:
    """What can be had, the best first, and why it is less than all. Raises OSError where nothing can."""
    try:
        rings = Rings.open(settings.rate_hz, settings.bytes_per_cpu, "machine")
    except OSError as error:
        refusal = error
    else:
        return rings, Lives(rings), None
    try:
        rings = Rings.open(settings.rate_hz, settings.bytes_per_cpu, "own processes")
    except OSError as error:
        if not is_linux():
            raise
        return Asking(), AskedLives(), _because(_WEAKEST, error)
    return rings, Lives(rings), _because(_WEAKER, refusal)


def _because(less: str, error: OSError) -> str:
    return f"{less} ({error.strerror or error}; `monitord doctor` has the fix)"
