"""`monitord profile`: what it shows, what it keeps, and that nothing is left of a run, however it ends."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.children import own_command
from tests.patience import PATIENCE_S
from tests.scripts import scripts
from tests.scripts.conftest import Profiling, wait_for


def test_hot_lines_and_functions_are_shown_and_nothing_is_kept(profiling: Profiling) -> None:
    """The script's own words come through, then the table; no file and no store is made."""
    scripts.write(profiling.scripts, scripts.BURNS)
    answer = profiling.run("app.py", "--", "0.7", "--odd", "a b")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("said by the script ['0.7', '--odd', 'a b']\n")
    assert "project/app.py:6" in answer.out
    assert "total += number * number" in answer.out
    assert "inner" in answer.out
    assert "--save" in answer.err
    assert not profiling.data_dir.exists()


def test_as_json_stdout_holds_the_answer_alone(profiling: Profiling) -> None:
    """What the script prints goes to stderr then, so that the answer can be parsed."""
    scripts.write(profiling.scripts, scripts.BURNS)
    answer = profiling.run("app.py", "-o", "json")
    found = json.loads(answer.out)
    assert "said by the script" in answer.err
    assert found["kept"] is False
    assert found["exit_status"] == 0
    assert found["functions"][0]["function"] == "inner"
    assert {line["line"] for line in found["lines"][:2]} == {5, 6}
    assert found["sample_count"] > 10


def test_a_module_is_run_as_python_does(profiling: Profiling) -> None:
    """-m takes the words behind it as its arguments."""
    scripts.write(profiling.scripts / "package", scripts.BURNS, "work.py")
    answer = profiling.run("-m", "package.work", "--", "0.7")
    assert answer.code == 0, answer.err
    assert "said by the script ['0.7']" in answer.out
    assert "inner" in answer.out


def test_memory_is_measured_when_asked_for(profiling: Profiling) -> None:
    """--memory: the line that allocates is named with its bytes."""
    text = "kept = []\nfor _ in range(40):\n    kept.append(bytearray(4_000_000))\n" + scripts.BURNS
    scripts.write(profiling.scripts, text)
    found = json.loads(profiling.run("app.py", "--memory", "-o", "json").out)
    assert found["peak_bytes"] > 50_000_000
    assert any(line["line"] == 3 and line["allocated_bytes"] for line in found["lines"])


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (scripts.ENDS_WITH_7, (), 0),
        (scripts.ENDS_WITH_7, ("--exit-code",), 7),
        (scripts.TOO_SHORT, (), 1),
        (scripts.TOO_SHORT, ("--exit-code",), 7),
        (scripts.BROKEN, (), 1),
    ],
)
def test_the_exit_code_is_the_scripts_own_only_when_asked_for(
    profiling: Profiling, text: str, words: tuple[str, ...], code: int
) -> None:
    """Else it says whether there is a profile; a script too short for one is told apart by a sentence."""
    scripts.write(profiling.scripts, text)
    answer = profiling.run("app.py", *words)
    assert answer.code == code, answer.err
    assert "Traceback (most recent call last)" not in answer.err.split("monitord:")[-1]
    if code == 1:
        assert "cannot profile" in answer.err


def test_words_that_do_not_fit_are_refused_in_one_line(profiling: Profiling) -> None:
    """Missing, a folder, a binary, a shell script, a bad module: said before anything is started."""
    (profiling.scripts / "tool.sh").write_text("#!/bin/sh\necho no\n")
    shutil.copy("/bin/true", profiling.scripts / "tool")
    for words, code, said in (
        (("missing.py",), 3, "cannot find script"),
        ((".",), 2, "folder"),
        (("tool",), 2, "binary"),
        (("tool.sh",), 2, "/bin/sh"),
        (("-m", "../evil"), 2, "module"),
        (("--memory",), 2, "expected a script"),
        (("tool.sh", "--python", "/nowhere/python"), 2, "expected Python"),
        (("--standby", "--memory", "tool.sh"), 2, "--standby"),
    ):
        answer = profiling.run(*words)
        assert answer.code == code, (words, answer)
        assert said in answer.err
        assert len(answer.err.strip().splitlines()) == 1, answer.err


