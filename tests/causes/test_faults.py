"""Page faults seen while a rule is armed: the function that brings memory in is named, or nobody is.

Programs in C and C++ without frame pointers. Rings, the child that reads them, and the explainer are real.
More than 400 lines: most are programs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitord import procfs
from monitord.capture import fault_watch as observing
from monitord.causes import memory
from monitord.model import Cause
from monitord.perf_events.faults import THREADS_AT_MOST
from tests.causes.programs import Program, facts, grown_while_watched, observed, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="perf_event_open is Linux's")
Tool = Callable[[str], str]
HEAD = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#define OWN __attribute__((noinline))
void *kept[1 << 20]; volatile int number;
static void step(void) { puts("ready"); fflush(stdout); getchar(); }
OWN char *get(int size) { return (char *)malloc(size); }
OWN void cache_put(int size) { char *one = get(size); memset(one, 1, size); kept[number++] = one; }
OWN void handle(int size) { char text[300]; memset(text, number, 300); cache_put(size); number += text[7] == 99; }
OWN void render(int size) { char *one = (char *)malloc(size); memset(one, 2, size); number += one[7] == 99; free(one); }
"""


@pytest.fixture
def built(tmp_path: Path, require_tool: Tool) -> Callable[..., str]:
    def build(text: str, compiler: str = "gcc", *options: str) -> str:
        source = tmp_path / ("program.c" if compiler == "gcc" else "program.cc")
        source.write_text(HEAD + text)
        words = [require_tool(compiler), "-w", "-O2", "-pthread", *options, "-o", str(tmp_path / "program")]
        subprocess.run([*words, str(source)], check=True)
        return str(tmp_path / "program")

    return build


def grown(program: Program, meanwhile: Callable[[], object] = lambda: None) -> Cause:
    """What is said of the growth from one step to the next, with its page faults."""
    cause = grown_while_watched(program, meanwhile)
    if cause is None:
        pytest.skip(
            "the kernel grants no page faults: sudo sysctl kernel.perf_event_paranoid=2, or run as root"
        )
    return cause


IN_BLOCKS = "was the first to use"
LEAKS = {
    "small blocks": ("for (int n = 0; n < 9000; n++) handle(3000);", "the heap", IN_BLOCKS),
    "large blocks, which have a mapping each": (
        "for (int n = 0; n < 60; n++) handle(700000);", "anonymous memory", "brings memory in, which is kept",
    ),
    "beside one that gives back what it takes": (
        "for (int n = 0; n < 9000; n++) { render(500); handle(5000); }", "the heap", IN_BLOCKS,
    ),
}  # fmt: skip
OWN_FUNCTIONS = ("cache_put ", "get ")


@pytest.mark.parametrize("leak", LEAKS)
def test_the_function_that_leaks_is_named_with_the_way_to_it(leak: str, built: Callable[..., str]) -> None:
    text, mapping, verb = LEAKS[leak]
    with running([built(f"int main(void) {{ step(); {text} step(); }}")]) as program:
        cause = grown(program)
    sureness = "possible" if verb == IN_BLOCKS else "likely"
    assert (cause.kind, cause.confidence) == ("allocation", sureness), cause
    assert cause.sentence.startswith(OWN_FUNCTIONS), cause
    assert verb in cause.sentence
    assert f"; {mapping} grew by " in cause.sentence
    assert dict(cause.evidence)["stack"].startswith("main > handle > cache_put")


def test_of_cpp_the_programs_own_function_is_named_and_not_a_template_of_the_library(
    built: Callable[..., str],
) -> None:
    text = """
#include <map>
#include <string>
#include <vector>
namespace shop { struct Cart { std::vector<std::string> lines; OWN void add(int n); };
OWN void Cart::add(int n) { lines.push_back(std::string(900, 'a' + n % 26)); } }
int main() { shop::Cart cart; step(); for (int n = 0; n < 40000; n++) cart.add(n); step(); }
"""
    with running([built(text, "g++")]) as program:
        cause = grown(program)
    assert (cause.kind, cause.confidence) == ("allocation", "possible"), cause
    assert cause.sentence.startswith("shop::Cart::add was the first to use "), cause


