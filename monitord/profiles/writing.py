"""The table of forms that a profile can be written in.

To add a form: one file with one function of this shape, one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from monitord.profiles.errors import ProfileError
from monitord.profiles.representation import Profile


@dataclass(frozen=True, slots=True)
class About:
    """What a profile does not know of itself: whose it is, and when and how long it was taken."""

    title: str = "profile"
    taken_at_ns: int = 0
    duration_s: float = 0.0


class Writer(Protocol):
    """Writes one form, whole, as bytes; whatever names hold, the form stays valid and they stay text."""

    def __call__(self, profile: Profile, about: About) -> bytes: ...


# Form → module of this room and its function. Loaded when needed.
WRITERS: Mapping[str, tuple[str, str]] = {
    "folded": ("folded_writer", "write_folded_bytes"),
    "speedscope": ("speedscope_writer", "write_speedscope"),
    "pprof": ("pprof_writer", "write_pprof"),
    "flamegraph": ("flamegraph_writer", "write_flamegraph"),
    "profile-json": ("json_writer", "write_json"),
}

# What goes into a file of ours, instead of being one.
PARTS: Mapping[str, tuple[str, str]] = {"graph-data": ("flamegraph_writer", "write_graph_data")}


def write(form: str, profile: Profile, about: About | None = None) -> bytes:
    """Write a profile; ProfileError names the known forms."""
    found = WRITERS.get(form) or PARTS.get(form)
    if found is None:
        raise ProfileError(f"invalid form {form!r}: expected one of {', '.join(WRITERS)}")
    module, function = found
    writer: Writer = getattr(import_module(f"monitord.profiles.{module}"), function)
    return writer(profile, about or About())
