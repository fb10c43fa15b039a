"""The class of CPU use by stacks and innermost frames: each class, what looks like it and is not, and unknown.

More than 400 lines: one function is asked, and most are rows of tables.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitord.causes.cpu import explain
from monitord.causes.facts import Facts, Taken
from monitord.causes.frame_classes import (
    class_of,
    is_by_name_alone,
    kernel_class_of,
    python_class_of,
    statement_class_of,
)
from monitord.causes.usage import usage_between
from monitord.model import Cause, Hotspot, TriggerMetric
from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.ranking import hotspots
from monitord.profiles.representation import Frame, Profile, Thread
from tests.fakes import an_alert

APP, JSON, RE = "/srv/app.py", "/usr/lib/python3.11/json/decoder.py", "/usr/lib/python3.11/re/__init__.py"
PYTHON, LIBC = "libpython3.11.so.1.0", "libc.so.6"
MAIN = Frame("<module>", APP, 90)


def python(name: str, line: int = 10, file: str = APP) -> Frame:
    return Frame(name, file, line)


def native(name: str, module: str = "/usr/bin/app") -> Frame:
    return Frame(name, module=module, kind="native")


def kernel(name: str) -> Frame:
    return Frame(name, module="[kernel.kallsyms]", kind="kernel")


def profile(*stacks: tuple[int, list[Frame]], idle: int = 0, thread: str = "main") -> Profile:
    builder = ProfileBuilder("perf")
    for count, frames in stacks:
        builder.add(Thread(thread, 1), [builder.frame(frame) for frame in frames], count)
    if idle:
        builder.add(Thread("idle", 2, is_idle=True), [builder.frame(python("wait"))], idle)
    return builder.build()


def usage(
    cpu_s: float = 1.9, system_s: float = 0.0, children_s: float = 0.0, **more: float
) -> dict[str, Any]:
    """Two seconds of a process."""
    zero = {
        "at_s": 0.0, "user_s": 0.0, "system_s": 0.0, "children_s": 0.0, "minor_faults": 0, "major_faults": 0,
        "children_faults": 0, "ran_s": 0.0, "waited_s": 0.0, "switches": 0, "io": {},
    }  # fmt: skip
    last = {
        **zero,
        "at_s": 2.0,
        "user_s": cpu_s - system_s,
        "system_s": system_s,
        "children_s": children_s,
        **more,
    }
    return {"first": zero, "last": {**last, "waits": {"states": {"R": 1}, "places": []}}}


def leaves(*stacks: tuple[int, list[tuple[str, str, str]]], thread: str = "app") -> dict[str, Any]:
    return {"stacks": [[count, thread, [list(frame) for frame in frames]] for count, frames in stacks]}


def facts(
    seen: Profile | None = None, below: dict[str, Any] | None = None, lines: dict[str, str] | None = None,
    **used: Any,
) -> Facts:  # fmt: skip
    spots: tuple[Hotspot, ...] = hotspots(seen) if seen else ()
    spots = tuple(replace(spot, source_line=(lines or {}).get(spot.function)) for spot in spots)
    after = {"usage": used.get("usage", usage()), "leaves": below or {}}
    return Facts(
        an_alert(), after=after, profiles=(seen,) if seen else (),
        taken=(Taken("profile", "perf"),) if seen else (), hotspots=spots,
    )  # fmt: skip


def told(given: Facts) -> tuple[str, str]:
    cause = explain(given)
    assert cause is not None
    return cause.kind, cause.confidence


SPIN = profile((190, [MAIN, python("spin")]))
EVAL = ("_PyEval_EvalFrameDefault", PYTHON, "native")
IN_EVAL = leaves((100, [EVAL]))


@pytest.mark.parametrize(
    ("kind", "seen", "below", "lines"),
    [
        ("tight loop", SPIN, IN_EVAL, {}),
        ("tight loop", profile((99, [native("main"), native("checksum")])), {}, {}),
        ("garbage collection", SPIN, leaves((80, [("visit_decref", PYTHON, "native")]), (20, [EVAL])), {}),
        ("garbage collection", profile((90, [native("runtime.gcBgMarkWorker"), native("runtime.scanobject")])), {}, {}),
        ("regular expression", SPIN, leaves((20, [("sre_ucs1_match", PYTHON, "native")]), (80, [EVAL])),
         {"spin": "WORDS.findall(text)"}),
        ("regular expression", profile((95, [MAIN, python("scan"), python("findall", 5, RE)])), IN_EVAL, {}),
        ("regular expression", profile((70, [native("main.main"), native("regexp.(*Regexp).doOnePass")])), {}, {}),
        ("serialisation", profile((95, [MAIN, python("load"), python("raw_decode", 353, JSON)])), IN_EVAL, {}),
        ("serialisation", SPIN, leaves((30, [("scan_once_unicode", "_json.cpython-311.so", "native")]), (70, [EVAL])),
         {"spin": "json.loads(TEXT)"}),
        ("lock", profile((60, [native("work"), native("pthread_mutex_lock", LIBC), kernel("futex_wait")]),
                         (20, [native("work")])), {}, {}),
        ("page faults", profile((80, [native("touch"), kernel("asm_exc_page_fault"), kernel("clear_page_erms")])), {}, {}),
        ("allocation", profile((60, [native("fill"), native("malloc", LIBC), native("_int_malloc", LIBC)]),
                               (20, [native("fill")])), {}, {}),
        ("process starts", profile((90, [native("spawn"), kernel("__x64_sys_clone"), kernel("copy_page_range")])), {}, {}),
        ("kernel", profile((90, [native("ask"), kernel("do_syscall_64"), kernel("vfs_read"), kernel("read_zero")])), {}, {}),
    ],
)  # fmt: skip
def test_each_class_is_told_by_its_frames(
    kind: str, seen: Profile, below: dict[str, Any], lines: dict[str, str]
) -> None:
    found, confidence = told(facts(seen, below, lines))
    assert found == kind
    assert confidence in ("likely", "certain")


def test_the_few_stacks_that_end_in_the_kernel_do_not_speak_for_a_python_program() -> None:
    """The black box has native frames below Python only where an extension or the kernel was at work."""
    seen = profile((170, [MAIN, python("spin")]), (20, [MAIN, python("spin"), kernel("clear_page_erms")]))
    assert told(facts(seen, IN_EVAL))[0] == "tight loop"


def test_a_cause_names_the_function_that_it_was_for() -> None:
    loaded = profile((95, [MAIN, python("load_orders", 12), python("raw_decode", 353, JSON)]))
    cause = explain(facts(loaded, IN_EVAL))
    assert cause is not None
    assert "load_orders (/srv/app.py)" in cause.sentence
    loop = explain(facts(SPIN, IN_EVAL))
    assert loop is not None
    assert "spin (/srv/app.py:10)" in loop.sentence


@pytest.mark.parametrize(
    ("seen", "below", "lines"),
    [
        # a function of the program's own that is called as a runtime's
        (profile((95, [native("main"), native("visit_decref")])), {}, {}),
        (profile((95, [native("main"), native("gc_mark_all")])), {}, {}),
        (profile((95, [native("main"), native("save_dict")])), {}, {}),
        (profile((95, [native("main"), native("malloc_report")])), {}, {}),
        # the program's own file that is called as a library's
        (profile((95, [MAIN, python("search", 3, "/srv/re.py")])), IN_EVAL, {}),
        # a line that looks like a regular expression, and nothing below it that matches any
        (SPIN, IN_EVAL, {"spin": "hits = index.findall(word)"}),
        (SPIN, IN_EVAL, {"spin": "with self.clock:"}),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_class_is_the_programs_own_code(
    seen: Profile, below: dict[str, Any], lines: dict[str, str]
) -> None:
    assert told(facts(seen, below, lines))[0] == "tight loop"


def test_two_classes_near_each_other_are_unknown_with_both_names_and_what_would_decide() -> None:
    both = profile(
        (44, [native("main"), native("runtime.scanobject")]),
        (40, [native("main"), native("runtime.mallocgc")]),
        (16, [native("main")]),
    )
    cause = explain(facts(both))
    assert cause is not None
    assert cause.kind == "unknown"
    assert cause.runner_up == "garbage collection or allocation"
    assert cause.decides is not None
    assert "gctrace" in cause.decides


def test_a_runner_up_is_told_beside_what_is_likely() -> None:
    mixed = profile(
        (60, [native("main"), native("runtime.scanobject")]), (30, [native("main"), native("runtime.mallocgc")]),
        (10, [native("main")]),
    )  # fmt: skip
    cause = explain(facts(mixed))
    assert cause is not None
    assert (cause.kind, cause.confidence, cause.runner_up) == ("garbage collection", "likely", "allocation")


def test_without_names_below_python_a_loop_is_only_possible() -> None:
    """A collector or an extension may be at work there: what would show it is said."""
    cause = explain(facts(SPIN, {"refused": "Operation not permitted"}))
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("tight loop", "possible")
    assert "native" in (cause.decides or "")


def test_time_spread_over_many_functions_is_no_loop() -> None:
    many = profile(*((3, [native("main"), native(f"part_{n}")]) for n in range(33)))
    cause = explain(facts(many))
    assert cause is not None
    assert cause.kind == "unknown"
    assert "spread over many functions" in cause.sentence


def test_a_function_without_a_name_is_no_loop() -> None:
    """Half of the code has no name: what it does is not known, however much of the time it has."""
    half = profile(
        (30, [native("main"), native("function_at_0x196480 build-id d178")]), (20, [native("Perl_runops", "perl")]),
        (14, [native("Perl_regexec_flags", "perl")]), (14, [native("malloc", LIBC)]),
    )  # fmt: skip
    assert told(facts(half))[0] == "unknown"


def test_few_samples_say_nothing_and_some_make_nothing_sure() -> None:
    assert told(facts(profile((3, [native("main"), native("spin")]))))[0] == "unknown"
    few = profile((8, [native("main"), native("runtime.scanobject")]))
    assert told(facts(few)) == ("garbage collection", "possible")


def test_what_would_decide_can_be_typed_and_is_not_asked_of_a_process_that_is_gone() -> None:
    """The pid stands in it; a short spike is told when its process has ended."""
    few = facts(profile((3, [native("main"), native("spin")])))
    lives, gone = explain(few), explain(replace(few, alert=an_alert(TriggerMetric.SHORT_SPIKE)))
    assert lives is not None
    assert lives.decides == f"a longer profile: monitord capture {few.alert.target.pid} --duration 30s"  # type: ignore[union-attr]  # it has one
    assert gone is not None
    assert gone.decides is None


def test_idle_threads_are_not_what_runs() -> None:
    crowd = profile((95, [MAIN, python("raw_decode", 353, JSON)]), idle=4000)
    assert told(facts(crowd, IN_EVAL))[0] == "serialisation"


def test_ended_children_that_used_most_are_starts_of_processes() -> None:
    seen = profile((20, [MAIN, python("run")]))
    cause = explain(facts(seen, usage=usage(0.3, children_s=1.5)))
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("process starts", "certain")
    assert told(facts(SPIN, IN_EVAL, usage=usage(1.9, children_s=0.05)))[0] == "tight loop"


def test_who_hardly_ran_is_idle_or_waits_for_a_disk_and_who_starved_is_neither() -> None:
    assert told(facts(usage=usage(0.01)))[0] == "idle"
    waiting = usage(0.1)
    waiting["last"]["waits"]["states"] = {"D": 1, "S": 3}
    assert told(facts(usage=waiting))[0] == "I/O wait"
    assert told(facts(usage=usage(0.05, waited_s=1.9)))[0] == "unknown"


def test_what_was_idle_at_the_alert_alone_is_not_called_idle() -> None:
    """A spike that was over when it was looked at has its class by the stacks from before."""
    before = replace(facts(SPIN, usage=usage(0.0)), taken=(Taken("before", "ring"),))
    assert told(before)[0] == "tight loop"
    assert told(facts(SPIN, usage=usage(0.0)))[0] == "idle"
    assert told(facts(profile(idle=50), usage=usage(0.0)))[0] == "idle"


def test_a_thread_of_the_collector_is_a_collector_whatever_its_frames_are_called() -> None:
    seen = profile((90, [native("0x7f001", "libjvm.so")]), thread="GC Thread#0")
    assert told(facts(seen))[0] == "garbage collection"


def test_a_late_profile_does_not_lead() -> None:
    late, timely = profile((90, [native("after")])), profile((90, [native("during")]))
    given = replace(
        facts(timely), profiles=(late, timely), taken=(Taken("profile", "perf", True), Taken("dump", "perf"))
    )
    cause = explain(given)
    assert cause is not None
    assert "during" in cause.sentence


def test_a_hostile_profile_takes_bounded_work() -> None:
    """A million frames are not walked: the first ones decide."""
    deep = [native(f"f{n}") for n in range(900)]
    huge = profile(*((1, [*deep, native(f"leaf{n}")]) for n in range(400)))
    assert isinstance(explain(facts(huge)), Cause)


@pytest.mark.parametrize(
    ("name", "module", "kind"),
    [
        ("gc_collect_main", PYTHON, "garbage collection"), ("gc_collect_main", "/usr/bin/app", None),
        ("runtime.mallocgc", "/srv/app", "allocation"), ("runtimes.mallocgc", "/srv/app", None),
        ("operator new(unsigned long)", "libstdc++.so.6", "allocation"), ("free", LIBC, "allocation"),
        ("free_all_users", "/srv/app", None), ("freeze", "/srv/app", None),
        ("boolean java.util.regex.Matcher.search(int)", "perf-1.map", "regular expression"),
        ("encoding/json.(*decodeState).object", "/srv/app", "serialisation"),
        ("serde_json::de::from_str", "/srv/app", "serialisation"), ("serde_rocks", "/srv/app", None),
        ("v8::internal::Scavenger::Process", "/usr/bin/node", "garbage collection"),
        ("sync.(*Mutex).lockSlow", "/srv/app", "lock"), ("pthread_mutex_lock", LIBC, "lock"),
        ("XML_ParseBuffer", "pyexpat.cpython-311.so", "serialisation"), ("anything", "_json.cpython-311.so", "serialisation"),
    ],
)  # fmt: skip
def test_names_of_functions(name: str, module: str, kind: str | None) -> None:
    assert class_of(name, module) == kind


def test_names_of_the_kernel_of_libraries_and_of_calls() -> None:
    assert kernel_class_of("do_anonymous_page") == "page faults"
    assert kernel_class_of("do_execveat_common") == "process starts"
    assert kernel_class_of("io_schedule") == "I/O wait"
    assert kernel_class_of("vfs_read") is None
    assert python_class_of("Pattern.x", RE) == "regular expression"
    assert python_class_of("x", "/home/ann/json/encoder.py") is None
    assert statement_class_of("data = json.loads(text)") == "serialisation"
    assert statement_class_of("data = loads(text)") is None
    assert statement_class_of(None) is None


def test_use_between_two_looks_counts_from_the_first() -> None:
    before, after = usage(0.5), usage(1.9)
    after["first"] = {**after["first"], "user_s": 1.0}
    found = usage_between(before, after)
    assert found is not None
    assert found.cpu_s == pytest.approx(1.9)
    alone = usage_between(None, after)
    assert alone is not None
    assert alone.cpu_s == pytest.approx(0.9)
    assert usage_between(None, {"first": {}, "last": 1}) is None
    assert usage_between(None, None) is None


def test_two_readings_that_are_near_each_other_do_not_make_a_process_idle() -> None:
    """Every profiler was refused at once: "used 0.0 % of a core, idle (likely)" was said of one that had burned."""
    near = usage(0.0, at_s=0.02)
    assert usage_between(None, near) is None
    assert told(facts(usage=near))[0] == "unknown"
    assert told(facts(usage=usage(0.0)))[0] == "idle"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("re_search_users", "regular expression"),
        ("xmlParseNothing", "serialisation"),
        ("cJSON_Parse", "serialisation"),
        ("futex_score", "lock"),
        ("pcre_match_all", "regular expression"),
    ],
)
def test_a_plain_name_in_the_programs_own_file_is_never_more_than_possible(name: str, kind: str) -> None:
    """Anybody may call a function so; in a library of that name it is what it is called."""
    stack = [(name, "program", "native"), ("main", "program", "native")]
    own = explain(facts(below=leaves((90, stack))))
    assert own is not None
    assert (own.kind, own.confidence, own.runner_up) == (kind, "possible", "tight loop")
    assert "only their names" in (own.decides or "")
    called = [(name, "libc.so.6", "native"), ("main", "program", "native")]
    library = explain(facts(below=leaves((90, called))))
    assert library is not None
    assert (library.kind, library.confidence) == (kind, "certain")
    frames = [native("_start"), native("main"), native(name)]
    profiled = explain(facts(profile((90, frames))))
    assert profiled is not None
    assert (profiled.kind, profiled.confidence) == (kind, "possible")
    assert f"most of it for {name} (" in profiled.sentence


@pytest.mark.parametrize(
    "name", ["regexp.(*Regexp).doExecute", "std::__detail::_Executor::_M_dfs", "runtime.gcDrain", "malloc"]
)
def test_a_qualified_name_and_an_allocator_are_believed_where_they_are(name: str) -> None:
    cause = explain(facts(below=leaves((90, [(name, "program", "native")]))))
    assert cause is not None
    assert cause.confidence == "certain"


@pytest.mark.parametrize("file", ["parser.so", "nokogiri.so", "mystery"])
def test_code_without_names_in_an_extension_is_not_the_programs_own(file: str) -> None:
    below = leaves((70, [("", file, "native")]), (20, [("rb_str_new", "libruby-3.1.so.3.1.2", "native")]))
    cause = explain(facts(below=below))
    assert cause is not None
    assert cause.confidence in ("unknown", "possible")
    assert "100 %" not in cause.sentence


@pytest.mark.parametrize("file", ["libperl.so.5.36.0", "php8.2", "libruby-3.1.so.3.1.2"])
def test_an_interpreter_without_names_may_do_anything(file: str) -> None:
    """It serialises and matches in its own file, too: nothing tells these from the program's own code."""
    for few in (leaves((9, [("main", file, "native")]), (81, [("", file, "native")])),):
        cause = explain(facts(profile((90, [native("[interpreter]", f"/usr/bin/{file}")])), below=few))
        assert cause is not None
        assert cause.confidence == "unknown"