def test_in_one_thread_of_several_it_is_named(built: Callable[..., str]) -> None:
    text = """
static volatile int go, done;
OWN void *idles(void *none) { for (;;) pause(); }
OWN void *fills(void *none) { while (!go) usleep(5000); for (int n = 0; n < 9000; n++) handle(3000); done = 1; for (;;) pause(); }
int main(void) { pthread_t one; pthread_create(&one, 0, fills, 0);
  for (int n = 0; n < 3; n++) pthread_create(&one, 0, idles, 0);
  step(); go = 1; while (!done) usleep(5000); step(); }
"""
    with running([built(text)]) as program:
        cause = grown(program)
    assert cause.sentence.startswith(OWN_FUNCTIONS), cause


LATER = """
OWN void *late(void *none) { for (int n = 0; n < EACH; n++) handle(3000); return 0; }
int main(void) { step(); for (int n = 0; n < COUNT; n++) { pthread_t one; pthread_create(&one, 0, late, 0);
  pthread_join(one, 0); } step(); }
"""


@pytest.mark.parametrize("count", [1, 30])
def test_in_threads_that_were_started_later_it_is_named(count: int, built: Callable[..., str]) -> None:
    """They are followed from their start on: threads that a watched one starts, and theirs."""
    with running([built(LATER, "gcc", f"-DEACH={9000 // count}", f"-DCOUNT={count}")]) as program:
        cause = grown(program)
    assert cause.sentence.startswith(OWN_FUNCTIONS), cause
    assert dict(cause.evidence)["stack"].startswith("late > handle > cache_put")


def test_who_gives_back_is_not_blamed_for_what_later_threads_keep_in_its_place(
    built: Callable[..., str],
) -> None:
    text = """
OWN void *keeps(void *none) { handle(16000000); return 0; }
int main(void) { pthread_t one; step(); render(160000000);
  for (int n = 0; n < 4; n++) { pthread_create(&one, 0, keeps, 0); pthread_join(one, 0); } step(); }
"""
    with running([built(text)]) as program:
        cause = grown(program)
    assert cause.kind != "allocation" or cause.sentence.startswith(OWN_FUNCTIONS), cause


def test_of_threads_too_short_for_a_sample_nobody_is_named(built: Callable[..., str]) -> None:
    """Most of the memory comes in below the first sample of each: the few that reach it do not speak for them."""
    text = LATER.replace("step(); }", "for (int n = 0; n < 1500; n++) render(900000); step(); }")
    with running([built(text, "gcc", "-DEACH=20", "-DCOUNT=500")]) as program:
        cause = grown(program)
    assert cause.kind != "allocation", cause


def test_a_function_without_a_name_is_told_by_where_it_begins(built: Callable[..., str]) -> None:
    text = "int main(void) { step(); for (int n = 0; n < 9000; n++) handle(3000); step(); }"
    with running([built(text, "gcc", "-s")]) as program:
        cause = grown(program)
    assert cause.sentence.startswith("function_at_0x"), cause


# -------------------------------------------------------------------------------------------- nobody is named


ALIKE = """
OWN void left(int size) { char *one = malloc(size); memset(one, 3, size); kept[number++] = one; }
OWN void right(int size) { char *one = malloc(size); memset(one, 4, size); kept[number++] = one; }
int main(void) { step(); for (int n = 0; n < 6000; n++) { left(3000); right(3000); } step(); }
"""


def test_two_functions_alike_are_unknown_and_both_are_named(built: Callable[..., str]) -> None:
    with running([built(ALIKE)]) as program:
        cause = grown(program)
    assert (cause.kind, cause.confidence) == ("unknown", "unknown"), cause
    assert "left and right bring memory in alike" in cause.sentence or "right and left" in cause.sentence


