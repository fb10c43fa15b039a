"""Which function brings memory in, by stacks that end in an allocator or in a page fault. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitord.causes import words
from monitord.causes.frame_classes import INTERPRETERS
from monitord.causes.observed import Faults, OfProcess
from monitord.model import counted
from monitord.procfs import PAGE_BYTES
from monitord.profiles.representation import Frame, Profile

_ALLOCATORS = frozenset(
    (
        "malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "valloc", "strdup",
        "mmap", "mmap64", "mremap", "brk", "sbrk", "operator new", "operator new[]", "_Znwm", "_Znam",
        "__libc_malloc", "__libc_calloc", "__libc_realloc", "_int_malloc", "_int_realloc", "sysmalloc",
        "PyObject_Malloc", "_PyObject_Malloc", "PyMem_Malloc", "PyMem_Realloc", "PyObject_Realloc",
        "runtime.mallocgc", "runtime.newobject", "runtime.makeslice", "runtime.growslice",
        "xmalloc", "xcalloc", "xrealloc", "xstrdup", "g_malloc", "g_malloc0", "g_realloc", "g_strdup",
        "__rust_alloc", "__rust_realloc", "__rdl_alloc", "alloc::alloc::alloc",
        "je_malloc", "tc_malloc", "mi_malloc",
    )
)  # fmt: skip
_FAULTS = frozenset(
    (
        "asm_exc_page_fault", "exc_page_fault", "do_user_addr_fault", "handle_mm_fault", "__handle_mm_fault",
        "do_anonymous_page", "clear_page_erms", "clear_page_rep", "do_mem_abort", "do_page_fault",
        "el0_da", "clear_huge_page", "do_huge_pmd_anonymous_page",
    )
)  # fmt: skip
_COPIES = ("memset", "memcpy", "memmove", "strcpy", "__mem", "__str")
_OF_FAULTS = "perf-faults"
LEAST_SAMPLES = 8
LEAST_SHARE = 0.6

Stack = tuple[str, float, int, int, int, list[tuple[str, str]]]
"""See `monitord.causes.observed.Faults`."""
_SEEN_SHARE = 0.7  # of the page faults: others brought in the rest
_SAMPLED_SHARE = 0.5
_HUGE_SHARE = 0.2
# Of what it grew by: what is taken in and given back is counted anew.
_LEAST_BROUGHT, _MOST_BROUGHT = 0.5, 1.6
_NEAR_SHARE = 0.75
_LEAST_IN_BLOCK = 3
_SHORT_S, _AT_ONCE = 5.0, 0.1
_LIBRARIES = (
    "libc.so", "libc-", "ld-", "libstdc++", "libc++", "libgcc_s", "libpthread", "libjemalloc", "libtcmalloc",
    "libmimalloc", "libasan",
)  # fmt: skip
_ROOTS = (
    "_start", "__libc_start", "start_thread", "clone", "std::rt::lang_start", "std::sys::backtrace::",
    "std::sys_common::backtrace::", "runtime.main", "runtime.goexit",
)  # fmt: skip
_OTHERS = (*_COPIES, "std::", "__gnu_cxx::", "alloc::", "core::", "hashbrown::", "<alloc::", "<core::",
           "<std::", "<hashbrown::")  # fmt: skip
_OF_GO = re.compile(  # its library's packages, and not what compilers add to names of C behind a dot
    r"(runtime|reflect|bytes|strings|strconv|sync|bufio|io|os|fmt|errors|sort|slices|maps|math|time|unicode|net"
    r"|encoding|container|compress|crypto|hash|regexp|text|html|internal|log|context)(/[\w/]+)?"
    r"\.(?!(constprop|isra|part|cold|llvm|lto_priv|localalias)\b)"
)
_PROFILES = {
    "Go's runtime": "go tool pprof -sample_index=inuse_space, of a program with net/http/pprof",
    "jemalloc": "jeprof, of a program started with MALLOC_CONF=prof:true",
    "tcmalloc": "pprof, of a program started with HEAPPROFILE=FILE",
}
_NAMELESS = "the functions that they happened in, or their callers, have no names, or are an interpreter's"
_NO_BLOCK = "it is not a block of glibc's malloc, or a piece of one that may be a pool's"
_LEAST_HELD, _HELD_SHARE, _PROVED_SHARE = 5, 0.8, 0.9


@dataclass(frozen=True, slots=True)
class Allocator:
    """A function, and how many of the stacks in allocators and page faults were below it."""

    function: str
    samples: int
    total: int


def allocator_in(profiles: Iterable[tuple[Profile, str]]) -> Allocator | None:
    """The function that most of such stacks go through; None: too few of them, or no single one.

    Profiles come with who took them, the best first; every stack of `perf-faults` is one of a page fault.
    """
    found: Counter[str] = Counter()
    for profile, profiler in profiles:
        for (_thread, stack), value in profile.stacks.items():
            if name := _asker([profile.frames[index] for index in stack], profiler == _OF_FAULTS):
                found[name] += round(value) if profile.unit == "samples" else 1
        if found.total() >= LEAST_SAMPLES:
            break  # the first is the best evidence; others show the same time again
    if found.total() < LEAST_SAMPLES:
        return None
    function, samples = found.most_common(1)[0]
    return Allocator(function, samples, found.total()) if samples >= LEAST_SHARE * found.total() else None


def _asker(frames: Sequence[Frame], is_fault: bool) -> str | None:
    """The last function of the program before the allocator or the fault; None: the stack has neither."""
    end = next((index for index, frame in enumerate(frames) if _brings_memory(frame)), None)
    if end is None and not is_fault:
        return None
    own = [one for one in frames[:end] if one.kind != "kernel" and not _is_librarys(one.name)]
    return own[-1].name if own and own[-1].name[:1] not in ("[", "") else None


def _is_librarys(name: str) -> bool:
    return name.startswith(_OTHERS) or _OF_GO.match(name) is not None


def _brings_memory(frame: Frame) -> bool:
    return frame.name in _ALLOCATORS or (frame.kind == "kernel" and frame.name in _FAULTS)


# ---------------------------------------------------------------------------------- while a rule was armed


@dataclass(frozen=True, slots=True)
class Judged:
    """`function` was the first to use most of what a mapping grew by, and its blocks are still handed out.

    Else `alike` are two that can't be told apart, or `why` none is named. `share` is the function's, `stack`
    the way to it from the root. `is_proved`: the blocks have mappings of their own, which go with them.
    `block_bytes`: it is one block, which grew. `decides` says what would tell more.
    """

    function: str = ""
    share: float = 0.0
    samples: int = 0
    stack: str = ""
    is_proved: bool = False
    block_bytes: int = 0
    decides: str = ""
    alike: tuple[tuple[str, float], ...] = ()
    why: str = ""

    @property
    def said(self) -> str:
        """Who did it, as a sentence begins."""
        if self.alike:
            (first, part), (second, other) = self.alike
            shares = f"{words.share(part, 1)} and {words.share(other, 1)} of it"
            return f"{first} and {second} bring memory in alike ({shares})"
        if self.block_bytes:
            return f"{self.function} fills one block of {words.size(self.block_bytes)}, which grew"
        if self.is_proved:
            return f"{self.function} brings memory in, which is kept"
        used = words.share(self.share, 1)
        return (
            f"{self.function} was the first to use {used} of the new memory, in blocks that are in use still"
        )

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """What speaks for it."""
        if not self.function:
            return (("page faults", self.why),) if self.why else ()
        seen = f"{words.share(self.share, 1)} of what page faults brought in since it crossed"
        seen += f", by {counted(self.samples, 'sample')}"
        return ("allocates", f"{self.function}: {seen}"), ("stack", self.stack)


def judged(before: OfProcess, after: OfProcess, group: str, gained: int) -> Judged | None:
    """Who brought in what a group of mappings gained, by page faults seen meanwhile; None: none were seen."""
    faults = after.get("faults")
    if faults is None:
        return None
    if "refused" in faults:
        return Judged(why=f"not seen: {faults['refused']}")
    brought = faults.get("pages", {}).get(group, 0.0) * PAGE_BYTES
    stacks = [one for one in faults.get("stacks", []) if one[0] == group]
    samples = sum(one[2] for one in stacks)
    if why := _elsewhere(before, after, gained):
        return Judged(why=why)
    if brought < _LEAST_BROUGHT * gained and (one := _of_one_block(faults, group, gained)):
        return one
    if samples < LEAST_SAMPLES:
        return Judged(why=f"too few were seen to tell: {counted(samples, 'sample')}")
    if why := _why_not(before, after, brought, gained):
        return Judged(why=why)
    return _most(stacks, brought, gained, faults.get("allocator", ""))


def _of_one_block(faults: Faults, group: str, gained: int) -> Judged | None:
    """Who fills a block that moved when it grew (mremap): its last pages are where they came in."""
    block = faults.get("block")
    if block is None or not block["function"] or block["group"] != group:
        return None
    is_it = (
        block["size"] >= LEAST_SHARE * gained
        and block["seen"] >= LEAST_SAMPLES
        and block["samples"] >= _LEAST_IN_BLOCK
        and block["by_function"] >= _PROVED_SHARE * block["samples"]
        and block["seen_by_function"] >= LEAST_SHARE * block["seen"]
    )
    if not is_it:
        return None
    share = min(1.0, block["seen_by_function"] / block["seen"])
    return Judged(
        block["function"], share, block["seen_by_function"], _way(block["frames"]), is_proved=True,
        block_bytes=block["size"],
    )  # fmt: skip


def _elsewhere(before: OfProcess, after: OfProcess, gained: int) -> str:
    """Why page faults that were not seen may be all that matters; empty: they are few.

    A block that is given back leaves its place to another, whose page faults may be those not seen.
    """
    if before.get("image") != after.get("image"):
        return "another program runs in it since"
    faults = after.get("faults", {})
    happened, seen = after.get("minor_faults", 0) - before.get("minor_faults", 0), faults.get("counted", 0)
    unseen = happened - seen
    if unseen > (1 - _SEEN_SHARE) * min(happened, gained / PAGE_BYTES):
        where = f"in the {counted(faults.get('threads', 0), 'thread')} that could be watched"
        others = f"others may have brought in {words.size(unseen * PAGE_BYTES)}"
        return f"{words.share(seen, happened)} of them were {where}; {others}"
    if faults.get("sampled", seen) < _SAMPLED_SHARE * seen:
        return "most were in threads that ended before they had enough for a sample"
    return ""


def _why_not(before: OfProcess, after: OfProcess, brought: float, gained: int) -> str:
    """Why what was seen says nothing of what it grew by; empty: it does."""
    faults = after.get("faults", {})
    huge = after.get("mappings", {}).get("huge", 0) - before.get("mappings", {}).get("huge", 0)
    if huge > _HUGE_SHARE * gained:
        return f"{words.size(huge)} came in huge pages, of which one fault brings in many"
    if brought > _MOST_BROUGHT * gained:
        return f"they brought in {words.size(brought)}, of which most was given back"
    if brought < _LEAST_BROUGHT * gained:
        return f"they tell who brought in {words.share(brought, gained)} of it"
    began_s, ended_s = before.get("at_s", 0.0), after.get("at_s", 0.0)
    first_s, last_s = faults.get("times_s", (began_s, ended_s))
    lasted_s = ended_s - began_s
    if lasted_s > _SHORT_S and last_s - first_s < _AT_ONCE * lasted_s and ended_s - last_s > lasted_s / 2:
        return f"it came within {words.lasting(last_s - first_s)} and no more since: a step, and no leak"
    return ""


@dataclass(slots=True)
class _Share:
    """What page faults below one function brought in.

    `followed`: samples of which it is known whether the block is in use still. `alone`: of blocks with a
    mapping of their own. `stack` is of its largest part.
    """

    size: float = 0.0
    samples: int = 0
    followed: int = 0
    held: int = 0
    alone: int = 0
    stack: Sequence[tuple[str, str]] = ()

    def add(self, one: Stack) -> None:
        _group, pages, samples, held, alone, frames = one
        self.stack = self.stack or frames  # the largest come first
        self.size += pages * PAGE_BYTES
        self.samples += samples
        self.followed += samples if _has_allocator(frames) else held
        self.held += held
        self.alone += alone

    @property
    def is_kept(self) -> bool:
        return self.held >= max(_LEAST_HELD, _HELD_SHARE * self.followed)


def _most(stacks: Sequence[Stack], brought: float, gained: int, allocator: str) -> Judged:
    shares: defaultdict[str, _Share] = defaultdict(_Share)
    for one in stacks:
        shares[asker_of(one[5])].add(one)
    nameless = shares.pop("", _Share()).size
    if not shares:
        return Judged(why=_NAMELESS)
    ranked = sorted(shares.items(), key=lambda one: -one[1].size)
    function, first = ranked[0]
    if first.size < max(LEAST_SHARE * brought, _LEAST_BROUGHT * gained):
        near = [one for one in ranked[:2] if one[1].is_kept and one[1].size >= _NEAR_SHARE * first.size]
        if len(near) == 2 and sum(one.size for _name, one in near) >= LEAST_SHARE * brought:
            return Judged(alike=tuple((name, one.size / brought) for name, one in near))
        told = ", ".join(f"{words.share(one.size, brought)} {name}" for name, one in ranked[:3])
        if nameless > first.size:
            return Judged(why=f"{words.share(nameless, brought)}: {_NAMELESS}; {told}")
        return Judged(why=f"no function brought in most of it: {told}")
    part = min(1.0, first.size / brought)
    if not first.is_kept and (allocator or first.followed < _LEAST_HELD):
        reason = f"blocks of {allocator} can't be followed" if allocator else _NO_BLOCK
        used = f"{function} was the first to use {words.share(part, 1)} of it"
        why = f"{used}; whether it keeps that is not known: {reason}"
        return Judged(why=why, decides=_PROFILES.get(allocator, ""))
    if not first.is_kept:
        kept = f"{first.held:,} of {counted(first.followed, 'block')} that could be followed"
        used = f"{function} was the first to use {words.share(part, 1)} of it"
        return Judged(why=f"{used}, but {kept} are in use still")
    is_proved = first.alone >= _PROVED_SHARE * first.samples
    return Judged(function, part, first.samples, _way(first.stack), is_proved)


def _way(frames: Sequence[tuple[str, str]]) -> str:
    """From the program's own root on, without what the C library does not name."""
    shown = [
        name
        for name, module in frames[::-1]
        if name
        and not name.startswith(_ROOTS)
        and not (name.startswith("function_at") and _is_library(module))
    ]
    return " > ".join(shown[-8:])


def _is_library(module: str) -> bool:
    return module.startswith(_LIBRARIES)


def asker_of(frames: Sequence[tuple[str, str]]) -> str:
    """The innermost function that is neither an allocator nor of a language's library; empty: not known.

    One that nothing is known to have called may be an allocator's own.
    """
    for name, module in frames[: len(frames) if len(frames) > 1 else 0]:
        if INTERPRETERS.fullmatch(module):
            return ""
        is_library = _is_library(module) or name.startswith(_OTHERS) or _OF_GO.match(name)
        if not (is_library or name in _ALLOCATORS):
            return name
    return ""


def _has_allocator(frames: Sequence[tuple[str, str]]) -> bool:
    return any(name in _ALLOCATORS for name, _module in frames)
