"""The function that asks for memory: the last of the program's own before an allocator or a page fault."""

from __future__ import annotations

from monitord.causes.allocating import LEAST_SAMPLES, Allocator, allocator_in
from monitord.profiles.representation import Frame, Profile, Thread


def profile(*stacks: tuple[str, int]) -> Profile:
    """Each "a > b > [k]fault" with its samples."""
    frames: list[Frame] = []
    found = {}
    for number, (text, samples) in enumerate(stacks):
        first = len(frames)
        for name in text.split(" > "):
            is_kernel = name.startswith("[k]")
            frames.append(Frame(name.removeprefix("[k]"), kind="kernel" if is_kernel else "native"))
        found[Thread("main", number), tuple(range(first, len(frames)))] = samples
    return Profile("perf", frames, found, sum(samples for _, samples in stacks))


def test_the_function_before_the_allocator_is_named() -> None:
    seen = profile(("main > cache_put > malloc > sysmalloc", 20), ("main > render", 500))
    assert allocator_in([(seen, "perf")]) == Allocator("cache_put", 20, 20)


def test_the_function_before_a_page_fault_is_named_even_through_memset() -> None:
    fault = "[k]asm_exc_page_fault > [k]exc_page_fault > [k]clear_page_erms"
    seen = profile((f"main > fill > __memset_avx2_unaligned_erms > {fault}", 12))
    assert allocator_in([(seen, "perf")]) == Allocator("fill", 12, 12)


def test_two_that_allocate_alike_are_not_told_apart() -> None:
    assert allocator_in([(profile(("main > one > malloc", 10), ("main > two > malloc", 10)), "perf")]) is None


def test_a_few_stacks_say_nothing() -> None:
    assert allocator_in([(profile(("main > one > malloc", LEAST_SAMPLES - 1)), "perf")]) is None


def test_what_has_no_name_is_not_named() -> None:
    assert allocator_in([(profile(("main > [libx.so] > malloc", 50)), "perf")]) is None


def test_every_stack_of_page_faults_brings_memory_in() -> None:
    seen = profile(
        ("main > fill > __memset_avx2_unaligned_erms", 12), ("main > cache_put > malloc > _int_malloc", 30)
    )
    assert allocator_in([(seen, "perf-faults")]) == Allocator("cache_put", 30, 42)
    assert allocator_in([(profile(("main > fill", 12)), "perf")]) is None


def test_a_function_of_gos_runtime_or_of_the_standard_library_did_not_ask() -> None:
    """It clears or grows what the program asked for: told was `runtime.memclrNoHeapPointers asks for memory`."""
    seen = profile(
        ("main.main > main.accept > runtime.mallocgcLarge > runtime.memclrNoHeapPointers", 16),
        ("main.main > main.accept", 4),
    )
    assert allocator_in([(seen, "perf-faults")]) == Allocator("main.accept", 20, 20)
    seen = profile(("main > add_quote > std::vector<…>::push_back > operator new > malloc", 12))
    assert allocator_in([(seen, "perf")]) == Allocator("add_quote", 12, 12)
    assert (
        allocator_in([(profile(("runtime.gcBgMarkWorker > runtime.(*mheap).grow", 30)), "perf-faults")])
        is None
    )