NOBODY = {
    "who used it first gave it back, and another keeps it": (
        "for (int n = 0; n < 9000; n++) { handle(3000); render(2500); }"
    ),
    "what is taken in and given back, while little stays": (
        "for (int n = 0; n < 300; n++) { render(20000000); } for (int n = 0; n < 50; n++) cache_put(90000);"
    ),
    "memory that the kernel filled in at once": (
        "kept[0] = mmap(0, 40 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);"
        "for (int n = 0; n < 20; n++) render(200000);"
    ),
    "huge pages": (
        "char *one = mmap(0, 66 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); madvise(one, 66 << 20, MADV_HUGEPAGE);"
        "memset(one, 1, 66 << 20); for (int n = 0; n < 900; n++) handle(3000);"
    ),
    "another process": "if (!fork()) { for (int n = 0; n < 9000; n++) handle(3000); _exit(0); } wait(0);",
}


@pytest.mark.parametrize("case", NOBODY)
def test_where_faults_do_not_say_it_no_function_is_named(case: str, built: Callable[..., str]) -> None:
    with running([built(f"int main(void) {{ step(); {NOBODY[case]} step(); }}")]) as program:
        cause = grown(program)
    assert cause.kind != "allocation", cause
    assert cause.sentence.startswith(
        ("the heap ", "anonymous memory ", "the file ", "the cause is not known")
    ), cause
    assert cause.kind == "mapping held" or dict(cause.evidence)["page faults"]


def test_a_block_that_another_of_the_same_size_may_have_taken_over_is_not_said_to_be_kept(
    built: Callable[..., str],
) -> None:
    """The one that gives it back is the first to use it, and the block looks the same afterwards."""
    text = "int main(void) { step(); for (int n = 0; n < 9000; n++) { handle(3000); render(3000); } step(); }"
    with running([built(text)]) as program:
        cause = grown(program)
    assert "keeps" not in cause.sentence
    assert cause.confidence == "possible"
    assert cause.decides is not None
    assert "of its size" in cause.decides


def test_a_file_that_is_read_through_a_mapping_is_no_leak_of_its_reader(
    built: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(40 << 20))
    text = """
OWN void reads(char *file) { for (int n = 0; n < 40 << 20; n += 4096) number += file[n]; }
int main(void) { char *file = mmap(0, 40 << 20, 1, MAP_PRIVATE, open("%s", O_RDONLY), 0); step(); reads(file); step(); }
"""
    with running([built(text % (tmp_path / "large"))]) as program:
        cause = grown(program)
    assert "reads" not in cause.sentence, cause
    assert cause.kind != "allocation"


def test_a_large_buffer_that_was_filled_once_is_a_step_and_no_leak(built: Callable[..., str]) -> None:
    text = "OWN void load(void) { cache_put(60000000); } int main(void) { step(); load(); step(); }"
    with running([built(text)]) as program:
        cause = grown(program, lambda: time.sleep(6))
    assert (cause.kind, cause.confidence) == ("mapping that grew", "possible"), cause
    assert "a step, and no leak" in dict(cause.evidence)["page faults"]


def test_another_program_in_the_same_process_is_not_told_by_the_maps_of_the_later(
    built: Callable[..., str], tmp_path: Path
) -> None:
    """What was seen before an exec has addresses that mean something else by now."""
    text = """
int main(int count, char **words) {
  if (count > 1) { step(); return 0; }
  step(); for (int n = 0; n < 9000; n++) handle(3000);
  execl("/proc/self/exe", "again", "again", (char *)0); }
"""
    with running([built(text)]) as program:
        watch = observing.watch(program.pid)
        try:
            program.go_on()
            seen = observed(program.pid, watch)
        finally:
            watch.close()
    assert seen["faults"]["stacks"] == []