def test_a_path_like_the_librarys_is_not_sure_where_nothing_below_it_agrees() -> None:
    """Anybody may keep a file at such a path; the accelerated library would be seen below it."""
    frames = [MAIN, python("raw_decode", file=JSON)]
    below = leaves((90, [("_PyEval_EvalFrameDefault", PYTHON, "native")]))
    cause = explain(facts(profile((90, frames)), below=below))
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("serialisation", "likely")


def test_what_a_library_calls_back_is_the_programs_own_work() -> None:
    """A hook of json, or a state that pickle asks for, computes: the library above it only waits for it."""
    called = profile((97, [MAIN, python("load"), python("loads", 346, JSON), python("enrich", 6)]))
    assert told(facts(called, IN_EVAL))[0] == "tight loop"
    helped = profile(
        (
            97,
            [
                MAIN,
                python("load"),
                python("loads", 346, JSON),
                python("any", 6, "/usr/lib/python3.11/enum.py"),
            ],
        )
    )
    assert told(facts(helped, IN_EVAL))[0] == "serialisation"


MALLOC = ("_PyObject_Malloc", PYTHON, "native")


@pytest.mark.parametrize(("allocating", "kind"), [(36, "tight loop"), (50, "tight loop"), (70, "allocation")])
def test_numbers_that_an_interpreter_makes_while_it_counts_are_a_part_of_the_loop(
    allocating: int, kind: str
) -> None:
    below = leaves((allocating, [MALLOC]), (100 - allocating, [EVAL]))
    assert told(facts(SPIN, below))[0] == kind


