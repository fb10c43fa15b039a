"""What the daemon does not carry until it is asked for, and that it works when it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = (
    "import sys, monitord.daemon.__main__, monitord.daemon.loop\n"
    "monitord.daemon.later.settle()  # as main() does, when all is imported\n"
)

ALL_AT_ONCE = """
import ast, bz2, lzma, multiprocessing, pickle
from urllib.parse import urlsplit
said = (ast.literal_eval("[1, 2]"), urlsplit("http://[::1]:80/").port)
packed = (bz2.decompress(bz2.compress(b"a")), lzma.decompress(lzma.compress(b"b")))
pickled = (pickle.loads(pickle.dumps([3])), pickle.PicklingError.__module__)
print(*said, *packed, *pickled, multiprocessing.get_context("spawn").get_start_method())
"""


def told(code: str) -> str:
    """What a fresh interpreter with the daemon's modules in it prints."""
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


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
    ],
)
def test_what_waits_is_there_when_it_is_wanted(code: str, said: str) -> None:
    assert told(code) == said


def test_nothing_that_waits_was_wanted_by_the_imports() -> None:
    code = (
        "from monitord.daemon.later import WAITING, Later\n"
        "import logging; logging.getLogger('x').makeRecord('x', 20, '', 1, 'told', (), None)\n"
        "print([name for name in WAITING if type(sys.modules[name]) is not Later])\n"
        "print(len(WAITING) > 15, 'argparse' in sys.modules)"
    )
    assert told(code) == "[]\nTrue False"


def test_the_number_of_modules_does_not_creep() -> None:
    """Each costs memory for months. A higher limit is a decision: see what came in, and whether it must stay."""
    assert int(told("print(len(sys.modules))")) < 558


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each version of Python counts otherwise")
def test_what_is_loaded_does_not_creep() -> None:
    """In blocks of memory up to 512 bytes: 200,000 are 19 MB of modules, tables and classes."""
    code = "import gc; from monitord.daemon.unread import drop_unread; drop_unread(); gc.collect()\n"
    assert int(told(code + "print(sys.getallocatedblocks())")) < 208_000


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
