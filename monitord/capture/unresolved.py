"""Code without names: how much of a profile it is, why, and what to type to have them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from monitord.model import Hotspot

UNNAMED_SHARE = 0.3  # of the samples: below that the named functions tell enough
_UNNAMED = re.compile(r"\[unknown\]|0x[0-9a-f]+|function_at_0x[0-9a-f]+")
_JIT = re.compile(r"perf-[0-9]+\.map|\[JIT\].*|\[?//?anon\]?|anon_inode.*|memfd:.*|\[heap\]|\[unknown\]|")
_BUILD_ID = re.compile(r"(.*) build-id ([0-9a-f]+)")
_LANGUAGES = {
    "perl": "Perl", "ruby": "Ruby", "php": "PHP", "lua": "Lua", "luajit": "Lua", "Rscript": "R", "R": "R",
    "python": "Python", "pypy": "Python (PyPy)", "pypy3": "Python (PyPy)", "guile": "Scheme", "tclsh": "Tcl",
    "bash": "the shell",
}  # fmt: skip
_INTERPRETER = re.compile(r"(lib)?python[0-9.]")
_EVALUATION = (
    (_INTERPRETER, re.compile(r"_?Py[A-Z_]|([a-z]+_dealloc|rangeiter_next|x_(add|sub))$")),
    (re.compile(r"(lib)?ruby[0-9.-]*(\.so|$)"), re.compile(r"(rb|vm|ruby)_")),
    (re.compile(r"(lib)?perl[0-9.]*(\.so|$)"), re.compile(r"(Perl|perl|S)_")),
    (re.compile(r"(lib)?php"), re.compile(r"(zend|php|ZEND)_|execute_ex")),
)
_VERSION = re.compile(r"[0-9.]*t?$")
_JIT_FIXES = {
    "node": "start it with node --perf-basic-prof (NODE_OPTIONS=--perf-basic-prof)",
    "java": "names of compiled Java code need Java 17 or newer, and monitord as root or as the same user",
    "pypy": "PyPy's compiled code has no names for perf: profile it with vmprof",
    "dotnet": "start it with DOTNET_PerfMapEnabled=1",
    "luajit": "LuaJIT's compiled code has no names for perf: run it with -joff, or -jp",
}


def advice(spots: Iterable[Hotspot], executable: str | None) -> tuple[str, str | None] | None:
    """(what is missing, what to type) when much of the time went to unnamed code or to an interpreter."""
    program = (executable or "").removesuffix(" (deleted)").rpartition("/")[2]
    plain, spots = _VERSION.sub("", program), list(spots)
    shares: dict[str, float] = {}
    for spot in spots:
        if spot.kind == "native" and _UNNAMED.fullmatch(spot.function):
            shares[spot.module or ""] = shares.get(spot.module or "", 0.0) + spot.self_share
    module, share = max(shares.items(), key=lambda item: item[1], default=("", 0.0))
    if share >= UNNAMED_SHARE:
        return _of_module(module, share, plain)
    if plain in _LANGUAGES and not (plain == "python" and _is_extension(spots)):
        return f"names are those of the interpreter, not of the {_LANGUAGES[plain]} program", None
    return None


def without_interpreter(spots: Sequence[Hotspot]) -> tuple[Hotspot, ...]:
    """Make the functions by which an interpreter evaluates one unknown function: which code ran they don't
    say.

    What it does besides that (search by a pattern, sort, compress) keeps its name.
    """
    inner = [spot for spot in spots if _is_evaluation(spot)]
    if not inner:
        return tuple(spots)
    share, total = sum(spot.self_share for spot in inner), max(spot.total_share for spot in inner)
    one = Hotspot("[unknown]", None, None, min(1.0, share), total, kind="native", module=inner[0].module)
    rest = [spot for spot in spots if spot not in inner]
    return tuple(sorted([one, *rest], key=lambda spot: -spot.self_share))


def _is_evaluation(spot: Hotspot) -> bool:
    module = (spot.module or "").rpartition("/")[2]
    found = (names for binary, names in _EVALUATION if binary.match(module))
    return spot.kind == "native" and any(names.match(spot.function) for names in found)


def _is_extension(spots: Sequence[Hotspot]) -> bool:
    """Whether a library that Python called is the hottest, or Python's own frames are told."""
    is_interpreter = bool(spots) and _INTERPRETER.match((spots[0].module or "").rpartition("/")[2])
    return not is_interpreter or spots[0].kind == "python"


def _of_module(module: str, share: float, program: str) -> tuple[str, str | None]:
    percent = f"{share * 100:.0f} %"
    name = module.rpartition("/")[2]
    if _JIT.fullmatch(name) or _JIT.fullmatch(module):
        return f"{percent} is code without names, made while it ran", _JIT_FIXES.get(program)
    found = _BUILD_ID.fullmatch(name)
    binary, build_id = (found[1], found[2]) if found else (name, None)
    fix = f"install the debug symbols of {binary} (its package with -dbgsym or -debuginfo)"
    if build_id:
        fix += f", or set DEBUGINFOD_URLS and ask for build-id {build_id}"
    return f"{percent} is code without names: {binary} is stripped", fix
