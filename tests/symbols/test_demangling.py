"""Names of C++ and Rust are those that binutils tells, without what they are given; or they stay as they are."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.symbols.function_table import readable

Tool = Callable[[str], str]
GIVEN = "<…>"
CPP = """
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>
namespace app { namespace { struct Hidden { int run(int) const; }; int Hidden::run(int x) const { return x; } }
template <class T, int N> struct Task { T values[N]; Task(); ~Task(); T run(const T &, int (*)(int)); operator bool() const; T &operator[](int); };
template <class T, int N> Task<T, N>::Task() { values[0] = T(); }
template <class T, int N> Task<T, N>::~Task() { values[0] = T(); }
template <class T, int N> T Task<T, N>::run(const T &t, int (*f)(int)) { f(N); return t; }
template <class T, int N> Task<T, N>::operator bool() const { return N; }
template <class T, int N> T &Task<T, N>::operator[](int n) { return values[n]; }
template struct Task<long, 3>; template struct Task<std::string, 2>;
bool operator<(const Hidden &, const Hidden &) { return false; }
template <class F> int apply(F f) { return f(1); }
int use() { auto inner = [](int x) { return x + 1; }; struct Local { int go() { return 2; } } local; return apply(inner) + apply([](int y) { return y; }) + local.go() + Hidden().run(1); }
static int only_here(std::map<std::string, std::vector<int>> &m) { return m.size(); }
int call() { std::map<std::string, std::vector<int>> m; m["a"].push_back(1); std::function<int(int)> f = [&](int x) { return x + only_here(m); };
  std::vector<std::unique_ptr<int>> v; v.emplace_back(new int(3)); std::sort(m["a"].begin(), m["a"].end(), [](int a, int b) { return a > b; }); return f(*v[0]); } }
int main() { return app::use() + app::call() + app::operator<(app::Hidden(), app::Hidden()); }
"""
SAMPLES = Path(__file__).parent / "samples"


def functions(program: Path) -> list[str]:
    lines = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return sorted({row[2] for row in rows if len(row) == 3 and row[1] in "tTwW" and row[2].startswith("_")})


def told(names: list[str], *options: str) -> list[str]:
    words = "\n".join(names)
    return subprocess.run(
        ["c++filt", *options], input=words, capture_output=True, text=True, check=True
    ).stdout.split("\n")


OPERATOR = re.compile(r"operator(<=>|<<=|>>=|<<|>>|<=|>=|->\*|->|<|>)(?=$| |<|\[)")


def without_given(name: str) -> str:
    """What stands in angles behind a word is given to it; in front of one it is a name's beginning (Rust)."""
    name = OPERATOR.sub(lambda found: "operator" + "".join(chr(ord(one) + 0xE000) for one in found[1]), name)
    shown, depth = "", 0
    for at, letter in enumerate(name):
        is_arrow = letter == ">" and name[at - 1 : at] in ("-", "=")
        if letter == "<" and (
            depth or shown.endswith("::") or re.search(r"[\w\])\ue000-\uf000] ?$|operator[^\w ]+ ?$", shown)
        ):
            shown += "" if depth else GIVEN
            depth += 1
        elif depth:
            depth -= letter == ">" and not is_arrow
        else:
            shown += letter
    return "".join(chr(ord(one) - 0xE000) if 0xE000 <= ord(one) < 0xF000 else one for one in shown)


def plain(words: str) -> str:
    """Without the parameters of lambdas, and of functions that something is local to."""
    words = re.sub(r"\{lambda\(.*?\)#", "{lambda#", words)
    return re.sub(r"(?<=[\w…>])\([^()]*\)(?: const)?::", "::", words)


def test_names_of_a_c_plus_plus_program_are_those_of_binutils(tmp_path: Path, require_tool: Tool) -> None:
    """Of templates, lambdas, constructors, operators, what is hidden or local; nine of ten are known."""
    (tmp_path / "a.cc").write_text(CPP)
    subprocess.run([require_tool("g++"), "-O0", "-o", tmp_path / "a", tmp_path / "a.cc"], check=True)
    names = [name for name in functions(tmp_path / "a") if name.startswith("_Z")]
    known = 0
    for name, words in zip(names, told(names, "-p"), strict=False):
        shown = readable(name)
        if shown != name:
            known += 1
            assert shown == plain(without_given(words)), name
    assert len(names) > 150
    assert known / len(names) > 0.9, f"{known} of {len(names)}"


