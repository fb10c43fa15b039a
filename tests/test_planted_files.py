"""Files planted wherever a user can write: no process that monitord starts runs, imports, reads or follows one.

`STARTS` names every place in the source that starts a process. A new one fails the first test until it stands
here, with the exercise that starts it among planted files, or the reason why it needs none. More than
400 lines, because there is one table.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import monitord
from monitord.children import own_command
from monitord.errors import MonitordError
from tests.patience import PATIENCE_S

PACKAGE = Path(monitord.__file__).parent
_STARTING = {
    *("run", "Popen", "call", "check_call", "check_output", "getoutput", "system", "popen", "fork", "forkpty"),
    *("posix_spawn", "posix_spawnp", "execl", "execlp", "execv", "execve", "execvp", "execvpe", "spawnv", "spawnve"),
    *("create_subprocess_exec", "create_subprocess_shell"),
}  # fmt: skip
_MODULES = {"subprocess", "os", "asyncio", "pty", "multiprocessing"}
BY_THE_SUPERVISOR = "below the supervisor: exercised by a capture"
THE_USERS_OWN = "runs what the person who types it named, as that person"
AS_THE_TARGET = (
    "an isolated script of ours, as the target's own user, of root's rights for a process of root's alone"
)
INSTALLING = (
    "makes root's environment: exercised by tests/service/test_real_install.py, from a planted folder"
)
NOT_HERE = "macOS only; an absolute program"
A_FORK = "a copy of the child that observes a target; it runs no program"
STARTS = {
    "analytics/engine.py:_start": "question",
    "causes/memory.py:_apart": A_FORK,
    "capture/dumps.py:main": BY_THE_SUPERVISOR,
    "capture/java.py:ask_for_names": AS_THE_TARGET,
    "capture/perf_fold.py:main": BY_THE_SUPERVISOR,
    "scripts/request.py:_asked": THE_USERS_OWN,
    "scripts/start_scalene.py:Popen": THE_USERS_OWN,
    "scripts/start_scalene.py:_start": THE_USERS_OWN,
    "capture/sources.py:_owner_of": NOT_HERE,
    "mcp_server/acting.py:run_own_command": "assistant",
    "cli/incidents.py:reveal": NOT_HERE,
    "cli/run.py:run": "daemon",
    "actions/desktop.py:_run": THE_USERS_OWN,
    "actions/service.py:ask_manager": "commands",
    "cli/service.py:logs": "commands",
    "actions/service.py:control_service": "commands",
    "cli/terminal.py:page": THE_USERS_OWN,
    "daemon/errands.py:_start": "errands",
    "daemon/upload_supervisor.py:_start": "uploader",
    "daemon/message_supervisor.py:_start": "messages",
    "actions/notifying.py:_trials": "messages",
    "notify/receivers/command.py:send": "messages",
    "notify/receivers/desktop.py:send": "messages",
    "doctor/tools.py:_tool": "commands",
    "export/evidence.py:_ask": "forms",
    "sampling/network.py:_run": "talkers",
    "service/apply.py:_run": "commands",
    "service/environment.py:_call": INSTALLING,
    "service/environment.py:_take_over": INSTALLING,
    "service/failure.py:unit_failure": "commands",
    "storage/opening.py:migrate_in_child": "migration",
    "supervision/__init__.py:__init__": "capture",
    "supervision/supervisor.py:_start": BY_THE_SUPERVISOR,
    "supervision/supervisor.py:_become_it": BY_THE_SUPERVISOR,
}
# Names that something of ours imports, or looks up in PATH.
_IMPORTED = (
    *("duckdb", "pyarrow", "numpy", "pandas"),
    *("typer", "json", "sitecustomize", "usercustomize", "msgspec", "sqlalchemy", "alembic", "structlog", "pyroute2"),
    *("psutil", "click", "subprocess", "socket", "mcp", "platformdirs", "apscheduler", "cachetools", "runpy"),
)  # fmt: skip
_PROGRAMS = (
    "py-spy",
    "perf",
    "eu-stack",
    "systemctl",
    "journalctl",
    "notify-send",
    "python3",
    "sleep",
    "sh",
    "less",
    "id",
    "ps",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A folder full of traps, and what they leave when one of them is sprung."""

    folder: Path
    mark: Path

    def sprung(self) -> str:
        return self.mark.read_text() if self.mark.exists() else ""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """Traps in the current folder, HOME, PATH, PYTHONPATH, PYTHONSTARTUP, the user's packages, TMPDIR and XDG_*."""
    folder, mark = tmp_path / "project", tmp_path / "sprung"
    _modules(folder, mark)
    (folder / "monitord").mkdir()
    for name in ("__init__.py", "__main__.py", "daemon.py"):
        (folder / "monitord" / name).write_text(_trap(mark, f"monitord/{name}"))
    home = tmp_path / "home"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = home / ".local/lib" / version / "site-packages"
    _modules(packages, mark)
    (packages / "evil.pth").write_text(f"import os; open({str(mark)!r}, 'a').write('pth ')\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in _PROGRAMS:
        (programs / name).write_text(f"#!/bin/sh\necho program {name} >> {mark}\nexit 1\n")
        (programs / name).chmod(0o755)
    for name, value in {
        "HOME": home, "PYTHONPATH": f":{folder}", "PYTHONSTARTUP": folder / "typer.py", "PYTHONHOME": "",
        "PYTHONUSERBASE": home / ".local", "TMPDIR": folder, "XDG_DATA_HOME": folder, "XDG_CACHE_HOME": folder,
        "PATH": f"{programs}:{os.environ['PATH']}", "LD_LIBRARY_PATH": folder, "PERF_EXEC_PATH": folder,
        "DEBUGINFOD_URLS": "http://127.0.0.1:9", "PERF_BUILDID_DIR": folder,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(folder)
    return Planted(folder, mark)


def _modules(folder: Path, mark: Path) -> None:
    folder.mkdir(parents=True)
    for name in _IMPORTED:
        (folder / f"{name}.py").write_text(_trap(mark, f"{folder.name}/{name}"))


def _trap(mark: Path, what: str) -> str:
    return f"with open({str(mark)!r}, 'a') as file:\n    file.write({what!r} + ' ')\n"


def _started(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """One of our commands, started as a service file or an assistant's configuration starts it."""
    command = own_command("monitord", *words)
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options
    )


def _commands(_data_dir: Path) -> None:
    for words in (
        ("doctor",), ("recent",), ("status",), ("service", "status"), ("service", "logs", "-n", "1"),
        ("service", "install", "--print"), ("config", "path"), ("rules", "list"), ("storage", "status"), ("events",),
        ("storage", "metrics"), ("plan", "list"), ("hot",), ("profile", "list"), ("version",), ("--help",),
    ):  # fmt: skip
        _started(*words)
    from monitord.actions.service import ask_manager
    from monitord.errors import MonitordError
    from monitord.service.apply import _run

    try:
        _run(("systemctl", "--version"))
        ask_manager(0)
    except (FileNotFoundError, MonitordError):
        pass  # a machine without systemd: not found is what it has to be


def _daemon(data_dir: Path) -> None:
    command = own_command("monitord", "run", "--data-dir", str(data_dir))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        try:
            assert any("daemon.started" in line for line in lines)
            assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
        finally:
            process.terminate()
            process.stderr.read()


def _assistant(data_dir: Path) -> None:
    """What `mcp install` prints, started in the project's folder; then a command on an assistant's behalf."""
    from monitord.actions.workspace import Workspace
    from monitord.mcp_server.acting import run_own_command

    said = _started("mcp", "install", "--client", "cursor", "--data-dir", str(data_dir))
    entry = json.loads(said.stdout)["mcpServers"]["monitord"]
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }}  # fmt: skip
    done = subprocess.run(
        [entry["command"], *entry["args"]], input=json.dumps(hello) + "\n", capture_output=True, text=True,
        timeout=PATIENCE_S,
    )  # fmt: skip
    assert "serverInfo" in done.stdout, done.stderr
    with pytest.raises(MonitordError):
        run_own_command(Workspace(data_dir), ["keep", "77"])


