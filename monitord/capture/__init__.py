"""One profile of the right process, within its budget, in the given folder; or the reason why not."""

from __future__ import annotations

from monitord.capture.consent import Consent
from monitord.capture.profilers import NAMES as PROFILERS
from monitord.capture.service import ProfileCaptureService
from monitord.capture.tree import find_burning

__all__ = ["PROFILERS", "Consent", "ProfileCaptureService", "find_burning"]