@pytest.mark.parametrize("mangling", ["legacy", "v0"])
def test_names_of_rust_programs_are_those_of_binutils(mangling: str) -> None:
    """Of both manglings, as rustc 1.95 wrote them; without the hashes that tell crates and versions apart."""
    names = (SAMPLES / f"rust-{mangling}.txt").read_text().splitlines()
    known = 0
    for name, told_words in zip(names, told(names), strict=False):
        shown = readable(name)
        if shown != name:
            known += 1
            expected = re.sub(r"::h[0-9a-f]{16}$", "", re.sub(r"\[[0-9a-f]{8,16}\]", "", told_words))
            assert (without_given(shown), shown)[mangling == "legacy"] == (without_given(expected), expected)[
                mangling == "legacy"
            ], name
    assert len(names) > 150
    assert known / len(names) > 0.9, f"{known} of {len(names)}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<…>::push_back"),
        ("_ZN3app4TaskC2Ev", "app::Task::Task"),
        ("_ZN3app4TaskD0Ev", "app::Task::~Task"),
        ("_ZNK3app4TaskcvbEv", "app::Task::operator bool"),
        ("_ZN12_GLOBAL__N_13hotEv", "(anonymous namespace)::hot"),
        ("_ZN3app3hotEi.part.0", "app::hot"),
        ("_ZThn16_N3app4Task3runEv", "non-virtual thunk to app::Task::run"),
        ("_ZN3appS_3hotEv", "_ZN3appS_3hotEv"),  # told by substitution
        ("_ZTV3app", "_ZTV3app"),
        ("_ZN", "_ZN"),
        ("_ZN4core3ptr23drop_in_place$LT$u8$GT$17h0123456789abcdefE", "core::ptr::drop_in_place<u8>"),
        ("_ZN3app9drop$XX$a17h0123456789abcdefE", "_ZN3app9drop$XX$a17h0123456789abcdefE"),
        ("_RNvCs12_4main3hot", "main::hot"),
        ("_RNvNtCs12_4main5inneru8gre_6ka", "_RNvNtCs12_4main5inneru8gre_6ka"),
        ("_RNvB_3hot", "_RNvB_3hot"),  # of itself
        ("_RINvCs12_4main4callFEuuE", "main::call::<…>"),
        ("_RINvCs12_4main4callFUKCjEhE", "main::call::<…>"),
        ("_RNvMCs12_4mainAhj4_3sum", "<[u8; 4]>::sum"),
        ("_RNvMCs12_4mainFjEh3sum", "<fn(usize) -> u8>::sum"),
        ("_RNvMCs12_4mainDNtB2_5ShapeNtB2_4SendEL_4area", "<dyn main::Shape + main::Send>::area"),
        ("_RNvMCs12_4mainDNtB2_5Shape_4area", "_RNvMCs12_4mainDNtB2_5Shape_4area"),  # cut
        ("_start", "_start"),
    ],
)
def test_a_name_is_told_or_stays(name: str, words: str) -> None:
    assert readable(name) == words


def test_damaged_names_end_in_an_answer() -> None:
    chance = random.Random(9)
    good = [
        "_ZNSt6vectorIiSaIiEE9push_backERKi",
        "_ZZN3app3useEvENKUliE_clEi",
        "_RINvNtC3app1a3hotjEB4_",
        "_ZN4main3hot17h0123456789abcdefE",
    ]
    for _ in range(20_000):
        name = list(chance.choice(good))
        for _change in range(chance.randint(1, 5)):
            name[chance.randrange(2, len(name))] = chance.choice("ENSIZTKRPCDLBMXYIsu_0123456789abcvi$.")
        assert readable("".join(name))
