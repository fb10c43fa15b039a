"""Which last calls mean that a thread only waits, for tools that sample sleeping threads without a flag.

Kept short on purpose: `read` may be a disk at work, and what is not listed counts as busy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from monitord.model import PYTHON_NOT_READ

# glibc and musl first, macOS last; without leading underscores.
_NAMES = """
    clock_nanosleep nanosleep sleep usleep epoll_wait epoll_pwait poll ppoll select pselect
    futex_wait futex_abstimed_wait_common futex_abstimed_wait_common64 lll_lock_wait
    pthread_cond_wait pthread_cond_timedwait sem_wait do_futex_wait new_sem_wait_slow64 sigtimedwait
    sigwaitinfo sigwait sigsuspend pause accept accept4 wait4 waitpid waitid msgrcv io_getevents
    io_cqring_wait pthread_clockjoin_ex
    psynch_cvwait psynch_mutexwait semwait_signal semaphore_wait_trap semaphore_timedwait_trap
    mach_msg_trap mach_msg2_trap kevent kevent_qos kevent_id workq_kernreturn ulock_wait ulock_wait2
    select$DARWIN_EXTSN sigwait_nocancel wait4_nocancel
"""
# Functions of Python's own library in which a thread waits, by file and name; and its import system.
_PYTHON_WAITS = {
    "threading.py": ("wait", "join", "_wait_for_tstate_lock", "acquire"),
    "selectors.py": ("select",),
    "queue.py": ("get", "put"),
    "concurrent/futures/thread.py": ("_worker",),
    "concurrent/futures/_base.py": ("wait", "result"),
    "multiprocessing/connection.py": ("wait", "_recv", "_poll"),
    "multiprocessing/popen_fork.py": ("wait", "poll"),
    "multiprocessing/process.py": ("join",),
    "subprocess.py": ("wait", "_wait", "_try_wait"),
}
# And those that only run what they were given: compiled code called from there is nobody else's.
_PYTHON_CALLERS = {
    "threading.py": ("run", "_bootstrap", "_bootstrap_inner"),
    "concurrent/futures/thread.py": ("run", "_worker"),
    "concurrent/futures/process.py": ("_process_worker", "_process_chunk"),
    "multiprocessing/process.py": ("run", "_bootstrap"),
    "multiprocessing/pool.py": ("worker", "mapstar", "starmapstar"),
    "asyncio/events.py": ("_run",),
    "asyncio/base_events.py": ("_run_once", "run_forever", "run_until_complete"),
    "asyncio/runners.py": ("run",),
    "sched.py": ("run",),
    "timeit.py": ("timeit",),
}
_INTERPRETER = re.compile(r"\[(?:lib)?python[0-9.]{0,8}[a-z]{0,4}(?:\.so[0-9.]{0,8})?\]")
_WAITING = frozenset(_NAMES.split())
BUSY_SHARE = 0.02  # of one core: a thread below that only woke up now and then


def is_waiting(function: str) -> bool:
    """Tell whether a thread whose innermost call is `function` waits for something else to happen."""
    return function.lstrip("_").removesuffix("_nocancel") in _WAITING


def told_name(function: str) -> str:
    """Name code of which no more is known than that it is an interpreter's by what that means."""
    return PYTHON_NOT_READ if _INTERPRETER.fullmatch(function) else function


def is_background(function: str, file: str | None) -> bool:
    """Tell whether it waits, or imports, for others: never the culprit beside a real one.

    Nor is Python itself, of which a sample has no more than the interpreter: the function was not read.
    """
    if function == PYTHON_NOT_READ:
        return True
    return waits_in_library(function, file) or (file is not None and file.startswith("<frozen importlib"))


def waits_in_library(function: str, file: str | None) -> bool:
    """Tell whether it is a function of Python's own library in which a thread waits."""
    return _is_in(_PYTHON_WAITS, function, file)


def runs_what_it_was_given(function: str, file: str | None) -> bool:
    """Tell whether it is a function of Python's own library that calls whatever it was given."""
    return _is_in(_PYTHON_CALLERS, function, file)


def _is_in(table: Mapping[str, Collection[str]], function: str, file: str | None) -> bool:
    name = function.rpartition(".")[2]
    return file is not None and any(
        file.endswith(f"/{place}") and name in names for place, names in table.items()
    )


def is_of_waiting_library(file: str | None) -> bool:
    """Tell whether a Python frame's file is one through which programs wait: the caller says for what."""
    return file is not None and any(file.endswith(f"/{place}") for place in _PYTHON_WAITS)
