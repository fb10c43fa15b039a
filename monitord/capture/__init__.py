"""One profile of the right process, within its budget, in the given folder; or the reason why not.

Names are looked up when they are first used (PEP 562): who only runs a script needs none of the profilers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from

if TYPE_CHECKING:
    from monitord.capture.consent import Consent
    from monitord.capture.service import ProfileCaptureService
    from monitord.capture.tree import find_burning

_HOMES = {
    "Consent": "consent",
    "ProfileCaptureService": "service",
    "find_burning": "tree",
}

__all__ = ["Consent", "ProfileCaptureService", "find_burning"]

__getattr__ = names_from(__name__, _HOMES)