def test_where_numbers_are_made_about_as_often_as_they_are_used_the_function_is_named() -> None:
    """Sampling alone makes 53 % of what is 50: it was unknown, with a profiler of memory as the way out."""
    below = leaves((53, [MALLOC]), (43, [EVAL]), (4, [("irqentry_exit", "[kernel]", "kernel")]))
    cause = explain(facts(SPIN, below))
    assert cause is not None
    assert (cause.kind, cause.confidence, cause.runner_up) == ("tight loop", "likely", "allocation")
    assert "spin" in cause.sentence
    assert told(facts(SPIN, leaves((60, [MALLOC]), (40, [EVAL]))))[0] == "tight loop"


def test_a_share_of_few_readings_is_told_with_its_error_and_makes_nothing_certain() -> None:
    """Five samples of the black box share one reading of the Python stack: two functions alike are 74 to 26."""
    few = replace(profile((74, [MAIN, python("rank")]), (26, [MAIN, python("price")])), looks=14)
    cause = explain(facts(few, IN_EVAL))
    assert cause is not None
    assert cause.sentence.startswith("74 ± 2")
    assert ", and 26 ± 2" in cause.sentence, "it may have taken as much"
    assert "in price" in cause.sentence
    assert cause.confidence == "possible"
    many = explain(facts(replace(few, looks=1000), IN_EVAL))
    assert many is not None
    assert (many.confidence, "price" in many.sentence) == ("certain", False)
    always = replace(SPIN, looks=10)
    assert told(facts(always, IN_EVAL)) == ("tight loop", "likely")
    assert told(facts(SPIN, IN_EVAL)) == ("tight loop", "certain")


