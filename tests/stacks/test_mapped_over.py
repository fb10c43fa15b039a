"""What lies at an address is a matter of time: plugins come and go, children keep what their parents had."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.stacks.document import CodePlaces
from monitord.stacks.life import Code, Noted, lives_in
from monitord.stacks.lives import Lives
from monitord.stacks.rings import Rings
from tests.stacks.programs import now_ns
from tests.stacks.telling import Told, lives_of
from tests.stacks.test_lives import keep_up


def test_what_was_mapped_over_is_hidden_from_then_on() -> None:
    """A plugin that was unloaded: the next one gets its place, and what ran there before was the first."""
    told = Told()
    told.exec(100, 7, "x")
    told.map(110, 7, 0x5000, "/old.so", 0x2000)
    told.map(120, 7, 0x6000, "/new.so", 0x2000)
    told.map(130, 7, 0x6000, "/new.so", 0x2000)
    [life] = lives_of(told).of(7)
    assert [code.path for code in life.mappings] == ["/new.so"]
    places = CodePlaces(life)
    found = [
        [getattr(places.at(at, when), "path", None) for when in (105, 115, 125)] for at in (0x5100, 0x6100)
    ]
    assert found == [[None, "/old.so", None], [None, "/old.so", "/new.so"]]
    assert len({places.turn(when) for when in (111, 115, 119)}) == 1
    assert len({places.turn(when) for when in (105, 115, 125)}) == 3


def test_a_child_has_the_code_that_its_parent_had_when_it_was_started() -> None:
    """Whatever the parent mapped over it since."""
    told = Told()
    told.exec(100, 7, "host")
    told.map(110, 7, 0x5000, "/first.so")
    told.fork(200, 8, 7)
    told.map(210, 7, 0x5000, "/second.so")
    told.fork(300, 9, 7)
    lives = lives_of(told)
    assert [[code.path for code in lives.of(pid)[0].mappings] for pid in (8, 9)] == [
        ["/first.so"],
        ["/second.so"],
    ]


def test_where_a_record_was_lost_nobody_knows_since_when_other_code_lies_there() -> None:
    """An exec was lost: /proc shows another program where the first one lay, at the same addresses."""
    told = Told()
    told.fork(10**9, 7, 5)
    told.exec(10**9 + 1, 7, "first")
    told.map(10**9 + 2, 7, 0x400000, "/bin/first")
    data = b"".join(raw for _at, _pid, raw in told.waiting)
    code = Code(0x400000, 0x401000, 0, 8, 9, "/bin/second")
    life = lives_in(7, data, [Noted(5 * 10**9, 10**9, 5, "second", (code,))])[-1]
    places = CodePlaces(life)
    found = [getattr(places.at(0x400100, when * 10**9), "path", None) for when in (2, 4, 6)]
    assert found == [None, None, "/bin/second"]


PLUGIN = "volatile unsigned long sink; void run(unsigned long n) { for (unsigned long i = 0; i < n; i++) sink += i * i; }"
HOST = """
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    for (int i = 1; i < 3; i++) {
        void *plugin = dlopen(argv[i], RTLD_NOW);
        void (*run)(unsigned long) = dlsym(plugin, "run");
        printf("%p\\n", (void *)run);
        run(i == 1 ? 400000000UL : 20000000UL);
        dlclose(plugin);
    }
}
"""


@pytest.mark.root
def test_samples_of_an_unloaded_plugin_are_not_the_next_ones(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Both lay at one address, and most of the time went to the first."""
    gcc = require_tool("gcc")
    for name, source, more in (
        ("host", HOST, ["-ldl"]),
        *((one, PLUGIN, ["-shared", "-fPIC"]) for one in "ab"),
    ):
        (tmp_path / f"{name}.c").write_text(source)
        words = [gcc, "-O1", "-o", tmp_path / name, tmp_path / f"{name}.c", *more]
        subprocess.run(words, check=True)
    rings = Rings.open()
    lives, began = Lives(rings), now_ns()
    with subprocess.Popen([tmp_path / one for one in ("host", "a", "b")], stdout=subprocess.PIPE) as process:
        keep_up(lives, process, rings)
        assert process.stdout is not None
        first, second = (int(line, 16) for line in process.stdout)
    samples = rings.samples(began, [process.pid])
    rings.close()
    if first != second:
        pytest.skip("the kernel gave the second another place: run it again")
    places = CodePlaces(lives.of(process.pid)[-1])
    seen = Counter(
        getattr(places.at(ips[0], at_ns), "path", "").rpartition("/")[2]
        for at_ns, _pid, _tid, ips in samples
        if ips and first & ~0xFFF <= ips[0] < (first & ~0xFFF) + 0x1000
    )
    assert set(seen) <= {"a", "b"}
    assert seen["a"] > 2 * seen["b"]
