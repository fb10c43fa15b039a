"""What a process has mapped, from /proc/PID/maps (proc_pid_maps(5)). Pure text work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

_PYTHON = re.compile(rb"/(?:lib)?python(\d\.\d+)[a-z]*(?:\.so[.0-9]*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A piece of a file in the memory of a process. `where`: its addresses, "begin-end"."""

    path: str
    where: str
    is_code: bool
    offset: int
    device: int
    inode: int

    @property
    def begin(self) -> int:
        return int(self.where.partition("-")[0], 16)


def mappings(maps: bytes) -> Iterator[Mapping]:
    """Of files, in the order of their addresses; raises ValueError for what the kernel does not write."""
    for line in maps.split(b"\n"):
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith(b"/"):
            major, minor = fields[3].split(b":")
            yield Mapping(
                os.fsdecode(fields[5]),
                fields[0].decode(),
                b"x" in fields[1],
                int(fields[2], 16),
                os.makedev(int(major, 16), int(minor, 16)),
                int(fields[4]),
            )


def mapped_code(maps: bytes) -> tuple[Mapping, ...]:
    """The files that are mapped to be executed, each once, in their order."""
    found: dict[str, Mapping] = {}
    for mapping in mappings(maps):
        if mapping.is_code:
            found.setdefault(mapping.path, mapping)
    return tuple(found.values())


def python_version(maps: bytes) -> str | None:
    """A guess at what Python a process runs, "3.11": by the first libpython or python binary it maps."""
    found = _PYTHON.search(maps)
    return found[1].decode() if found else None
