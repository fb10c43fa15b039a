"""The programs of the evidence benchmark: what is started, and which function it was made to spike in."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

PYTHON = os.path.realpath(sys.executable)


@dataclass(frozen=True, slots=True)
class Case:
    """One program. `accepts`: names (lower case, without "_") of which the hottest function must hold one.

    `words` may hold {place} for the folder with the built programs; the first word is a program of it.
    `needs` are the tools without which it can't be made. `is_nameable` False: outside, nobody knows the name.
    """

    sort: str
    name: str
    words: tuple[str, ...]
    accepts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    is_nameable: bool = True
    turns: bool = False
    burners_beside: int = 0
    needs_root: bool = False
    tells_both: tuple[str, ...] = ()
    is_storm: bool = False
    above: int = 15


def _python(
    sort: str, name: str, *words: str, accepts: tuple[str, ...] = ("planted",), **more: object
) -> Case:
    return Case(sort, name, ("ev-python", "{programs}/burner.py", *words), accepts, **more)  # type: ignore[arg-type]


def _in_namespace(name: str, *words: str) -> Case:
    inside = ("{place}/ev-python", "{programs}/burner.py", *words)
    apart = ("ev-unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *inside)
    return Case("pid-namespace", name, apart, ("planted",), needs=("unshare",), needs_root=True)


def _inside(name: str, program: str, tool: str) -> Case:
    """A program that exists in a mount namespace of its own only."""
    script = 'mount -t tmpfs none /mnt && cp "$0" /mnt/ && exec "/mnt/${{0##*/}}"'
    words = ("ev-unshare", "--mount", "sh", "-c", script, program)
    return Case("mount-namespace", name, words, ("plantedhot",), needs=("unshare", tool), needs_root=True)


def _native(sort: str, name: str, program: str, tool: str, *words: str, **more: object) -> Case:
    return Case(sort, name, (program, *words), ("plantedhot",), needs=(tool,), **more)  # type: ignore[arg-type]


CASES: tuple[Case, ...] = (
    _python("python", "loop", "main", "loop"),
    _python("python", "recursion", "main", "recursion"),
    _python("python", "regular expression", "main", "regex"),
    _python("python", "JSON", "main", "json", accepts=("planted", "rawdecode")),
    _python("python", "sorting", "main", "sorting"),
    _python("python", "generator", "main", "generator"),
    _python("python", "method", "main", "method"),
    _python("python", "SQLite", "main", "query"),
    _python("python", "hashing, GIL released", "main", "hashing"),
    _python("python", "asyncio", "asyncio", "loop"),
    _python("idle-threads", "1 idle thread", "main", "loop", "--idle", "1"),
    _python("idle-threads", "8 idle threads", "main", "loop", "--idle", "8"),
    _python("idle-threads", "45 idle threads", "main", "loop", "--idle", "45"),
    _python("idle-threads", "45 idle threads, a thread burns", "thread", "method", "--idle", "45"),
    _python("pools", "thread pool", "thread-pool", "loop"),
    _python("pools", "process pool, fork", "fork-pool", "loop"),
    _python("pools", "process pool, spawn", "spawn-pool", "loop"),
    _in_namespace("pid namespace, 1 idle thread", "main", "loop", "--idle", "1"),
    _in_namespace("pid namespace, 20 idle threads", "main", "loop", "--idle", "20"),
    _in_namespace("pid namespace, a thread of 8 burns", "thread-pool", "recursion"),
    _in_namespace("pid namespace, a half-busy thread", "main", "half-busy"),
    _python("native-in-python", "C thread beside a sleeping main", "native-thread", "{place}/native.so",
            needs=("gcc",)),
    _python("native-in-python", "compiled code in a thread pool", "extension", "{place}/native.so",
            needs=("gcc",)),
    _python("names", "renamed process", "main", "loop", "--title", "ev-worker: busy"),
    _python("names", "a function's name of 5,000 letters", "main", "long-name", is_nameable=False),
    Case("names", "argv replaced", ("ev-python=ev-nginx: worker", "{programs}/burner.py", "main", "loop"),
         ("planted",)),
    Case("java", "Java, 8 idle threads", ("ev-java", "-cp", "{place}", "Burner", "8"), ("plantedhot",),
         needs=("javac", "java")),
    Case("java", "Java, 2 idle threads, interpreted", ("ev-java", "-Xint", "-cp", "{place}", "Burner", "2"),
         ("plantedhot",), needs=("javac", "java"), is_nameable=False),
    Case("node", "node --perf-basic-prof", ("ev-node", "--perf-basic-prof", "{programs}/burner.js"),
         ("plantedhot",), needs=("node",)),
    Case("node", "node as it is", ("ev-node", "{programs}/burner.js"), ("plantedhot",), needs=("node",),
         is_nameable=False),
    _native("go", "Go", "ev-go", "go"),
    _native("go", "Go, stripped", "ev-go-stripped", "go"),  # the runtime's own table stays
    _native("go", "Go, PIE, stripped", "ev-go-pie", "go"),
    _native("rust", "Rust", "ev-rust", "rustc"),
    _native("rust", "Rust, stripped", "ev-rust-stripped", "rustc", is_nameable=False),
    _native("c", "C, frame pointers", "ev-c-fp", "gcc"),
    _native("c", "C, no frame pointers", "ev-c-nofp", "gcc"),
    _native("c", "C, with debugging information", "ev-c-debug", "gcc"),
    _native("c", "C, static", "ev-c-static", "gcc"),
    _inside("C, of a container only", "{place}/ev-c-static", "gcc"),
    _inside("Rust, of a container only", "{place}/ev-rust", "rustc"),
    _native("c", "C, stripped", "ev-c-stripped", "gcc", is_nameable=False),
    Case("interpreters", "Perl", ("ev-perl", "{programs}/burner.pl"), ("plantedhot",), needs=("perl",),
         is_nameable=False),
    Case("interpreters", "Ruby", ("ev-ruby", "{programs}/burner.rb"), ("plantedhot",), needs=("ruby",),
         is_nameable=False),
    _native("exec", "exec right after the alert", "ev-c-fp", "gcc", "{place}/ev-second", turns=True),
    _python("phases", "f until the alert, then g", "phases", "loop", accepts=("plantedfirst",),
            turns=True, tells_both=("plantedfirst", "plantedsecond")),
    _python("short", "spike that ends at the alert, then waits", "then-waits", "loop", turns=True),
    _python("short", "spike that ends at the alert, process too", "ends", "loop", turns=True),
    _python("starved", "Python, 4 burners a core beside it", "main", "loop",
            above=50, burners_beside=4 * (os.cpu_count() or 1)),
    _native("starved", "C, 4 burners a core beside it", "ev-c-fp", "gcc",
            above=50, burners_beside=4 * (os.cpu_count() or 1)),
    Case("forks", "storm of short-lived children", ("ev-storm",), (), needs=("gcc",), is_nameable=False,
         is_storm=True),
)  # fmt: skip
