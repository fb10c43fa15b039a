"""Which function brings memory in, by stacks that end in an allocator or in a page fault. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitord.profiles.representation import Frame, Profile

_ALLOCATORS = frozenset(
    (
        "malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "valloc", "strdup",
        "mmap", "mmap64", "mremap", "brk", "sbrk", "operator new", "operator new[]", "_Znwm", "_Znam",
        "__libc_malloc", "__libc_calloc", "__libc_realloc", "_int_malloc", "_int_realloc", "sysmalloc",
        "PyObject_Malloc", "_PyObject_Malloc", "PyMem_Malloc", "PyMem_Realloc", "PyObject_Realloc",
        "runtime.mallocgc", "runtime.newobject", "runtime.makeslice", "runtime.growslice",
        "__rust_alloc", "__rust_realloc", "__rdl_alloc", "alloc::alloc::alloc", "je_malloc", "tc_malloc",
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
    own = [one for one in frames[:end] if one.kind != "kernel" and not one.name.startswith(_COPIES)]
    return own[-1].name if own and own[-1].name[:1] not in ("[", "") else None


def _brings_memory(frame: Frame) -> bool:
    return frame.name in _ALLOCATORS or (frame.kind == "kernel" and frame.name in _FAULTS)
