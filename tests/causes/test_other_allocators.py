"""Memory that no block of glibc's malloc tells of, and other languages: the right function is named, or none is.

A function that was the first to use memory need not be who keeps it. Where the blocks can't be followed it is said
who used them first, and why that does not say who keeps it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.model import Cause
from tests.causes.programs import grown_while_watched, running
from tests.causes.test_faults import HEAD

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="perf_event_open is Linux's")
Tool = Callable[[str], str]
Build = Callable[..., str]
LIBRARIES = Path("/usr/lib", "x86_64-linux-gnu")
LEAK = "int main(void) { step(); for (int n = 0; n < 9000; n++) handle(3000); step(); }"
HANDED_ON = (
    "int main(void) { step(); for (int n = 0; n < 9000; n++) { render(3000); handle(3000); } step(); }"
)


@pytest.fixture
def built(tmp_path: Path, require_tool: Tool) -> Build:
    def build(text: str, compiler: str = "gcc", *options: str) -> str:
        (tmp_path / "program.c").write_text(HEAD + text)
        words = [require_tool(compiler), "-w", "-O2", "-pthread", *options, "-o", str(tmp_path / "program")]
        subprocess.run([*words, str(tmp_path / "program.c")], check=True)
        return str(tmp_path / "program")

    return build


def told(*command: str) -> Cause:
    with running(command) as program:
        cause = grown_while_watched(program)
    if cause is None:
        pytest.skip(
            "the kernel grants no page faults: sudo sysctl kernel.perf_event_paranoid=2, or run as root"
        )
    return cause


def first_user(cause: Cause) -> str:
    """What the row about page faults says, where nobody is named."""
    assert cause.kind == "mapping that grew", cause
    return dict(cause.evidence)["page faults"]


GROWS = """
static char *buffer; static size_t length;
OWN void journal_append(int size) { buffer = realloc(buffer, length + size); memset(buffer + length, 1, size); length += size; }
OWN void preview(int size) { char *one = malloc(size); memset(one, 2, size); number += one[7] == 99; free(one); }
int main(void) { step(); for (int n = 0; n < 400; n++) { journal_append(100000); ALSO } step(); }
"""


def test_who_fills_one_block_that_grows_and_moves_is_named(built: Build) -> None:
    """mremap moves pages: hardly one is where it was brought in."""
    cause = told(built(GROWS, "gcc", "-DALSO="))
    assert (cause.kind, cause.confidence) == ("allocation", "likely"), cause
    assert cause.sentence.startswith("journal_append fills one block of 38 MiB, which grew"), cause
    assert dict(cause.evidence)["stack"] == "main > journal_append"


def test_who_only_works_beside_a_growing_block_is_not_named(built: Build) -> None:
    cause = told(built(GROWS, "gcc", "-DALSO=preview(600000);"))
    assert "preview" not in cause.sentence, cause


def test_blocks_that_moved_with_realloc_are_put_down_to_nobody(built: Build) -> None:
    text = """
static char *row[600]; static int length[600];
OWN void extend(int k, int more) { row[k] = realloc(row[k], length[k] + more); memset(row[k] + length[k], 1, more); length[k] += more; }
int main(void) { step(); for (int n = 0; n < 40; n++) for (int k = 0; k < 600; k++) extend(k, 1700); step(); }
"""
    said = first_user(told(built(text)))
    assert said.startswith("extend was the first to use "), said
    assert "in use still" in said


POOL = """
static char *pool; static size_t used, size_of_pool; static void *free_ones[64]; static int free_count;
OWN char *pool_get(int size) {
  if (free_count) return free_ones[--free_count];
  if (used + size > size_of_pool) { size_of_pool = 1 << 20; used = 16; pool = MORE; }
  used += size; return pool + used - size; }
OWN void draw(int size) { char *one = pool_get(size); memset(one, 2, size); number += one[7] == 99; free_ones[free_count++] = one; }
OWN void hoard(int size) { char *one = pool_get(size); memset(one, 1, size); kept[number++] = one; }
int main(void) { step(); for (int n = 0; n < 9000; n++) { ALSO hoard(4096); } step(); }
"""


@pytest.mark.parametrize(
    "more", ["mmap(0, size_of_pool, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)", "malloc(size_of_pool)"]
)
@pytest.mark.parametrize(("also", "first"), [("", "hoard"), ("draw(4096);", "draw")])
def test_of_a_pool_of_its_own_it_is_said_who_used_it_first_and_that_this_names_nobody(
    also: str, first: str, more: str, built: Build
) -> None:
    """The same holds for a pool of malloc's blocks: a block is in use also when all its pieces were given back."""
    said = first_user(told(built(POOL, "gcc", f"-DALSO={also}", f"-DMORE={more}")))
    assert said.startswith(f"{first} was the first to use "), said
    assert said.endswith(
        "whether it keeps that is not known: it is not a block of glibc's malloc, or a piece of one that may be a pool's"
    )


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("libjemalloc.so.2", "jemalloc"),
        ("libtcmalloc_minimal.so.4", "tcmalloc"),
        ("libmimalloc.so.2.0", "mimalloc"),
    ],
)
@pytest.mark.parametrize(
    ("text", "first"), [(LEAK, "cache_put"), (HANDED_ON, "render")], ids=["kept", "handed on"]
)
def test_of_another_allocator_nobody_is_named_and_it_is_told_by_its_name(
    library: str, name: str, text: str, first: str, built: Build
) -> None:
    if not (LIBRARIES / library).exists():
        pytest.skip(f"needs {library}")
    said = first_user(told("env", f"LD_PRELOAD={LIBRARIES / library}", built(text)))
    assert said.startswith(f"{first} was the first to use "), said
    assert said.endswith(f"whether it keeps that is not known: blocks of {name} can't be followed")


