"""Text in, safe text out; pure, standard library only.

Two different dangers are kept apart: `printable` guards a terminal, a table or a page against what a
name contains; the `redact_*` functions and `Redactor` guard a person against what it gives away.
`find_secrets` is a second scan that shares no rule with the first, so that an export can fail closed.
"""

from monitord.redaction.arguments import redact_argv, redact_text
from monitord.redaction.printing import printable
from monitord.redaction.redactor import Redactor
from monitord.redaction.scan import find_secrets
from monitord.redaction.words import HIDDEN, TRUNCATED

__all__ = ["printable", "redact_argv", "redact_text", "find_secrets", "Redactor", "HIDDEN", "TRUNCATED"]
