"""One profile of the right process, within its budget, in the given folder; or the reason why not.

Names are looked up when they are first used (PEP 562): who only runs a script needs none of the profilers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitord.capture.consent import Consent
    from monitord.capture.profilers import NAMES as PROFILERS
    from monitord.capture.service import ProfileCaptureService
    from monitord.capture.tree import find_burning

_HOMES = {
    "Consent": ("consent", "Consent"),
    "PROFILERS": ("profilers", "NAMES"),
    "ProfileCaptureService": ("service", "ProfileCaptureService"),
    "find_burning": ("tree", "find_burning"),
}

__all__ = ["PROFILERS", "Consent", "ProfileCaptureService", "find_burning"]


def __getattr__(name: str) -> Any:
    """A public name, from the module where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own_name = _HOMES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), own_name)