@pytest.mark.parametrize("options", [(), ("-static",)], ids=["shared", "static"])
def test_of_musl_nobody_is_named(options: tuple[str, ...], built: Build) -> None:
    """Its malloc has no call frames: who called it can't be told."""
    said = first_user(told(built(HANDED_ON, "musl-gcc", *options)))
    assert "their callers, have no names" in said, said
    assert "malloc_impl" not in said


def test_in_a_program_that_is_linked_statically_it_is_named(built: Build) -> None:
    """It has call frames, but no table of them."""
    cause = told(built(LEAK, "gcc", "-static"))
    assert cause.sentence.startswith(("cache_put was ", "get was ")), cause
    assert dict(cause.evidence)["stack"].startswith("main > handle > cache_put")


GO = """package main
import ("bufio"; "fmt"; "os")
var kept [][]byte
var in = bufio.NewReader(os.Stdin)
func step() { fmt.Println("ready"); in.ReadString(10) }
//go:noinline
func cachePut(n int) { b := make([]byte, n); for i := range b { b[i] = 1 }; kept = append(kept, b) }
//go:noinline
func render(n int) byte { b := make([]byte, n); for i := range b { b[i] = 2 }; return b[7] }
//go:noinline
func serve() byte { cachePut(3000); return ALSO }
func main() { step(); t := 0; for i := 0; i < 15000; i++ { t += int(serve()) }; step(); fmt.Println(t, render(8)) }
"""


@pytest.mark.parametrize("also", ["0", "render(3000)"])
def test_of_go_its_own_functions_are_told_and_nobody_is_said_to_keep(
    also: str, tmp_path: Path, require_tool: Tool
) -> None:
    """Its table of frames leads through its runtime; what its collector keeps is not to be seen."""
    (tmp_path / "leak.go").write_text(GO.replace("ALSO", also))
    words = [require_tool("go"), "build", "-o", "leak", "leak.go"]
    subprocess.run(
        words, cwd=tmp_path, check=True, env={**_environment(), "GOCACHE": str(tmp_path / "cache")}
    )
    said = first_user(told(str(tmp_path / "leak")))
    assert "runtime." not in said, said
    if also == "0":
        assert said.startswith("main.cachePut was the first to use "), said
        assert said.endswith("whether it keeps that is not known: blocks of Go's runtime can't be followed")


def _environment() -> dict[str, str]:

    return {**os.environ, "GO111MODULE": "off", "GOFLAGS": ""}


RUST = """
use std::io::{self, BufRead, Write};
fn step() { println!("ready"); io::stdout().flush().unwrap(); let mut s = String::new(); io::stdin().lock().read_line(&mut s).unwrap(); }
struct Cart { lines: Vec<Vec<u8>> }
trait Add { fn add(&mut self, n: usize); }
impl Add for Cart { #[inline(never)] fn add(&mut self, n: usize) { self.lines.push(vec![1u8 + (n % 7) as u8; 3000]); } }
fn main() { let mut cart = Cart { lines: Vec::new() }; step(); for n in 0..15000 { cart.add(n); } step(); println!("{}", cart.lines.len()); }
"""


@pytest.mark.parametrize("mangling", ["legacy", "v0"])
def test_of_rust_the_programs_own_method_is_named_whatever_its_mangling(
    mangling: str, tmp_path: Path, require_tool: Tool
) -> None:
    (tmp_path / "leak.rs").write_text(RUST)
    how = () if mangling == "legacy" else ("-Csymbol-mangling-version=v0",)
    words = [require_tool("rustc"), "-O", *how, "-o", str(tmp_path / "leak"), str(tmp_path / "leak.rs")]
    subprocess.run(words, check=True)
    cause = told(str(tmp_path / "leak"))
    assert cause.sentence.startswith("<leak::Cart as leak::Add>::add was the first to use "), cause
    assert dict(cause.evidence)["stack"].startswith("main > leak::main > <leak::Cart as leak::Add>::add")
