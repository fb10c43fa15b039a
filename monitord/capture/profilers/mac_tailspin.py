"""macOS's own flight recorder, `tailspin`, for root: stacks of the last seconds, from before an alert.

Where somebody switched it on (`tailspin enable`), the kernel keeps about 20 s of what every process ran. They
are saved to a file of all processes, which `spindump` prints; the reader keeps the target's. Written from
Apple's manual pages, not run on a Mac by us; tested with made tools and re-created output.
"""

from __future__ import annotations

import sys

from monitord.capture.profilers.mac_spindump import needs_root, precheck_of_root
from monitord.capture.session import CaptureBuilder, Failure, Session
from monitord.capture.target import Target
from monitord.capture.tool_runner import ToolRun
from monitord.capture.tools import INSTALL
from monitord.capture.workplace import remove, size_of
from monitord.model import BEFORE, Capture, CaptureStatus

_KEPT_S = 20
_LIMIT_S = 5.0
_PRINTER = "spindump"


class MacTailspin:
    """What it kept; root only."""

    name = "tailspin"
    tool = "tailspin"
    role = BEFORE
    counts_cpu = False
    format = "spindump"

    def suits(self, target: Target) -> bool:
        return sys.platform == "darwin"

    def explain(self, stderr: str) -> Failure | None:
        words = stderr.lower()
        if "root" in words or "permission" in words:
            return needs_root(self.tool)
        if "not enabled" in words or "disabled" in words:
            return CaptureStatus.TOOL_MISSING, "tailspin is switched off", INSTALL[self.tool]
        return None

    def take(self, session: Session) -> Capture:
        builder = CaptureBuilder(self, session)
        if (failed := precheck_of_root(builder)) is not None:
            return failed
        printer = session.tools.path(_PRINTER)
        if printer is None:
            missing = session.tools.missing(_PRINTER)
            return builder.end(CaptureStatus.TOOL_MISSING, missing, INSTALL[_PRINTER])
        kept, output = session.folder / "kept.tailspin", session.folder / "tailspin.txt"
        for path in (kept, output):
            remove(path)
        saves = (session.tools.path(self.tool) or "", "save", "-l", str(_KEPT_S), str(kept))
        outcome = session.runner.run(_run(saves, session), session.target)
        if size_of(kept) == 0:
            return builder.check_failure(outcome) or builder.explain_failure(
                outcome, "tailspin wrote nothing"
            )
        prints = (printer, "-i", str(kept), "-file", str(output))
        return builder.publish(session.runner.run(_run(prints, session), session.target), output)


def _run(argv: tuple[str, ...], session: Session) -> ToolRun:
    return ToolRun(argv, session.folder, _LIMIT_S, session.grace_periods_s)
