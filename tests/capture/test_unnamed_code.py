"""Code without a symbol keeps what it can be named by, and what to type is said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService, java
from monitord.capture.perf_fold import frame, stacks
from monitord.capture.unresolved import advice, without_interpreter
from monitord.model import Capture, CapturePlan, CaptureStatus, Hotspot
from monitord.profiles import hotspots, parse
from monitord.symbols.names import Names
from tests.capture import targets as t
from tests.capture.targets import GRACE_S, Targets, key_of, look_at, wait_for

Tool = Callable[[str], str]
PLAN = CapturePlan(profiler="perf", duration_s=2.0)
JAVA = """
public class Hot {
  static double hotLoop(int n) { double s = 0; for (int i = 1; i < n; i++) s += Math.sqrt(i) * (i % 7); return s; }
  public static void main(String[] a) { double t = 0; while (t >= 0) t += hotLoop(100000); System.out.println(t); }
}
"""
NODE = "function hotLoop(n) { let s = 0; for (let i = 0; i < n; i++) s += Math.sqrt(i) * (i % 7); return s }\nfor (;;) hotLoop(1e6)\n"


def profile_of(service: ProfileCaptureService, process: subprocess.Popen[bytes], folder: Path) -> Capture:
    wait_for(lambda: int(t.stat_fields(process.pid)[11]) > 20, "it to work")
    return service.capture(key_of(process), PLAN, folder)[-1]


def test_a_stripped_program_is_named_by_the_offset_of_its_function(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    """The offset is that of the function's first byte; the module has its build id; the fix names both."""
    require_tool("perf")
    named = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    program = targets.folder / "target"
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines()
    start = next(int(line.split()[0], 16) for line in symbols if line.endswith(" hot_leaf"))
    stripped = targets.folder / "stripped"
    subprocess.run(["strip", "-o", stripped, program], check=True)
    named.kill()
    profile = profile_of(service, targets.start(str(stripped)), folder)
    assert profile.status is CaptureStatus.OK
    top = profile.hotspots[0]
    assert top.function == f"function_at_0x{start:x}", (profile.path and profile.path.read_text())[:600]
    assert (top.module or "").startswith(f"{stripped} build-id ")
    assert top.func_id is not None
    assert "stripped" in profile.notes["unnamed"]
    assert (top.module or "").rpartition(" ")[2] in (profile.fix or "")