def test_a_python_without_scalene_is_named_with_what_to_install_there(profiling: Profiling, tmp_path) -> None:
    """The message can be copied into a shell."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    scripts.write(profiling.scripts, scripts.BURNS)
    profiling.environment.pop("PYTHONPATH")
    profiling.environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    answer = profiling.run("app.py", "--python", str(bare / "bin" / "python"))
    assert answer.code == 1
    assert f"{bare}/bin/python -m pip install scalene" in answer.err


# ----------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize("text", [scripts.ENDLESS, scripts.IGNORES_SIGINT, scripts.HANDLES_SIGINT])
def test_duration_ends_a_script_and_shows_what_there_is(profiling: Profiling, text: str) -> None:
    """Also one that does not heed SIGINT: SIGTERM follows, which Scalene hears."""
    scripts.write(profiling.scripts, text)
    for duration in ("4s", "16s", "64s"):  # on a slow machine Scalene itself starts that long
        answer = profiling.run("app.py", "--duration", duration)
        if "cannot profile" not in answer.err:
            break
    assert answer.code == 0, answer.err
    assert "inner" in answer.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_shows_what_there_is(profiling: Profiling, number: int) -> None:
    """Ctrl-C or SIGTERM: the profile so far, the usual exit code, and nobody left."""
    scripts.write(profiling.scripts, scripts.ENDLESS)
    process = profiling.start("app.py")
    assert process.stdout is not None
    assert "said by the script" in process.stdout.readline()
    wait_for(lambda: len(profiling.processes()) >= 4, "Scalene's processes")
    wait_for(lambda: _burnt(profiling) > 100, "the script to have used a second of CPU")
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, err
    assert "inner" in out


def _burnt(profiling: Profiling) -> int:
    """Clock ticks of the busiest process."""
    ticks = [0]
    for pid in profiling.processes():
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            ticks.append(int(fields[11]) + int(fields[12]))
        except OSError:
            continue
    return max(ticks)


def test_a_killed_monitord_leaves_no_script_and_no_file(profiling: Profiling) -> None:
    """kill -9: the supervisor notices and ends everything (the fixture looks)."""
    scripts.write(profiling.scripts, scripts.IGNORES_SIGINT)
    process = profiling.start("app.py", "--save")
    assert process.stdout is not None
    assert "said by the script" in process.stdout.readline()
    process.kill()
    process.wait()
    wait_for(lambda: profiling.processes() == [], "all of it to be gone")
    wait_for(lambda: profiling.left() == [], "the files to be gone")


def test_a_killed_supervisor_leaves_no_script_and_no_file(profiling: Profiling) -> None:
    """Then monitord itself clears up, and says that nothing was kept."""
    scripts.write(profiling.scripts, scripts.ENDLESS)
    process = profiling.start("app.py")
    assert process.stdout is not None
    assert "said by the script" in process.stdout.readline()
    supervisors = [pid for pid in profiling.processes() if b"# the supervisor" in _command_line(pid)]
    assert len(supervisors) == 1
    signal.pidfd_send_signal(_opened(supervisors[0]), signal.SIGKILL)
    _out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "nothing was kept" in err


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _opened(pid: int) -> int:
    import os

    return os.pidfd_open(pid)


def test_what_the_script_leaves_running_is_ended_and_said(profiling: Profiling) -> None:
    """A child in a session of its own does not outlive the run."""
    scripts.write(profiling.scripts, scripts.FORKS)
    answer = profiling.run("app.py")
    assert answer.code == 0
    pid = int(answer.out.split("child ")[1].split()[0])
    assert not Path(f"/proc/{pid}").exists()
    assert "left 1 process running" in answer.err


def test_a_script_may_change_its_folder(profiling: Profiling) -> None:
    """The profile is found all the same, and nothing lies where it went."""
    scripts.write(profiling.scripts, scripts.MOVES)
    answer = profiling.run("app.py")
    assert answer.code == 0, answer.err
    assert "inner" in answer.out
    assert not Path("/profile.json").exists()


def test_a_gigabyte_of_output_comes_through_untouched(profiling: Profiling) -> None:
    """The script writes to the very pipe that monitord was given: nothing is pumped, nothing is kept."""
    scripts.write(profiling.scripts, scripts.A_GIGABYTE)
    process = subprocess.Popen(
        [sys.executable, "-m", "monitord", "profile", "app.py"],
        env=profiling.environment, cwd=profiling.scripts, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    count, tail = 0, b""
    while piece := process.stdout.read(1 << 20):
        count += piece.count(b"x")
        tail = (tail + piece)[-4000:]
    assert process.wait(PATIENCE_S) == 0
    assert count >= 1000 << 20
    assert b"app.py" in tail


def test_a_file_in_the_temporary_folder_that_the_script_left_is_kept_and_named(profiling: Profiling) -> None:
    """Only what is Scalene's and ours goes: a script's result is nobody's litter."""
    scripts.write(profiling.scripts, scripts.LEAVES_A_FILE)
    answer = profiling.run("app.py")
    path = Path(answer.out.split("left ")[1].splitlines()[0])
    assert path.exists()
    assert str(path.parent) in answer.err
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    shutil.rmtree(path.parent)