def _uploader(data_dir: Path) -> None:
    from monitord.daemon.upload_supervisor import UploadSupervisor

    (data_dir / "artefacts").mkdir(parents=True, mode=0o700)
    (data_dir / "artefacts/20260101T000000Z-1-abcdef").write_bytes(b"x")
    uploads = UploadSupervisor(data_dir, None, uploads=True, archives=False)
    uploads.poll()
    child = uploads._child
    assert child is not None
    child.wait(PATIENCE_S)
    uploads.close(1.0)


def _messages(data_dir: Path) -> None:
    """A trial of every kind that starts something, and the sender as the recorder starts it."""
    from monitord.daemon.message_supervisor import MessageSupervisor

    config = data_dir.parent / "messages.toml"
    kinds = (
        'kind = "desktop"',
        'kind = "command"\ncommand = ["/bin/cat"]',
        'kind = "apprise"\nurl = "json://127.0.0.1:9"',
    )
    tables = [f"[[notify.receivers]]\nname = 'n{number}'\n{kind}" for number, kind in enumerate(kinds)]
    config.write_text("\n".join(tables))
    told = json.loads(_started("notify", "test", "--config", str(config), "--json").stdout)
    assert [one["error"] is None for one in told][1:] == [True, False]
    data_dir.mkdir(mode=0o700)
    messages = MessageSupervisor(data_dir, config, 30.0)
    messages.poll()
    child = messages._child
    assert child is not None
    assert child.wait(PATIENCE_S) == 0
    messages.close(1.0)


