"""What every room's tests share: who may skip what, and why."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
import structlog

from tests import unsharing
from tests.alone import hold
from tests.burners import end_orphans, mark_session
from tests.mariadb import mariadb
from tests.postgres import postgres
from tests.profiles.chromium import browser, chromium
from tests.run import LANES, TESTS, lane_of, lanes_of
from tests.servers import proxy_to, redis_server, s3_server

# Fixtures for every room.
__all__ = ["browser", "chromium", "mariadb", "postgres", "proxy_to", "redis_server", "s3_server"]


# A shell that starts us in the background has SIGINT ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same of nohup and SIGHUP, which we survive then without passing that on.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

mark_session()

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
EVERYBODYS = stat.S_IMODE(Path(tempfile.gettempdir()).stat().st_mode)

# Until all tests are collected nothing is garbage, and thousands of them are looked through again and again.
gc.disable()

# On a shared machine the time of one example says nothing, nor how long it took to think of some.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lane", choices=list(LANES), help="the tests of one lane, see tests/run.py")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a --basetemp that another pytest uses; one that pytest chooses itself is new."""
    folder = config.getoption("basetemp")
    held = hold(Path(folder)) if folder else None
    if held is not None:
        config.add_cleanup(held.close)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A lane does not even import the others' tests; of what the call names it leaves them out afterwards."""
    lane, named = config.getoption("--lane"), config.args_source is pytest.Config.ArgsSource.ARGS
    if not lane or named or collection_path == TESTS or not collection_path.is_relative_to(TESTS):
        return None
    lanes = lanes_of(collection_path) if collection_path.is_dir() else {lane_of(collection_path)}
    return lane not in lanes or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A lane leaves the others' tests out. What needs root is skipped for an ordinary user; in CI nothing is."""
    if lane := config.getoption("--lane"):
        others = [item for item in items if lane_of(item.path) != lane]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if lane_of(item.path) == lane]
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: run `sudo make test` to include it"))
        elif unsharing.is_needed() and item.get_closest_marker("unshared"):
            assert isinstance(item, pytest.Function)
            item.fixturenames = []  # they are of no use here: the test has its own where it runs


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """What an ordinary user may do in namespaces of his own alone is done there."""
    if not (unsharing.is_needed() and pyfuncitem.get_closest_marker("unshared")):
        return None
    unsharing.run_there(pyfuncitem)
    return True


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: a fifth of the CPU went into looking through them for garbage."""
    gc.enable()
    gc.collect()
    gc.freeze()


def failed_in_ci(report: Report) -> Report:
    """In CI a skipped test, or module, is a failed one: what it needs must be installed by .ci/run."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return failed_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return failed_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_assertrepr_compare() -> Generator[None, list[list[str] | None], list[list[str] | None]]:
    """In CI pytest tells each difference whole, and of two long lists that takes it hours: here as anywhere else."""
    with pytest.MonkeyPatch.context() as changed:
        changed.delenv("CI", raising=False)
        return (yield)


@pytest.fixture(autouse=True)
def _no_settings_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never reads the configuration or the recordings of the person who runs it."""
    for name in ("MONITORD_CONFIG", "MONITORD_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A test that configures logging does so for itself: its stream is closed when it ends."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _what_is_everybodys_stays_so() -> Iterator[None]:
    """Who may write in /tmp is nothing a test changes: a later one's server would not start."""
    yield
    folder = Path(tempfile.gettempdir())
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode != EVERYBODYS:
        folder.chmod(EVERYBODYS)
        pytest.fail(f"{folder} had mode {mode:o} after this test, or after one beside it, not {EVERYBODYS:o}")


@pytest.fixture(autouse=True, scope="module")
def _nobody_is_left_running() -> Iterator[None]:
    """What a module started and lost would take the CPU from every later test."""
    yield
    left = end_orphans()
    assert not left, f"left running, now killed: {left}"


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Give a tool's path; a missing one is a skip with the fix."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is missing: install it to run this test (in CI, by .ci/run)")
        return path

    return require


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program; returns when it has printed its first line ("ready")."""
    children: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-u", "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL of every connection that is opened from now on."""
    seen: list[str] = []
    connect = sqlite3.connect

    def tracing(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", tracing)
    return seen
