"""Names that loaded files offer, found in memory as the dynamic linker finds them."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.procfs.maps import mappings
from monitord.procfs.memory import Memory
from monitord.symbols.loaded import defined_in

LIBRARY = (
    "".join(f"int name_{number} = {number};\n" for number in range(300))
    + "extern int nowhere; int *there(void) { return &nowhere; }\n"
)
PROGRAM = """
#include <stdio.h>
#include <unistd.h>
extern int name_7; int nowhere = 1; int own = 5;
int main(void) { printf("%d\\n", name_7); fflush(stdout); pause(); return own; }
"""


@pytest.fixture(
    params=["gcc gnu", "gcc sysv", "gcc both", "gcc gnu -no-pie", "musl-gcc gnu", "musl-gcc sysv"]
)
def program(
    request: pytest.FixtureRequest, tmp_path: Path, require_tool: Callable[[str], str]
) -> Iterator[tuple[int, Path]]:
    """A process that has loaded a library with 300 names, linked with this kind of hash table.

    musl's dynamic linker leaves the tables' addresses as they are in the file.
    """
    compiler, style, *more = request.param.split()
    gcc = require_tool(compiler)
    (tmp_path / "library.c").write_text(LIBRARY)
    (tmp_path / "program.c").write_text(PROGRAM)
    flag = f"-Wl,--hash-style={style}"
    library = tmp_path / "library.so"
    subprocess.run([gcc, "-shared", "-fPIC", flag, "-o", library, tmp_path / "library.c"], check=True)
    subprocess.run(
        [gcc, *more, flag, "-rdynamic", "-o", tmp_path / "program", tmp_path / "program.c", library],
        check=True,
    )
    with subprocess.Popen([tmp_path / "program"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"7\n"
        yield process.pid, library
        process.kill()


def test_every_name_of_a_library_is_found_where_its_value_lies(program: tuple[int, Path]) -> None:
    """And none that it only uses, or that others define."""
    pid, library = program
    memory, begins = Memory(pid), {}
    for mapping in mappings(Path(f"/proc/{pid}/maps").read_bytes()):
        begins.setdefault(Path(mapping.path).name, mapping.begin)
    names = [f"name_{number}" for number in range(300)]
    found = defined_in(memory, begins[library.name], [*names, "nowhere", "own", "name_300", "name_", ""])
    assert sorted(found) == sorted(names)
    for number, name in enumerate(names):
        assert int.from_bytes(memory.read(found[name], 4), "little") == number
    own = defined_in(memory, begins["program"], ["own"])
    assert int.from_bytes(memory.read(own["own"], 4), "little") == 5


def test_what_is_no_loaded_file_offers_nothing(program: tuple[int, Path]) -> None:
    memory, chance = Memory(program[0]), random.Random(3)
    for mapping in mappings(Path(f"/proc/{program[0]}/maps").read_bytes()):
        for _ in range(5):
            assert defined_in(memory, mapping.begin + 8 + chance.randrange(4096), ["name_7"]) == {}
    assert defined_in(memory, 0, ["name_7"]) == {}
    assert defined_in(memory, (1 << 64) - 1, ["name_7"]) == {}


def test_damaged_tables_end_in_an_answer(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A file that lies in memory as nobody loads it, with bytes changed at random: few reads, no error."""
    (tmp_path / "library.c").write_text(LIBRARY)
    library = tmp_path / "library.so"
    subprocess.run(
        [require_tool("gcc"), "-shared", "-fPIC", "-o", library, tmp_path / "library.c"], check=True
    )
    size, chance = library.stat().st_size, random.Random(8)
    holder = bytearray(2 * 4096 + size)
    begin = (ctypes.addressof(ctypes.c_char.from_buffer(holder)) + 4095) // 4096 * 4096
    good, memory = library.read_bytes(), Memory(os.getpid())
    for _ in range(500):
        damaged = bytearray(good)
        for _change in range(chance.randint(0, 12)):
            damaged[chance.randrange(min(size, 12000))] = chance.choice([0, 1, 255, chance.randrange(256)])
        ctypes.memmove(begin, bytes(damaged), size)
        before = memory.call_count
        for name, address in defined_in(memory, begin, ["name_7", "there"]).items():
            assert name in ("name_7", "there")
            assert isinstance(address, int)
        assert memory.call_count - before < 400