def _errands(data_dir: Path) -> None:
    """Every errand, whatever comes of it in a folder where nothing was recorded, and one that only answers."""
    from monitord.config import load
    from monitord.daemon.errands import ERRANDS, Errand, Errands

    data_dir.mkdir(mode=0o700)
    answers = Errand("answers", ("monitord", "--help"), 1e9, 0.0, PATIENCE_S, lambda _settings: True)
    wanted = [replace(each, is_wanted=answers.is_wanted, first_after_s=0.0, every_s=1e9) for each in ERRANDS]
    told: list[str] = []
    errands = Errands(data_dir, None, lambda done: told.append(done.name), errands=(answers, *wanted))
    errands.use(load(None, {}).settings)
    deadline_s = time.monotonic() + PATIENCE_S * (1 + len(wanted))
    while len(told) <= len(wanted):
        assert time.monotonic() < deadline_s, told
        errands.poll()
        time.sleep(0.05)  # between two looks at whether a child has ended
    errands.close(1.0)


def _question(_data_dir: Path) -> None:
    from monitord.analytics.engine import open_engine

    with open_engine([]) as engine:
        assert list(engine.ask("SELECT 1").rows) == [(1,)]


def _forms(_data_dir: Path) -> None:
    from monitord.export.evidence import _ask

    with pytest.raises((MonitordError, KeyError)):
        _ask([], {"task": "write", "forms": ["folded"]})


def _talkers(_data_dir: Path) -> None:
    from monitord.sampling.network import traffic

    assert "failed" not in traffic(0.05).said


def _migration(data_dir: Path) -> None:
    from monitord.storage.opening import migrate_in_child

    data_dir.mkdir(mode=0o700, exist_ok=True)
    migrate_in_child(data_dir)


def _capture(data_dir: Path) -> None:
    """Every profiler of this platform, a program of no language and one in Python, whose own folder is planted."""
    from monitord.capture import Consent, ProfileCaptureService
    from monitord.model import CapturePlan
    from tests.capture.targets import PYTHON_BURNER, key_of

    folder = data_dir.parent / "spool"
    for words in (["/bin/sh", "-c", "while :; do :; done"], [sys.executable, "-I", "-c", PYTHON_BURNER]):
        target = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})
        try:
            time.sleep(0.1)  # not for an event: a target that has only begun is as good
            service = ProfileCaptureService(Consent())
            service.first_look(key_of(target), folder)
            for profiler in ("auto", "perf", "eu-stack"):
                service.capture(key_of(target), CapturePlan(profiler=profiler, duration_s=0.3), folder)
        finally:
            target.kill()
            target.wait()


EXERCISES: dict[str, Callable[[Path], None]] = {
    "assistant": _assistant,
    "capture": _capture,
    "commands": _commands,
    "uploader": _uploader,
    "daemon": _daemon,
    "errands": _errands,
    "forms": _forms,
    "messages": _messages,
    "migration": _migration,
    "question": _question,
    "talkers": _talkers,
}


