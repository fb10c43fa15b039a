"""A process that offers a Python's runtime in which every byte is the test's: to be read, and to be damaged."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BASE, SIZE = 0x10000000, 1 << 20
# Takes images of its own memory from its input, and says when one is in place. [vvar] is memory of a device.
HOST = f"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((section(".image"))) char _PyRuntime[{SIZE}] = {{1}};
unsigned long Py_Version = 0x030c01f0;
static void take(char *to, long left) {{
    while (left > 0) {{ long got = read(0, to, left); if (got <= 0) _exit(0); to += got; left -= got; }}
}}
int main(void) {{
    char line[256]; unsigned long begin = 0; FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) if (strstr(line, "[vvar]")) begin = strtoul(line, 0, 16);
    for (;;) {{ printf("%d %lu\\n", getpid(), begin); fflush(stdout); take(_PyRuntime, sizeof _PyRuntime); }}
}}
"""


class Image:
    """Memory of a 3.12, laid out by hand: its runtime at the beginning, then what that leads to."""

    def __init__(self) -> None:
        self.data = bytearray(SIZE)
        self.used = 4096
        self.places: list[int] = []  # of all words that mean something
        self.code_type, self.str_type, self.bytes_type = (
            self._type(name) for name in (b"code", b"str", b"bytes")
        )

    def room(self, size: int, align: int = 16) -> int:
        self.used = (self.used + align - 1) // align * align
        self.used += size
        return BASE + self.used - size

    def put(self, at: int, *words: int) -> None:
        for number, word in enumerate(words):
            self.places.append(at + 8 * number)
            struct.pack_into("<Q", self.data, at + 8 * number - BASE, word & (1 << 64) - 1)

    def _type(self, name: bytes) -> int:
        at = self.room(64)
        words = self.room(len(name) + 8)
        self.data[words - BASE : words - BASE + len(name)] = name
        self.put(at + 24, words)
        return at

    def text(self, words: str) -> int:
        kind = 1 if words.isascii() or max(words) < "Ā" else 2 if max(words) <= "\uffff" else 4
        letters = words.encode({1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind], "surrogatepass")
        at = self.room(64 + len(letters))
        self.put(at, 1, self.str_type, len(words), hash(words), kind << 2 | 1 << 5 | words.isascii() << 6)
        begin = at - BASE + (40 if words.isascii() else 56)
        self.data[begin : begin + len(letters)] = letters
        return at

    def code(self, name: str, file: str, line: int, variables: int = 3) -> int:
        """A function of ten instructions on one line."""
        at, table = self.room(256), self.room(64)
        self.put(table, 1, self.bytes_type, 4)
        self.data[table - BASE + 32 : table - BASE + 36] = b"\xd7\x00\x00\x80"  # eight of them
        self.put(at, 1, self.code_type, 10)
        struct.pack_into("<iiii", self.data, at - BASE + 64, 2, line, variables, 9 + variables + 2)
        self.put(at + 112, self.text(file), 0, self.text(name), table)
        return at

    def stack(self, codes: list[int], first: int) -> int:
        """Frames on the data stack, the first the root; gives the innermost."""
        previous, at = 0, first
        for code in codes:
            size = struct.unpack_from("<i", self.data, code - BASE + 76)[0] * 8
            self.put(at, code, previous)
            self.put(at + 56, code + 192 + 2)
            previous, at = at, at + size
        return previous

    def threads(self, ids: list[int], frame: int) -> None:
        """States of one interpreter."""
        interpreter, states = self.room(256), [self.room(256) for _ in ids]
        self.put(BASE + 40, interpreter)
        self.put(interpreter + 72, states[0])
        for number, state in enumerate(states):
            cell = self.room(16)
            self.put(cell, frame)
            self.put(state + 8, states[number + 1] if number + 1 < len(states) else 0)
            self.put(state + 56, cell)
            self.put(state + 144, ids[number])


class Host:
    """The process. `device`: an address that belongs to a device."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid, self.device = map(int, self._line().split())

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def become(self, image: Image) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(image.data)
        self._process.stdin.flush()
        self._line()


@contextmanager
def host(folder: Path, require_tool: Callable[[str], str], compiler: str = "gcc") -> Iterator[Host]:
    (folder / "host.c").write_text(HOST)
    flags = ("-O1", "-no-pie", "-rdynamic", f"-Wl,--section-start=.image={BASE:#x}")
    subprocess.run([require_tool(compiler), *flags, "-o", folder / "host", folder / "host.c"], check=True)
    with subprocess.Popen([folder / "host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Host(process)
        process.kill()
