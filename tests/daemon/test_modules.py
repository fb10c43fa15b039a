"""What the daemon does not carry until it is asked for, and that it works when it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}
HEAD = (
    "import sys, monitord.daemon.__main__, monitord.daemon.loop\n"
    "monitord.daemon.later.settle()  # as main() does, when all is imported\n"
)

SUBMODULES = """
import asyncio.events, importlib.metadata._meta, multiprocessing.connection, psutil._common
loaded = (asyncio.events, importlib.metadata._meta, multiprocessing.connection, psutil._common)
print([one is sys.modules[one.__name__] is importlib.import_module(one.__name__) for one in loaded])
print(asyncio.events.AbstractEventLoop is asyncio.AbstractEventLoop, asyncio.events.__spec__.loader.name)
"""

FOUND_ONLY = """
import importlib.util, inspect
from monitord.daemon.later import WAITING, Later
print(inspect.getmodule(inspect.getmodule.__code__).__name__, inspect.stack()[0].function)
print([name for name in WAITING if hasattr(sys.modules[name], "__wrapped__") or not sys.modules[name].__file__])
print([name for name in WAITING if importlib.util.find_spec(name).name != name])
print([name for name in WAITING if type(sys.modules[name]) is not Later])
print(hasattr(sys.modules["asyncio"], "__path__"), hasattr(sys.modules["ssl"], "__path__"))
"""

FOUND_SUBMODULE = """
import importlib.util
spec = importlib.util.find_spec("asyncio.events")
import asyncio.events
print(spec.name, spec.origin == asyncio.events.__file__, asyncio.events.Handle is asyncio.Handle)
"""

POOL = """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(1) as pool:
    print(pool.submit(abs, -3).result())
"""

AT_ONCE = """
import pathlib, tempfile, threading, time
from monitord.daemon.later import Later, later

folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))

def slow(frame, event, argument):
    if event == "line" and frame.f_code.co_filename.endswith("daemon/later.py"):
        time.sleep(0.001)  # lets another thread go on between any two lines
    return slow

def want(module):
    try:
        given.append(module.thing)
    except BaseException as error:
        failed.append(repr(error))

