"""Text in, safe text out; pure, standard library only.

Two different dangers are kept apart: `printable` guards a terminal, a table or a page against what a
name contains; the `redact_*` functions and `Redactor` guard a person against what it gives away.
`SecondScan` looks again by other means before anything leaves, and replaces what the first pass left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from
from monitord.redaction.printing import printable

if TYPE_CHECKING:
    from monitord.redaction.arguments import redact_argv, redact_text
    from monitord.redaction.lone_lines import redact_source
    from monitord.redaction.patterns import redact_name
    from monitord.redaction.redactor import Redactor
    from monitord.redaction.scan import SecondScan, find_secrets
    from monitord.redaction.source import source_line
    from monitord.redaction.words import HIDDEN, TRUNCATED

__all__ = [
    "printable", "redact_argv", "redact_text", "redact_name", "redact_source", "source_line", "find_secrets",
    "SecondScan", "Redactor", "HIDDEN", "TRUNCATED",
]  # fmt: skip

# Loaded when first asked for: compiling the rules takes 15 ms, which a command that only shows need not pay.
_HOMES = {
    "redact_argv": "arguments",
    "redact_text": "arguments",
    "redact_name": "patterns",
    "redact_source": "lone_lines",
    "source_line": "source",
    "Redactor": "redactor",
    "find_secrets": "scan",
    "SecondScan": "scan",
    "HIDDEN": "words",
    "TRUNCATED": "words",
}

__getattr__ = names_from(__name__, _HOMES)