def test_java_is_named_by_asking_it(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    source = targets.script(JAVA, "Hot.java")
    subprocess.run([require_tool("javac"), "-d", targets.folder, source], check=True)
    process = targets.start(require_tool("java"), "-cp", str(targets.folder), "Hot")
    profile = profile_of(service, process, folder)
    assert profile.notes["java"] == java.OF_NOW
    assert "Hot.hotLoop" in profile.hotspots[0].function
    assert process.poll() is None


def test_a_java_that_can_not_be_asked_is_left_alone_and_says_so(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    """With -Xrs the signal would end it."""
    require_tool("perf")
    source = targets.script(JAVA, "Hot.java")
    subprocess.run([require_tool("javac"), "-d", targets.folder, source], check=True)
    process = targets.start(require_tool("java"), "-Xrs", "-cp", str(targets.folder), "Hot")
    profile = profile_of(service, process, folder)
    assert "does not listen" in profile.notes["java"]
    assert profile.fix is not None
    assert process.poll() is None


@pytest.mark.parametrize("flag", ["--perf-basic-prof", None])
def test_node_is_named_or_what_to_type_is_said(
    flag: str | None, targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    script = targets.script(NODE, "hot.js")
    words = [require_tool("node"), *([flag] if flag else []), str(script)]
    process = targets.start(*words)
    profile = profile_of(service, process, folder)
    Path(f"/tmp/perf-{process.pid}.map").unlink(missing_ok=True)
    if flag:
        assert any("hotLoop" in spot.function for spot in profile.hotspots[:3])
    else:
        assert "node --perf-basic-prof" in (profile.fix or "")
        assert "without names" in profile.notes["unnamed"]
        assert next(spot for spot in profile.hotspots if spot.function == "[unknown]").func_id is None


def test_unknown_code_of_two_programs_is_never_the_same() -> None:
    """Neither unnamed nor addressed code shares an id; a binary of the same name has another build id."""
    spots = [
        spot
        for word in (
            "[unknown] (/a/app)",
            "0x1139 (/b/app build-id 11)",
            "[unknown] ([JIT] tid 7)",
            "0x7f (//anon)",
        )
        for spot in hotspots(parse("folded", f"{word} 5\n".encode()))
    ]
    assert [spot.func_id for spot in spots] == [None] * 4
    ids = {
        hotspots(parse("folded", f"function_at_0x1139 (/x/app build-id {build}) 5\n".encode()))[0].func_id
        for build in ("11aa", "22bb")
    }
    assert len(ids) == 2
    assert None not in ids


def test_a_frame_of_eu_stack_without_a_symbol_is_no_function_called_dash() -> None:
    text = b"PID 7 - process\nTID 7:\n#0  0x00007f971000667c - /usr/bin/node\n#1  0x18cfd1c Entry - /usr/bin/node\n"
    spots = hotspots(parse("eu-stack", text))
    assert [(spot.function, spot.module) for spot in spots] == [
        ("[unknown]", "/usr/bin/node"), ("Entry", "/usr/bin/node"),
    ]  # fmt: skip


def test_a_frame_of_eu_stack_without_a_symbol_keeps_its_place_in_its_module(
    targets: Targets, folder: Path, require_tool: Tool
) -> None:
    """Module, offset and build id, as perf's frames have them, in the look and in the ten of them."""
    require_tool("eu-stack")
    named = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    stripped = targets.folder / "stripped"
    subprocess.run(["strip", "-o", stripped, targets.folder / "target"], check=True)
    named.kill()
    process = targets.start(str(stripped))
    wait_for(lambda: int(t.stat_fields(process.pid)[11]) > 5, "it to work")
    service = ProfileCaptureService(Consent(), grace_s=GRACE_S, tools={"perf": "/nonexistent/perf"})
    look = service.read(look_at(service, process, folder, "eu-stack"), folder)
    profile = service.capture(key_of(process), CapturePlan(duration_s=1.0), folder)[-1]
    notes = subprocess.run(["readelf", "-n", stripped], capture_output=True, text=True, check=True).stdout
    build_id = notes.partition("Build ID: ")[2].split()[0]
    for capture in (look, profile):
        assert (capture.profiler, capture.status) == ("eu-stack", CaptureStatus.OK), capture.reason
        module = f"{stripped} build-id {build_id[:16]}"
        assert (capture.hotspots[0].function, capture.hotspots[0].module) == ("[unknown]", module)
        kept = capture.payload if capture.path is None else capture.path.read_bytes()
        places = [int(one.name, 16) for one in parse("eu-stack", kept or b"").frames if one.module == module]
        assert places
        assert all(0x1000 <= place < 0x2000 for place in places), places  # where its code lies
    assert b"[" not in (look.payload or b"").partition(b"__libc_start")[2].splitlines()[1]
    assert build_id[:16] in (profile.fix or "")


def test_mappings_told_by_perf_name_what_has_no_symbol() -> None:
    names = Names()
    head = "app 0/0 0.0: PERF_RECORD_MMAP2 7/7: [0x55a0(0x6000) @ 0x2000 fe:01 77 88]: r-xp /nonexistent/a b"
    lines = [f"{head}\n", "app 7/7 1.0:\n", "\t  1139 [unknown] (/nonexistent/a b)\n", "\n"]
    assert list(stacks(lines, names)) == [("0x1139 (/nonexistent/a b)",)]
    assert frame("7f00 [unknown] (/tmp/perf-7.map)", names) == "[unknown] (/tmp/perf-7.map)"
    assert frame("10 main ([kernel.kallsyms])", names) == "main ([kernel.kallsyms])"
    assert (
        frame("10 main (/usr/bin/app)", names) == "[unknown] (/usr/bin/app)"
    )  # nobody said that it is mapped
    path = str(Path(sys.executable).resolve())
    found = Path(path).stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    for inode, words in ((found.st_ino, f"main ({path})"), (found.st_ino + 1, f"0x10 ({path})")):
        names.note(f"app 0/0 0.0: PERF_RECORD_MMAP2 7/7: [0x0(0x6000) @ 0 {device} {inode} 0]: r-xp {path}")
        # The second time, two files had this name: which one the frame is of can't be told.
        assert frame(f"10 main ({path})", names) == words


@pytest.mark.parametrize(
    ("function", "module", "executable", "words", "fix"),
    [
        ("[unknown]", "/tmp/perf-7.map", "/usr/bin/node", "made while it ran", "--perf-basic-prof"),
        ("[unknown]", "[JIT] tid 7", "/usr/lib/jvm/bin/java", "made while it ran", "Java 17"),
        ("function_at_0x10", "/usr/bin/xz build-id abcd", "/usr/bin/xz", "xz is stripped", "build-id abcd"),
        ("[unknown]", "/usr/lib/libfoo.so", "/usr/bin/app", "libfoo.so is stripped", "-dbgsym"),
        ("Perl_pp_multiply", "/usr/bin/perl", "/usr/bin/perl5.36", "not of the Perl program", None),
        ("PyLong_Add", "/opt/lib/libpython3.11.so.1.0", "/opt/bin/python3.11", "not of the Python", None),
        ("rb_ary_each", "/usr/lib/libruby.so", "/usr/bin/ruby3.1", "not of the Ruby program", None),
    ],
)  # fmt: skip
def test_what_has_no_names_is_told_with_what_to_type(
    function: str, module: str, executable: str, words: str, fix: str | None
) -> None:
    found = advice([Hotspot(function, None, None, 0.9, 0.9, kind="native", module=module)], executable)
    assert found is not None
    assert words in found[0]
    assert (fix in (found[1] or "")) if fix else found[1] is None


@pytest.mark.parametrize(
    ("module", "evaluates", "works"),
    [
        ("/usr/bin/python3.11", ("_PyEval_EvalFrameDefault", "PyNumber_Multiply"), "sre_ucs1_match"),
        ("/usr/bin/python3.11", ("object_dealloc", "x_add"), "k_mul"),
        ("/opt/lib/libpython3.13.so.1.0", ("_PyEval_EvalFrameDefault", "_PyLong_Add"), "list_sort_impl"),
        ("/usr/lib/libruby-3.1.so.3.1.2", ("rb_yield", "vm_exec_core"), "onig_match"),
        ("/usr/bin/perl", ("Perl_pp_iter", "Perl_runops_standard"), "deflate"),
        ("/usr/sbin/php-fpm8.2", ("execute_ex", "zend_hash_find"), "sha256_block"),
    ],
)  # fmt: skip
def test_what_evaluates_a_program_is_not_told_as_its_function(
    module: str, evaluates: tuple[str, str], works: str
) -> None:
    """Together they are unknown; what else the binary does, and functions of that name elsewhere, keep theirs."""
    spots = [
        Hotspot(name, None, None, share, 0.9, kind="native", module=place)
        for name, share, place in (
            (evaluates[0], 0.4, module), (works, 0.2, module), (evaluates[1], 0.2, module),
            (evaluates[0], 0.1, "/usr/bin/app"),
        )
    ]  # fmt: skip
    told = [(spot.function, round(spot.self_share, 3)) for spot in without_interpreter(spots)]
    assert told == [("[unknown]", 0.6), (works, 0.2), (evaluates[0], 0.1)]
    assert without_interpreter(spots[3:]) == tuple(spots[3:])


def test_what_has_its_names_needs_no_advice() -> None:
    spots = [
        Hotspot("hot", None, None, 0.8, 0.9, kind="native", module="/usr/bin/app"),
        Hotspot("[unknown]", None, None, 0.1, 0.1, kind="native", module="/usr/bin/app"),
    ]
    assert advice(spots, "/usr/bin/app") is None


@pytest.mark.parametrize(
    ("kind", "module"), [("native", "/srv/app/fast.cpython-311-x86_64-linux-gnu.so"), ("python", None)]
)
def test_what_python_called_by_its_name_is_not_the_interpreter(kind: str, module: str | None) -> None:
    spots = [Hotspot("hot", None, None, 0.8, 0.9, kind=kind, module=module)]
    assert advice(spots, "/usr/bin/python3.11") is None