given, failed = [], []
threading.settrace(slow)
for number in range(20):
    name = f"wanted_{number}"
    (folder / f"{name}.py").write_text("import time; time.sleep(0.01); thing = object()")
    later(name)
    threads = [threading.Thread(target=want, args=(sys.modules[name],)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(failed, len(given), len(set(given)))
"""

ALL_AT_ONCE = """
import ast, bz2, lzma, multiprocessing, pickle
from urllib.parse import urlsplit
said = (ast.literal_eval("[1, 2]"), urlsplit("http://[::1]:80/").port)
packed = (bz2.decompress(bz2.compress(b"a")), lzma.decompress(lzma.compress(b"b")))
pickled = (pickle.loads(pickle.dumps([3])), pickle.PicklingError.__module__)
print(*said, *packed, *pickled, multiprocessing.get_context("spawn").get_start_method())
"""


# Of each line on its stdin (JSON: a code, and the words of its command line) it forks a child that runs it.
FORKING = (
    HEAD
    + """
import json, os
for line in sys.stdin:
    code, words = json.loads(line)
    if not os.fork():
        sys.argv[1:] = words
        exec(compile(code, "<string>", "exec"))
        sys.exit()
    print(f"ended with {os.waitstatus_to_exitcode(os.wait()[1])}", flush=True)
"""
)


def told(code: str, *words: str) -> str:
    """What a fresh interpreter with the daemon's modules in it prints; another locale loads a codec more."""
    command = [sys.executable, "-c", HEAD + code, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def forked() -> Iterator[Callable[..., str]]:
    """The same by a copy of one interpreter that has loaded them, which takes most of a second of CPU."""
    command = [sys.executable, "-c", FORKING]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(code: str, *words: str) -> str:
            process.stdin.write(json.dumps([code, words]) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            said: list[str] = []
            for line in process.stdout:  # type: ignore[union-attr]
                if line.startswith("ended with "):
                    assert line == "ended with 0\n", said
                    return "".join(said).strip()
                said.append(line)
            raise AssertionError(said)

        yield ask


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import asyncio\nasync def five(): return 5\nprint(asyncio.run(five()))", "5"),
        ("from asyncio import run\nasync def five(): return 5\nprint(run(five()))", "5"),
        ("import asyncio\nprint(asyncio.Lock.__name__, asyncio.subprocess.PIPE)", "Lock -1"),
        ("import ssl\nprint(ssl.create_default_context().verify_mode.name)", "CERT_REQUIRED"),
        ("import psutil\nprint(psutil.Process().pid > 0, issubclass(psutil.Error, Exception))", "True True"),
        ("from psutil import Process\nprint(Process().pid > 0)", "True"),
        ("from importlib.metadata import version\nprint(version('monitord') != '')", "True"),
        ("import importlib.metadata as m\nprint(len(m.entry_points(group='console_scripts')) > 1)", "True"),
        ("import importlib, sqlalchemy\nprint(importlib.metadata.version('sqlalchemy')[0])", "2"),
        ("import argparse, inspect\nprint(inspect.getsource(argparse.Action)[:12])", "class Action"),
        (
            "try: 1 / 0\nexcept Exception:\n import traceback\n print(traceback.format_exc()[-17:])",
            "division by zero",
        ),
        (
            "import msgspec\nprint(msgspec.json.decode(msgspec.json.encode({'a': msgspec.inspect.type_info(int).ge})))",
            "{'a': None}",
        ),
        (ALL_AT_ONCE, "[1, 2] 80 b'a' b'b' [3] _pickle spawn"),
        ("import redis, redis.asyncio\nprint(redis.Redis.__name__)", "Redis"),
        (SUBMODULES, "[True, True, True, True]\nTrue asyncio.events"),
        (FOUND_SUBMODULE, "asyncio.events True True"),
        (POOL, "3"),
    ],
)
def test_what_waits_is_there_when_it_is_wanted(code: str, said: str, forked: Callable[..., str]) -> None:
    assert forked(code) == said


def test_what_is_asked_of_every_module_loads_none(forked: Callable[..., str]) -> None:
    assert forked(FOUND_ONLY) == "inspect <module>\n[]\n[]\n[]\nTrue False"


def test_threads_that_want_a_module_at_once_get_the_same(tmp_path: Path, forked: Callable[..., str]) -> None:
    assert forked(AT_ONCE, str(tmp_path)) == "[] 80 20"


def test_nothing_that_waits_was_wanted_by_the_imports() -> None:
    code = (
        "from monitord.daemon.later import WAITING, Later\n"
        "import logging; logging.getLogger('x').makeRecord('x', 20, '', 1, 'told', (), None)\n"
        "print([name for name in WAITING if type(sys.modules[name]) is not Later])\n"
        "print(len(WAITING) > 15, 'argparse' in sys.modules)"
    )
    assert told(code) == "[]\nTrue False"


def test_parts_of_paths_are_no_names_of_the_interpreter() -> None:
    """Its table of names never shrinks, and doubles when enough have come, also if they are gone by then."""
    code = (
        "from pathlib import Path\n"
        "part = Path('/proc/' + ''.join(['a part ', 'of a path'])).name\n"
        "other = ''.join(['a part of ', 'a path'])\n"
        "print(part == other, sys.intern(other) is part, Path('/a/b') / 'c', Path('x').resolve().is_absolute())"
    )
    assert told(code) == "True False /a/b/c True"


def test_the_number_of_modules_does_not_creep() -> None:
    """Each costs memory for months. A higher limit is a decision: see what came in, and whether it must stay.

    Thirty are the black box's: it looks four times a second. One starts all the children that do what is heavy.
    """
    assert int(told("print(len(sys.modules))")) < 601


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="needs Python 3.11: each version counts otherwise"
)
def test_what_is_loaded_does_not_creep() -> None:
    """In blocks of memory up to 512 bytes: 200,000 are 19 MB of modules, tables and classes."""
    code = "import gc; from monitord.daemon.unread import drop_unread; drop_unread(); gc.collect()\n"
    assert int(told(code + "print(sys.getallocatedblocks())")) < 202_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil reads everything")
def test_a_look_of_the_daemon_needs_no_psutil() -> None:
    code = (
        "import os\n"
        "from monitord.capture.program import program_id\n"
        "from monitord.model import Demand\n"
        "from monitord.sampling import Sampler, key_of\n"
        "sampler = Sampler()\n"
        "sampler.look(Demand())\n"
        "assert sampler.details(key_of(os.getpid())) is not None\n"
        "assert program_id(os.getpid()) is not None\n"
        "print('psutil._common' in sys.modules)"
    )
    assert told(code) == "False"


def test_what_is_loaded_before_stays_loaded() -> None:
    """Else a process that imports the recorder late, as a test does, could not even log an exception any more."""
    code = (
        "import rich, structlog\n"
        "from monitord.daemon import later\n"
        "from monitord.logs import get_logger\n"
        "try: raise ValueError('told')\n"
        "except ValueError: get_logger().exception('seen')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "told" in done.stdout + done.stderr
