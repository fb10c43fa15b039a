"""Starts Scalene for `monitord profile` so that no folder can stand in for it or for what it imports.

`PYTHON start_scalene.py scalene run …`. `python -m scalene` would have the caller's folder first on sys.path,
and Scalene starts itself that way once more. Standard library only, of any Python 3: it runs in the script's.
"""

import os
import shlex
import subprocess
import sys
import threading
import time
from collections import defaultdict

_BUSY_SHARE = 0.1  # of one core: Scalene signals every thread at each sample, which costs each a little
_SAFE, _SAFE_BEFORE = "PYTHONSAFEPATH", "_MONITORD_SAFEPATH"


def _start() -> None:
    here = os.path.abspath(__file__)  # noqa: PTH100 - loaded already, as every interpreter does
    if sys.path and sys.path[0] == os.path.dirname(here):  # noqa: PTH120
        del sys.path[0]
    from scalene import scalene_preload, scalene_profiler

    as_module, as_this = [sys.executable, "-m", "scalene"], [sys.executable, here, "scalene"]
    set_up, make_aliases = scalene_preload.ScalenePreload.setup_preload, scalene_profiler.redirect_python
    before = os.environ.pop(_SAFE_BEFORE, os.environ.get(_SAFE, ""))
    words = sys.argv[2:]

    class Starter:
        """What Scalene sees as `subprocess` where it starts itself."""

        TimeoutExpired = subprocess.TimeoutExpired

        @staticmethod
        def Popen(argv, **options):  # type: ignore[no-untyped-def]  # noqa: N802 - as it is called there
            return subprocess.Popen(as_this + argv[3:] if argv[:3] == as_module else argv, **options)

    def set_up_isolated(args):  # type: ignore[no-untyped-def]
        """Should a Scalene to come start itself in another way, this keeps the folder out (Python 3.11)."""
        os.environ.update({_SAFE: "1", _SAFE_BEFORE: before})
        result = set_up(args)  # ends this process when it has started itself anew
        del os.environ[_SAFE_BEFORE]
        os.environ[_SAFE] = before
        if not before:
            del os.environ[_SAFE]
            if _runs_from_folder(words):
                sys.path.insert(0, os.getcwd())  # noqa: PTH109 - only now: what Scalene needs is loaded
        return result

    def alias_isolated(preface, cmdline, folder):  # type: ignore[no-untyped-def]
        """The `python` that the script finds: Scalene over what it starts."""
        found = make_aliases(preface, cmdline, folder)
        for path in folder.iterdir():
            path.write_text(path.read_text().replace(" ".join(as_module), shlex.join(as_this)))
        return found

    sample = getattr(scalene_profiler.Scalene, "_process_cpu_sample", None)
    if sample is not None and hasattr(time, "pthread_getcpuclockid"):
        ran = _of_those_that_ran(sample)  # type: ignore[no-untyped-call]
        scalene_profiler.Scalene._process_cpu_sample = staticmethod(ran)
    scalene_preload.subprocess = Starter
    scalene_preload.ScalenePreload.setup_preload = staticmethod(set_up_isolated)
    scalene_profiler.redirect_python = alias_isolated
    sys.argv = [scalene_profiler.__file__, *words]
    scalene_profiler.Scalene.main()


def _of_those_that_ran(sample):  # type: ignore[no-untyped-def]
    """Scalene spreads a sample's time over all threads that it does not know to sleep: here it knows.

    A thread that used no CPU since the last sample sleeps. The main thread runs the sampling itself: it stays
    as Scalene sees it. A thread that has a frame lives, as `time` demands.
    """
    seen = {}  # type: ignore[var-annotated]  # of any Python 3
    main = threading.main_thread().ident

    def has_run(thread_id):  # type: ignore[no-untyped-def]
        now = time.clock_gettime(time.pthread_getcpuclockid(thread_id)), time.monotonic()
        before = seen.get(thread_id, now)
        seen[thread_id] = now
        return now[0] - before[0] > _BUSY_SHARE * (now[1] - before[1])

    def sample_of_those(signum, frames, *others, **named):  # type: ignore[no-untyped-def]
        beside = [one[1] for one in frames if one[1] != main]
        waiting = [one for one in beside if not has_run(one)]  # type: ignore[no-untyped-call]
        others = tuple(
            defaultdict(bool, {**one, **dict.fromkeys(waiting, True)}) if isinstance(one, dict) else one
            for one in others
        )
        return sample(signum, frames, *others, **named)

    return sample_of_those


def _runs_from_folder(words: "list[str]") -> bool:
    """Whether Python itself would look in the current folder first: for `-m` and `-c`, never for a script."""
    at = words.index("---") if "---" in words else len(words)
    if not any(word.startswith("--pid") for word in words[:at]):
        return "-m" in words[:at]
    # One that the script started by an alias: its own words, flags of Python's first, stand behind.
    first = next((word for word in words[at:] if not word.startswith("-") or word in ("-m", "-c")), "")
    return first in ("-m", "-c")


if __name__ == "__main__":
    _start()