def test_a_plugin_that_was_unloaded_is_not_told_by_the_name_of_the_next_one(
    built: Callable[..., str], tmp_path: Path, require_tool: Tool
) -> None:
    """Both lay at one address: the first filled the memory, the second did nothing."""
    for name in ("first", "second"):
        source = tmp_path / f"{name}.c"
        source.write_text(
            "#include <stdlib.h>\n#include <string.h>\n"
            f"__attribute__((noinline)) void {name}_fill(void **kept) {{ *kept = malloc(3000); memset(*kept, 1, 3000); }}\n"
            f"void run(void **kept, int count) {{ for (int n = 0; n < count; n++) {name}_fill(kept + n); }}\n"
        )
        words = [
            require_tool("gcc"),
            "-O2",
            "-shared",
            "-fPIC",
            "-o",
            str(tmp_path / f"{name}.so"),
            str(source),
        ]
        subprocess.run(words, check=True)
    text = """
#include <dlfcn.h>
static void use(char *file, int count) { void *plugin = dlopen(file, RTLD_NOW); ((void (*)(void **, int))dlsym(plugin, "run"))(kept, count);
  if (count) dlclose(plugin); }
int main(void) { step(); use("FOLDER/first.so", 9000); use("FOLDER/second.so", 0); step(); }
"""
    with running([built(text.replace("FOLDER", str(tmp_path)), "gcc", "-ldl")]) as program:
        cause = grown(program)
    assert "second_fill" not in cause.sentence, cause
    assert not any("second_fill" in told for _name, told in cause.evidence), cause


@pytest.mark.parametrize("count", [30, 3000])
def test_of_many_threads_few_are_watched_and_the_others_are_counted(
    count: int, built: Callable[..., str]
) -> None:
    """Most of the memory comes in in threads that are not watched: nobody is named, and it is said why."""
    text = """
static volatile int go;
OWN void *fills(void *none) { while (!go) usleep(20000); for (int n = 0; n < EACH; n++) { void *one = malloc(70000);
  memset(one, 1, 70000); } go++; for (;;) pause(); }
int main(void) { pthread_t one; pthread_attr_t how; pthread_attr_init(&how); pthread_attr_setstacksize(&how, 65536);
  for (int n = 0; n < COUNT; n++) if (pthread_create(&one, &how, fills, 0)) return 1;
  step(); go = 1; while (go < ENOUGH) usleep(20000); step(); }
"""
    numbers = [f"-DEACH={max(1, 1000 // count)}", f"-DCOUNT={count}", f"-DENOUGH={count * 9 // 10}"]
    with running([built(text, "gcc", *numbers)]) as program:
        assert program.said == "ready\n"
        watch = observing.watch(program.pid)
        assert len(watch.descriptors) in (0, 32, 2 * THREADS_AT_MOST * len(procfs.online_cpus()))
        watch.close()
        cause = grown(program)
    assert cause.kind != "allocation", cause
    assert "in the 16 threads that could be watched" in dict(cause.evidence)["page faults"]


AT_THE_END = """
OWN void left(int size) { char *one = malloc(size); memset(one, 3, size); kept[number++] = one; }
OWN void right(int size) { char *one = malloc(size); memset(one, 4, size); kept[number++] = one; }
static OWN void *idles(void *none) { for (;;) pause(); }
int main(void) { pthread_t one; for (int n = 0; n < OTHERS; n++) pthread_create(&one, 0, idles, 0);
  step(); for (int n = 0; n < 330; n++) left(1000000); for (int n = 0; n < 110; n++) right(1000000); step(); }
"""


@pytest.mark.parametrize("others", [0, 15])
def test_who_came_last_is_not_blamed_for_all_that_came_before(others: int, built: Callable[..., str]) -> None:
    """A ring holds the newest: they stand for no others. With many threads each ring may be short."""
    with running([built(AT_THE_END, "gcc", f"-DOTHERS={others}")]) as program:
        cause = grown(program)
    assert "right" not in cause.sentence, cause
    assert cause.sentence.startswith("left") or (others and cause.kind != "allocation"), cause


def test_where_another_program_runs_since_nobody_is_named(built: Callable[..., str]) -> None:
    """What it grew by is then no growth; and rings of threads that the exec ended tell of the earlier one."""
    text = "int main(int count, char **words) { step(); for (int n = 0; n < 9000; n++) handle(3000); if (count > 1) step();"
    text += ' execl("/proc/self/exe", "again", "again", (char *)0); }'
    with running([built(text)]) as program:
        cause = grown(program, program.go_on)
    assert cause.kind != "allocation", cause
    assert dict(cause.evidence)["page faults"] == "another program runs in it since"


