"""Names of code that perf has no name for, or one from a file that is not the one that was mapped.

`hot (/usr/bin/app)`, where the mapped file has one; else `function_at_0x1139 (/usr/bin/app build-id 4a90b5)`.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping

from monitord.symbols.files import File

UNKNOWN = "[unknown]"
_FILES_CAP = 256  # open at a time
_SYMBOLS_CAP = 2_000_000  # of all files together: about 4 s
_WORDS_CAP = 50_000
_BUILD_ID_SHOWN = 16
_DELETED = " (deleted)"
_MAPPED = re.compile(
    r" PERF_RECORD_MMAP2 .* (?:([0-9a-f]+):([0-9a-f]+) ([0-9]{1,20}) [0-9]+|<([0-9a-f]{1,64})>)\]: \S+ (/.*)$"
)
_NO_FILE = re.compile(r"//.*|/tmp/perf-[0-9]+\.map|/memfd:.*|/dev/zero.*|/SYSV.*|/anon_hugepage.*")
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
Identity = tuple[int, int] | str  # device and inode, or a build id


class Names:
    """Names of frames. `given`: descriptors of the target's own files, by their names in its maps."""

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        self._turns: Counter[str] = Counter()  # how often it was said that a name is another file's
        self._given = given or {}
        self._mapped: dict[str, set[Identity]] = {}
        self._files: dict[str, File | None] = {}
        self._others: dict[str, bool] = {}
        self._words: dict[tuple[str, str], str] = {}
        self._symbols_read = 0

    def note(self, line: str) -> None:
        """Take up a mapping that perf tells of."""
        if not (found := _MAPPED.search(line.rstrip("\n"))):
            return
        major, minor, inode, build_id, path = found.groups()
        identity: Identity = build_id or (os.makedev(int(major, 16), int(minor, 16)), int(inode))
        known = self._mapped.setdefault(path, set())
        if identity not in known:
            known.add(identity)
            self._forget(path)

    def _forget(self, path: str) -> None:
        """It is known anew which file has this name: or that there were several, and none can be told."""
        if (file := self._files.pop(path, None)) is not None:
            file.close()
        self._others.pop(path, None)
        self._turns[path] += 1

    def is_another(self, module: str) -> bool:
        """Whether the file of that name here is not known to be the one that was mapped."""
        if not module.startswith("/") or _NO_FILE.fullmatch(module):
            return False
        if module not in self._others:
            file = self._file(module)
            self._others[module] = file is None or not _is_here(module, file)
        return self._others[module]

    def name(self, offset: str, module: str) -> str:
        """The words for one frame."""
        if module not in self._mapped:
            return f"{UNKNOWN} ({module})"
        key = f"{self._turns[module]}:{offset}", module
        known = self._words.get(key)
        if known is None:
            known = self._named(int(offset, 16), module)
            if len(self._words) < _WORDS_CAP:
                self._words[key] = known
        return known

    def _named(self, at: int, module: str) -> str:
        file, shown = self._file(module), module.removesuffix(_DELETED)
        if file is None:
            return f"0x{at:x} ({shown})"
        if name := self._symbol(at, module, file):
            return f"{name} ({shown})"
        start = file.function_at(at)
        word = f"0x{at:x}" if start is None else f"function_at_0x{start:x}"
        build_id = f" build-id {file.build_id[:_BUILD_ID_SHOWN]}" if file.build_id else ""
        return f"{word} ({shown}{build_id})"

    def _symbol(self, at: int, module: str, file: File) -> str | None:
        """What has symbols, and lies here under its name, was named by perf."""
        reads = self._symbols_read < _SYMBOLS_CAP and not _is_here(module, file)
        before = file.symbol_count
        name = file.name_at(at, reads_symbols=reads)
        self._symbols_read += file.symbol_count - before
        return name

    def _file(self, module: str) -> File | None:
        if module not in self._files:
            identities = self._mapped.get(module, set())
            only = next(iter(identities)) if len(identities) == 1 else None
            self._files[module] = self._opened(module, only) if only is not None else None
            if len(self._files) > _FILES_CAP and (file := self._files[module]) is not None:
                file.close()
        return self._files[module]

    def _opened(self, module: str, identity: Identity) -> File | None:
        """The file that was mapped: the one that was given, or what lies here if it is that one."""
        try:
            given = self._given.get(module)
            descriptor = os.dup(given) if given is not None else os.open(module, _OPEN)
        except OSError:
            return None
        file = File(descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and _is_it(file, identity, is_given=given is not None):
            return file
        file.close()
        return None

    def close(self) -> None:
        """Let go of all files."""
        for file in self._files.values():
            if file is not None:
                file.close()


def _is_it(file: File, identity: Identity, *, is_given: bool) -> bool:
    """Some file systems (btrfs, overlayfs) have a device of their own for stat, without a major number."""
    if isinstance(identity, str):
        return file.build_id != "" and file.build_id == identity
    found = os.fstat(file.descriptor)
    is_device = is_given or found.st_dev == identity[0] or os.major(found.st_dev) == 0
    return is_device and found.st_ino == identity[1]


def _is_here(module: str, file: File) -> bool:
    """Whether what perf found under that name is this file."""
    try:
        here, mapped = os.stat(module), os.fstat(file.descriptor)  # noqa: PTH116 - thousands of files: no Path objects
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (mapped.st_dev, mapped.st_ino)
