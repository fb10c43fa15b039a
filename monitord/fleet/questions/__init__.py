"""The questions to a fleet, one file of SQL each: plain, so that other engines can be given them, too.

A question's parameters are its `$name`s; "" or false stands for any. To add one: a file here, a line below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

_PARAMETER = re.compile(r"\$([a-z_]+)")


@dataclass(frozen=True)
class Question:
    """One question and the tables that it reads, by name."""

    name: str
    tables: tuple[str, ...]

    @cached_property
    def sql(self) -> str:
        """As it stands in its file."""
        return (files(__package__) / f"{self.name}.sql").read_text(encoding="utf-8")

    @property
    def parameters(self) -> frozenset[str]:
        """What has to be given."""
        return frozenset(_PARAMETER.findall(self.sql))


HOSTS = Question("hosts", ("machine_minutes", "incidents"))
RECENT = Question("recent", ("incidents",))
HOT = Question("hot", ("hotspots",))
SAME = Question("same", ("incidents",))
RULES = Question("rules", ("incidents",))
COMPARE = Question("compare", ("hotspots",))
PROCESSES = Question("processes", ("process_minutes",))
MACHINE = Question("machine", ("machine_minutes",))
QUESTIONS = (HOSTS, RECENT, HOT, SAME, RULES, COMPARE, PROCESSES, MACHINE)