def test_a_target_that_keeps_its_reader_waiting_costs_its_page_faults_and_nothing_else(
    built: Callable[..., str],
) -> None:
    """A page under userfaultfd that nobody fills holds up who reads it until he is killed.

    The reader takes what a register holds for the beginning of a block.
    """
    text = """
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
int main(void) { int fd = syscall(SYS_userfaultfd, O_CLOEXEC); struct uffdio_api api = { UFFD_API };
  char *area = mmap(0, 40 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register page = { { (long)area, 4096 }, UFFDIO_REGISTER_MODE_MISSING };
  if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &page)) { puts("refused"); return 1; }
  step(); for (int n = 4096; n < 40 << 20; n += 4096)
    asm volatile("movq $1, 8(%1)" : : "D"(area), "r"(area + n) : "memory");
  step(); }
"""
    with running([built(text)]) as program:
        if program.said != "ready\n":
            pytest.skip("userfaultfd is refused: sudo sysctl vm.unprivileged_userfaultfd=1, or run as root")
        cause = grown(program)
    assert cause.kind == "mapping that grew", cause
    assert "not in time" in dict(cause.evidence)["page faults"]


def test_a_program_that_floods_the_ring_costs_its_own_answer_only(built: Callable[..., str]) -> None:
    """Each new name of a thread is a record: the oldest of its CPU's are overwritten, and what is left is read."""
    text = """
int main(void) { cpu_set_t here; CPU_ZERO(&here); CPU_SET(sched_getcpu(), &here); sched_setaffinity(0, sizeof here, &here); step();
  for (int n = 0; n < 9000; n++) handle(3000); for (int n = 0; n < 60000; n++) { char name[16]; sprintf(name, "\\033[2J%d", n); prctl(PR_SET_NAME, name); } step(); }
"""
    with running([built(text)]) as program:
        cause = grown(program)
    assert cause.kind != "allocation", cause
    assert "too few were seen" in dict(cause.evidence)["page faults"]


def test_of_a_process_that_has_ended_nothing_is_recorded() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    watch = observing.watch(process.pid)
    assert watch.descriptors == ()
    watch.close()


def test_what_the_kernel_refuses_is_said_with_the_fix() -> None:
    heap = {"kinds": {"the heap": [90 << 20, 1]}, "groups": {"the heap": 90 << 20}}
    less = {"kinds": {"the heap": [10 << 20, 1]}, "groups": {"the heap": 10 << 20}}
    with subprocess.Popen(["sleep", "100"]) as process:
        refused = observed(process.pid, observing.Unwatched(13))["faults"]
        process.kill()
    cause = memory.explain(facts({"mappings": less}, {"mappings": heap, "faults": refused}))
    assert cause is not None
    assert dict(cause.evidence)["page faults"].startswith("not seen: not permitted; sudo sysctl kernel.perf")


@pytest.mark.parametrize(
    "planted",
    [
        {
            "stacks": [["the heap", 1e18, 100, 100, 0, [["\x1b[2J", "x"]]]],
            "pages": {"the heap": -1.0},
            "counted": 10,
        },
        {"stacks": [["the heap", 9, 9, 9, 0, []]] * 20, "pages": {"the heap": 20000.0}, "counted": 20000},
    ],
)
def test_what_was_observed_of_an_attackers_process_is_no_name_and_no_failure(planted: dict[str, Any]) -> None:
    heap = {"kinds": {"the heap": [90 << 20, 1]}, "groups": {"the heap": 90 << 20}}
    less = {"kinds": {"the heap": [10 << 20, 1]}, "groups": {"the heap": 10 << 20}}
    cause = memory.explain(facts({"mappings": less}, {"mappings": heap, "faults": planted}))
    assert cause is not None
    assert cause.kind == "mapping that grew"