@pytest.mark.parametrize("file", ["php8.2", "bash", "gawk", "libruby-3.1.so.3.1.2", "lua5.4"])
def test_a_function_of_the_interpreter_is_not_told_as_the_programs(file: str) -> None:
    cause = explain(facts(profile((90, [native("run", file)]))))
    assert cause is not None
    assert cause.kind == "tight loop"
    assert "a function of the interpreter" in cause.sentence
    assert (cause.confidence, cause.decides) == ("likely", "a profiler of its own language")


@pytest.mark.parametrize("named", [6, 25, 36])
def test_where_most_of_what_ran_has_no_name_that_is_said(named: int) -> None:
    """80 % in one library without names was told as spread over many functions, the hottest with 6 %."""
    seen = profile(
        (80 - named, [native("main"), native("[generator.so]", "generator.so")]),
        (named, [native("main"), native("flatten")]), (20, [native("main"), native("send")]),
    )  # fmt: skip
    cause = explain(facts(seen))
    assert cause is not None
    assert cause.kind == "unknown"
    assert f"{80 - named} % of its CPU time went to code without names, in generator.so" in cause.sentence


def test_where_python_was_not_read_that_is_said() -> None:
    seen = profile((24, [native("[libpython3.11.so.1.0]", "")]), (6, [MAIN, python("crunch")]))
    cause = explain(facts(seen))
    assert cause is not None
    assert cause.kind == "unknown"
    assert "of 80 % of its CPU time the Python functions were not read" in cause.sentence
    now_and_then = next(spot for spot in hotspots(seen) if spot.function == "crunch")
    looked_on = replace(now_and_then, self_share=1.0, total_share=1.0, share_error=0.06)
    cause = explain(replace(facts(seen), hotspots=(*hotspots(seen), looked_on)))
    assert cause is not None
    assert cause.sentence.startswith("about 100 % of its CPU time is spent in crunch")