# ------------------------------------------------------------------------------------- what is kept


def test_a_saved_profile_is_a_capture_like_any_other(profiling: Profiling) -> None:
    """list, show, compare, export, the incident's page and clear all know it."""
    scripts.write(profiling.scripts, scripts.BURNS)
    ids = []
    for _ in range(2):
        made = profiling.run("app.py", "--save", "-o", "json", "--", "0.7", "--password=s3cr3t-pw")
        ids.append(json.loads(made.out)["profile_id"])
    listed = json.loads(profiling.run("list", "-o", "json").out)
    assert [entry["correlation_id"] for entry in listed] == ids[::-1]
    shown = json.loads(profiling.run("show", ids[0], "-o", "json").out)
    assert shown["kept"] is True
    assert shown["functions"][0]["function"] == "inner"
    assert "inner" in profiling.run("show", "1").out
    compared = json.loads(profiling.run("compare", *ids, "-o", "json").out)
    assert compared["before"]["correlation_id"] == ids[0]
    assert any(one["function"] == "inner" for one in compared["differences"])
    assert "monitord profile" in profiling.run(ids[0], "--no-pager", group="show").out
    assert profiling.run("clear").code == 2
    assert profiling.run("clear", "--older-than", "1", "--yes").out.startswith("0 profiles")
    assert profiling.run("clear", "--yes").out.startswith("2 profiles")
    assert json.loads(profiling.run("list", "-o", "json").out) == []


def test_what_is_stored_names_no_home_and_no_secret(profiling: Profiling) -> None:
    """Paths begin with the project's folder or with ~; arguments and source lines are redacted."""
    text = scripts.BURNS.replace("total = 0", 'total = 0; password = "hunter2-hunter2"')
    scripts.write(profiling.scripts, text)
    profiling.run("app.py", "--save", "--", "0.7", "--password=s3cr3t-pw")
    answer = profiling.run("1", "-o", "-", "--raw", group="export")
    assert answer.code == 0, answer.err
    assert "project/app.py" in answer.out
    artefacts = [path for path in (profiling.data_dir / "artefacts").rglob("*") if path.is_file()]
    assert artefacts
    from monitord.storage import StoreReader

    with StoreReader(profiling.data_dir) as reader:
        [record] = reader.recent()
        assert record.artefact_key is not None
        payload = reader.payload(record.artefact_key, 1 << 24).decode()
    for kept in (payload, answer.out):
        assert str(profiling.home) not in kept.replace(str(profiling.data_dir), "")
        assert "s3cr3t-pw" not in kept
        assert "hunter2-hunter2" not in kept


PLANTED = ("scalene", "argparse", "json", "cloudpickle", "rich", "tempfile", "subprocess", "multiprocessing")
HELPED = """
import os, subprocess, sys
import helper
print("own folder first:", os.path.dirname(os.path.abspath(__file__)) in sys.path[:2])
print("callers folder:", os.getcwd() in sys.path, "inherited:", os.environ.get("PYTHONSAFEPATH"))
other = os.path.join(os.path.dirname(os.path.abspath(__file__)), "other.py")
subprocess.run(["python", other], check=True)
subprocess.run([sys.executable, "-c", "import beside; print(beside.SAID)"], check=True)
total = 0
for number in range(8_000_000):
    total += number * number
"""


@pytest.mark.parametrize("words", [(), ("--memory",)])
def test_nothing_in_the_callers_folder_stands_in_for_scalene(
    profiling: Profiling, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Not for a module that it imports, nor in what the script starts; the script has its own folder first."""
    folder = tmp_path / "elsewhere"
    scripts.write(folder, HELPED)
    (folder / "helper.py").write_text("print('helper of the script')\n")
    (folder / "other.py").write_text("import helper\nprint('other of the script')\n")
    (profiling.scripts / "beside.py").write_text("SAID = 'beside the caller'\n")
    for name in PLANTED:
        planted = (
            f"import os\nos.write(2, b'PLANTED {name}\\\\n')\nopen({str(tmp_path / 'ran')!r}, 'a').close()\n"
        )
        (profiling.scripts / f"{name}.py").write_text(planted)
    environment = {key: value for key, value in profiling.environment.items() if not key.startswith("PYTHON")}
    answer = subprocess.run(
        own_command("monitord", "profile", str(folder / "app.py"), *words),
        env=environment, cwd=profiling.scripts, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert "PLANTED" not in answer.stderr
    assert not (tmp_path / "ran").exists()
    assert "other of the script" in answer.stdout
    assert "own folder first: True\ncallers folder: False inherited: None\n" in answer.stdout
