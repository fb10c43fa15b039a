"""`monitord` in a process of its own without the second of CPU that its modules take to load, where the start is no subject.

A server for each of its rooms has loaded them once and forks for each call: what is called gets the caller's words, environment,
folder and descriptors, and runs as `python -m monitord` does. The command that `command` gives stands for it:
it passes signals on, ends as it ends, and when it is killed so is what it stands for. Its pid is another one.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[1]
LOADED = {
    "cli": ("monitord.cli", "monitord.actions", "typer._adapters", "zoneinfo"),
    "mcp": (
        *("monitord.cli", "monitord.mcp_server", "monitord.storage.state.memory"),
        *("monitord.storage.state.opening", "monitord.storage.state.sql", "typer._adapters"),
        *("anyio._backends._asyncio", "mcp.server.stdio", "uvicorn"),
    ),
    "web": ("monitord.cli", "monitord.web", "anyio._backends._asyncio", "uvicorn", "typer._adapters"),
    "export": ("monitord.export", "monitord.profiles", "monitord.redaction"),
    "writer": ("monitord.storage", "monitord.storage.state.opening", "monitord.storage.state.sql"),
    "causes": ("monitord.causes",),
    "uploader": ("monitord.storage.artefacts.providers.file", "monitord.storage.artefacts.wrappers"),
}
RUNS = {  # instead of monitord: children that read evidence and look at processes, and processes that are killed
    "causes": "monitord.causes",
    "export": "monitord.export",
    "writer": "tests.storage.writer_process",
    "uploader": "tests.storage.upload_process",
}
_CALL = """
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(chr(0) + sys.argv[1])
    mask = os.umask(0)
    told = {"words": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd(), "umask": mask}
    order = json.dumps(told).encode()
    socket.send_fds(server, [len(order).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(order)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _frame: server.send(bytes([number])))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    status = int.from_bytes(server.recv(4), "big")
if os.WIFSIGNALED(status):
    if os.WTERMSIG(status) != signal.SIGKILL:
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.WEXITSTATUS(status))
"""
_servers: dict[str, subprocess.Popen[bytes]] = {}


def command(room: str, *words: str) -> list[str]:
    """What to start in the place of `python -m monitord WORDS…`."""
    if room not in _servers:
        _servers[room] = _started(room)
    return [sys.executable, "-I", "-S", "-c", _CALL, _address(room, os.getpid()), *words]


def _address(room: str, pid: int) -> str:
    return f"monitord-tests-{pid}-{room}"


def _started(room: str) -> subprocess.Popen[bytes]:
    """It ends when we do: then its stdin closes. Its streams are no terminal, as those of what it forks."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", room, _address(room, os.getpid())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", server.communicate()
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[bytes]) -> None:
    """It kills what it forked; where it can't, nobody waits for it."""
    try:
        server.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        server.kill()


def _load(name: str) -> None:
    loaded = importlib.import_module(name)
    if name.startswith("monitord."):
        for found in pkgutil.iter_modules(getattr(loaded, "__path__", ()), f"{name}."):
            if not found.name.endswith("__main__"):  # it runs anew
                importlib.import_module(found.name)


class _Server:
    """Forks for each who calls; `serve` returns in what it forked alone."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("\0" + address)
        self._listener.listen(64)
        self._ended, wakes = os.pipe()
        for end in (self._ended, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._callers: dict[socket.socket, int] = {}

    def serve(self) -> list[str]:
        """The words of the call."""
        while True:
            ready, _, _ = select.select([0, self._ended, self._listener, *self._callers], [], [])
            if 0 in ready:
                for pid in self._callers.values():
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            for caller in self._callers.keys() & {*ready}:
                self._pass_on(caller)
            if self._ended in ready:
                os.read(self._ended, 4096)
                self._reap()
            if self._listener in ready and (words := self._fork()) is not None:
                return words

    def _pass_on(self, caller: socket.socket) -> None:
        """Signals; who has ended was killed, and an answer finds nobody."""
        numbers = caller.recv(16)
        for number in numbers or [signal.SIGKILL]:
            os.kill(self._callers[caller], number)
        if not numbers:
            os.waitpid(self._callers.pop(caller), 0)
            caller.close()

    def _reap(self) -> None:
        for caller, pid in [*self._callers.items()]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._callers[caller]
                try:
                    caller.sendall(status.to_bytes(4, "big"))
                except OSError:
                    pass  # it was killed meanwhile
                caller.close()

    def _fork(self) -> list[str] | None:
        caller, _ = self._listener.accept()
        head, descriptors, _, _ = socket.recv_fds(caller, 4, 3)
        told, size = b"", int.from_bytes(head, "big")
        while len(told) < size and (piece := caller.recv(size - len(told))):
            told += piece
        pid = os.fork()
        if pid == 0:
            return self._become(json.loads(told), descriptors)
        self._callers[caller] = pid
        for descriptor in descriptors:
            os.close(descriptor)
        return None

    def _become(self, told: dict[str, object], descriptors: list[int]) -> list[str]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        self._listener.detach()
        for caller in self._callers:
            caller.detach()
        os.closerange(3, 256)
        os.umask(int(str(told["umask"])))
        os.chdir(str(told["folder"]))
        os.environ.clear()
        os.environ.update(told["environment"])  # type: ignore[call-overload]  # names and texts
        time.tzset()
        return list(told["words"])  # type: ignore[call-overload]


def main(room: str, address: str) -> None:
    for name in LOADED[room]:
        _load(name)
    server = _Server(address)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    sys.argv[1:] = server.serve()
    try:
        runpy.run_module(RUNS.get(room, "monitord"), run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int):
            _end_at_once(end.code)
        raise


def _end_at_once(status: int) -> None:
    """What an interpreter does at its end, without taking its modules apart: a tenth of a second of CPU."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # which the interpreter tells as it always does
    os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