OF_ANOTHER = "fast.cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    "name", ["state_init", "load_tiles", "save_png", "gc_mark", "list_resize", "update_refs", "_PyMutex"]
)
def test_an_extension_names_its_functions_as_it_likes(name: str) -> None:
    """What says one thing in CPython itself says nothing in an extension of somebody."""
    cause = explain(facts(SPIN, leaves((100, [(name, OF_ANOTHER, "native"), EVAL]))))
    assert cause is not None
    assert cause.kind == "tight loop"


CLONES = [("copy_process", "[kernel]", "kernel"), ("kernel_clone", "[kernel]", "kernel")]
FORKS = [("copy_page_range", "[kernel]", "kernel"), ("dup_mm", "[kernel]", "kernel"), *CLONES]


@pytest.mark.parametrize(
    ("below", "more", "kind"),
    [
        (leaves((90, CLONES)), {}, "kernel"),
        (leaves((90, CLONES)), {"children_faults": 900}, "process starts"),
        (leaves((70, CLONES), (20, FORKS)), {}, "process starts"),
    ],
)  # fmt: skip
def test_who_starts_threads_is_not_said_to_start_processes(
    below: dict[str, Any], more: Any, kind: str
) -> None:
    """The kernel does the same for both: what is done for processes alone tells, and children that ended."""
    assert told(facts(None, below, usage=usage(system_s=1.9, **more)))[0] == kind


