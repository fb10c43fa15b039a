"""What evidence says: many tools' output in, one representation out; pure, and hard to hurt.

Everything read here was written by, or about, a process that may be hostile: each parser is bounded in
bytes, depth and number, drops command lines and values of variables, and ends in a Profile or a ProfileError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitord.lazy_exports import names_from

if TYPE_CHECKING:
    from monitord.profiles.errors import ProfileError
    from monitord.profiles.folded_writer import write_folded
    from monitord.profiles.formats import FORMATS, parse
    from monitord.profiles.ranking import hotspots
    from monitord.profiles.representation import Frame, Profile, Thread

__all__ = ["parse", "hotspots", "write_folded", "FORMATS", "Frame", "Thread", "Profile", "ProfileError"]

# Loaded when first asked for: who needs one sentence need not load every tool's parser.
_HOMES = {
    "parse": "formats",
    "hotspots": "ranking",
    "write_folded": "folded_writer",
    "FORMATS": "formats",
    "Frame": "representation",
    "Thread": "representation",
    "Profile": "representation",
    "ProfileError": "errors",
}

__getattr__ = names_from(__name__, _HOMES)
