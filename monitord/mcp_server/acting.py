"""The tools that do something: there only with --allow-actions, within an hourly budget.

Each one is logged and stands in the event store before it is done: what can't be written down is not done.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from monitord.errors import BusyError, UsageError
from monitord.logs import get_logger
from monitord.mcp_server.answers import Done, ProfileAnswer
from monitord.mcp_server.asking import Id
from monitord.mcp_server.cache import ProfileAnswers
from monitord.mcp_server.sources import Sources
from monitord.model import counted

ACTIONS_PER_HOUR = 20
_HOUR_S = 3600.0
_LONGEST_S = 60.0


class Budget:
    """So many actions an hour, over all clients. Given the time."""

    def __init__(self, per_hour: int = ACTIONS_PER_HOUR, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_hour = per_hour
        self._clock = clock
        self._spent: deque[float] = deque()
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Raise BusyError when the hour's budget is spent."""
        with self._lock:
            now_s = self._clock()
            while self._spent and self._spent[0] <= now_s - _HOUR_S:
                self._spent.popleft()
            if len(self._spent) >= self._per_hour:
                wait = (self._spent[0] + _HOUR_S - now_s) / 60
                most = counted(self._per_hour, "action")
                raise BusyError(f"the limit of {most} an hour is reached; the next in {wait:.0f} min")
            self._spent.append(now_s)


class Acting:
    """The tools that change something, by running monitord's own commands: their checks are the checks."""

    def __init__(self, sources: Sources, profiles: ProfileAnswers, budget: Budget | None = None) -> None:
        self._sources = sources
        self._profiles = profiles
        self._budget = budget or Budget()

    def capture_process(
        self,
        pid: Annotated[int, Field(ge=1, le=2**31)],
        duration_s: Annotated[float, Field(ge=0.5, le=_LONGEST_S)] = 5.0,
    ) -> Done:
        """Take a profile of a running process now and keep it as an incident; consent and budgets apply."""
        words = ["capture", str(pid), "--duration", f"{duration_s:g}", "-o", "json"]
        return self._done("capture_process", words, f"captured process {pid}", pid=pid)

    def profile_script(
        self,
        script: Annotated[str, Field(min_length=1, max_length=1000, description="A Python file's path.")],
        arguments: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=50)] = [],  # noqa: B006  pydantic copies it
        duration_s: Annotated[float, Field(ge=0.5, le=_LONGEST_S)] = 30.0,
        save: bool = False,
    ) -> Done:
        """Run a Python script under Scalene and tell its hot lines; kept only with `save`."""
        path = Path(script)
        if script.startswith("-") or not path.is_absolute() or ".." in path.parts:
            raise UsageError("give the script's absolute path, without `..`")
        words = ["profile", "run", str(path), "--duration", f"{duration_s:g}", "-o", "json"]
        words += ["--save"] if save else []
        with tempfile.TemporaryDirectory(prefix="monitord-") as folder:
            document = Path(folder) / "profile.json"
            words += ["--document", str(document)]
            words += ["--", *arguments] if arguments else []
            done = self._done("profile_script", words, f"profiled {path.name}", script=script)
            if not save and done.result is not None and isinstance(done.result.get("profile_id"), str):
                self._profiles.put(_answer(done.result), document.read_bytes())
        return done

    def add_note(self, id: Id, text: Annotated[str, Field(min_length=1, max_length=2000)]) -> Done:  # noqa: A002
        """Leave a note on an incident; `show` and exports carry it."""
        return self._done("add_note", ["note", id, "--", text], f"noted on {id}", incident=id)

    def pin_incident(self, id: Id, undo: bool = False) -> Done:  # noqa: A002
        """Keep an incident past its age, or let it go with age again."""
        words = ["keep", id, *(["--undo"] if undo else [])]
        return self._done("pin_incident", words, f"{'no longer kept' if undo else 'kept'}: {id}", incident=id)

    def cleanup_old_profiles(self, max_age_days: Annotated[float, Field(ge=0, le=36_500)] = 7.0) -> Done:
        """Delete kept profiles of scripts that are older; pinned ones stay."""
        words = ["profile", "clear", "--older-than", f"{max_age_days:g}", "--yes"]
        said = f"deleted the kept profiles older than {max_age_days:g} d"
        return self._done("cleanup_old_profiles", words, said, max_age_days=max_age_days)

    def clear_profile_cache(self) -> Done:
        """Forget the profiles in this server's memory; kept ones stay."""
        self._begin("clear_profile_cache", {})
        return Done(done=f"{counted(self._profiles.clear(), 'profile')} forgotten")

    def _begin(self, tool: str, about: dict[str, Any]) -> None:
        self._budget.spend()
        get_logger().warning("mcp.action", tool=tool, **about)
        self._sources.audit(tool, about)

    def _done(self, tool: str, words: list[str], said: str, **about: Any) -> Done:
        self._begin(tool, about)
        result: Any = self._sources.command(words)
        fence = self._sources.fence
        shown = fence.value(result) if isinstance(result, dict) else None
        return Done(done=fence.text(said), result=shown)


def _answer(result: dict[str, Any]) -> ProfileAnswer:
    """What `profile run -o json` told, as monitord://profile/{id} tells it; safe already."""
    about = {name: held for name, held in result.items() if name not in ("functions", "lines")}
    functions = list(result.get("functions") or ())
    return ProfileAnswer(profile_id=result["profile_id"], about=about, functions=functions, stacks=[])