def test_the_life_of_a_child_that_ends_is_not_what_its_parent_does() -> None:
    """All that it ever used is added when it ends: a minute of CPU within the second that was watched."""
    own = facts(SPIN, IN_EVAL, usage=usage(children_s=60.0, children_faults=2000))
    assert told(own)[0] == "tight loop"
    starts = facts(None, leaves((90, FORKS)), usage=usage(system_s=1.5, children_s=5.0, children_faults=2000))
    assert told(starts) == ("process starts", "likely")


def test_an_allocator_below_code_without_names_is_no_loop() -> None:
    """The matcher of PHP has no names in code that it made. Of what has names, an allocator is hottest."""
    own = [(5, [native("main", "php8.2"), native(f"zend_{number}", "php8.2")]) for number in range(4)]
    made = (7, [native("[unknown]", "")])
    seen = profile((13, [native("main", "php8.2"), native("_emalloc", "php8.2")]), made, *own)
    cause = explain(facts(seen))
    assert cause is not None
    assert (cause.kind, cause.confidence) == ("unknown", "unknown"), cause


@pytest.mark.parametrize(
    "name", ["re_search_docs", "regexec_all", "futex_table", "mutex_spin_up", "XML_Parse"]
)
@pytest.mark.parametrize("module", ["/srv/libshop.so.1", "/srv/plugin.so", "libc-client.so", "/usr/bin/app"])
def test_a_plain_name_in_somebodys_library_is_no_certainty(name: str, module: str) -> None:
    """It says what it says in the C library, and is whatever its author likes anywhere else."""
    assert is_by_name_alone(name, module)
    cause = explain(facts(profile((95, [native("main"), native(name, module)]))))
    assert cause is not None
    assert cause.confidence == "possible"


@pytest.mark.parametrize("module", ["libc-client.so", "ld-plugin.so", "/srv/libc-tree.so.1"])
def test_the_c_library_is_told_by_all_of_its_name(module: str) -> None:
    assert class_of("merge_state", module) is None
    for its in ("libc.so.6", "libc-2.31.so", "ld-musl-x86_64.so.1"):
        assert class_of("merge_state_array", its) == "regular expression"
        assert not is_by_name_alone("regexec", its)


@pytest.mark.parametrize("line", ["with block:", "with self.clock:", "for a in root.findall('a'):"])
def test_a_line_that_only_looks_like_one_is_no_hint(line: str) -> None:
    assert statement_class_of(line) is None
    assert statement_class_of("with self.lock:") == statement_class_of("with _write_lock:") == "lock"
    assert statement_class_of("WORDS.findall(text)") == "regular expression"