def _starts() -> set[str]:
    """FILE:FUNCTION of every call that starts a process."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and _is_start(call.func):
                    found.add(f"{path.relative_to(PACKAGE)}:{function.name}")
    return found


def _is_start(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _STARTING
        and isinstance(function.value, ast.Name)
        and function.value.id in _MODULES
        and (function.value.id, function.attr) != ("asyncio", "run")  # a loop
    )


def test_every_place_that_starts_a_process_is_known_and_exercised() -> None:
    """No new one is forgotten, and none is left here that is gone."""
    assert _starts() == set(STARTS)
    reasons = {BY_THE_SUPERVISOR, THE_USERS_OWN, AS_THE_TARGET, INSTALLING, NOT_HERE, A_FORK}
    assert {value for value in STARTS.values() if value not in reasons} == set(EXERCISES)


def test_an_interpreter_of_ours_is_started_in_one_way_alone() -> None:
    """`-m` beside our own interpreter, and PYTHONPATH for a child, stand in one module; it says -I.

    What starts Scalene runs in the script's interpreter, whose folder it keeps out by itself (tests/scripts).
    """
    told = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "start_scalene.py":
            continue
        source = path.read_text()
        if "PYTHONPATH" in source and path.name != "children.py":
            told.append(f"{path.name} speaks of PYTHONPATH")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.List | ast.Tuple) and path.name != "children.py":
                words = [ast.unparse(one) for one in node.elts]
                if "sys.executable" in words[:1] and "'-I'" not in words:
                    told.append(f"{path.name}: {words}")
    assert told == []


@pytest.mark.skipif(sys.platform != "linux", reason="the exercises look at /proc")
@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_nothing_that_was_planted_is_used(name: str, planted: Planted, tmp_path: Path) -> None:
    EXERCISES[name](tmp_path / "data")
    assert planted.sprung() == ""


def test_the_traps_work(planted: Planted) -> None:
    """An interpreter that is not isolated falls into them: else the tests above would prove nothing."""
    subprocess.run([sys.executable, "-c", "import typer"], capture_output=True, check=False)
    assert "typer" in planted.sprung()


def test_what_is_written_is_closed_to_others_whatever_the_umask_says(
    planted: Planted, tmp_path: Path
) -> None:
    """`config init` and the recorder's own folders, under umask 0."""
    config, data = tmp_path / "a/b/config.toml", tmp_path / "c/d/data"
    done = _started("config", "init", "--config", str(config), preexec_fn=lambda: os.umask(0))
    assert done.returncode == 0, done.stderr
    done = _started("db", "upgrade", "--data-dir", str(data), preexec_fn=lambda: os.umask(0))
    for path in (*tmp_path.rglob("a/**/*"), *tmp_path.rglob("c/**/*"), tmp_path / "a"):
        assert path.lstat().st_mode & 0o022 == 0, path


@pytest.mark.root
@pytest.mark.parametrize("who", ["another user's", "everybody's"])
def test_root_reads_no_configuration_that_others_can_change(
    planted: Planted, tmp_path: Path, who: str
) -> None:
    """A HOME that is not root's: one line that names the part and says what to do, and nothing is taken from it."""
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "monitord/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[storage]\nurl = "s3://attacker/"\n')
    if who == "everybody's":
        config.chmod(0o666)
    else:
        os.chown(config, 65534, 65534)
    for words in (("config", "show"), ("run", "--data-dir", str(tmp_path / "data"))):
        done = _started(*words)
        assert done.returncode == 6, done
        assert done.stderr.count("\n") == 1
        assert str(config) in done.stderr
        assert "attacker" not in done.stdout + done.stderr


@pytest.mark.root
def test_root_records_with_no_code_that_others_can_change(tmp_path: Path) -> None:
    """The whole package as another user's: refused by the daemon with the way to an installation that is root's."""
    import shutil

    copy = tmp_path / "theirs"
    shutil.copytree(PACKAGE, copy / "monitord", ignore=shutil.ignore_patterns("__pycache__"))
    os.chown(copy / "monitord/model.py", 65534, 65534)
    (copy / "monitord/model.py").chmod(0o644)
    os.chown(copy, 65534, 65534)
    code = f"import sys; sys.path.insert(0, {str(copy)!r}); import runpy; runpy.run_module('monitord.daemon', None, '__main__', True)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "--data-dir", str(tmp_path / "data")],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert f"{copy} belongs to" in done.stderr
    assert "-m venv /opt/monitord" in done.stderr
