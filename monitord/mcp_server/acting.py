"""The tools that do something: there only with --allow-actions, within an hourly budget.

Each one is logged and stands in the event store before it is done: what can't be written down is not done.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from monitord.actions import capturing, incidents
from monitord.actions.assistants import record_action
from monitord.actions.budget import Budget
from monitord.actions.scripts import clear_profiles
from monitord.actions.underway import CapturesUnderway
from monitord.actions.workspace import Workspace
from monitord.errors import StorageError, UsageError
from monitord.export.shapes import row
from monitord.logs import get_logger
from monitord.mcp_server.answers import Done, ProfileAnswer
from monitord.mcp_server.asking import Id
from monitord.mcp_server.cache import ProfileAnswers
from monitord.mcp_server.output_filter import Fence
from monitord.model import counted, short_id

_LONGEST_S = 60.0
_COMMAND_TIMEOUT_S = 150.0


class Acting:
    """The tools that change something."""

    def __init__(
        self, workspace: Workspace, fence: Fence, profiles: ProfileAnswers, captures: CapturesUnderway
    ) -> None:
        self._workspace = workspace
        self._fence = fence
        self._profiles = profiles
        self._captures = captures
        self._budget = Budget()

    def capture_process(
        self,
        pid: Annotated[int, Field(ge=1, le=2**31)],
        duration_s: Annotated[float, Field(ge=0.5, le=_LONGEST_S)] = 5.0,
    ) -> Done:
        """Take a profile of a running process now and keep it as an incident; consent and budgets apply."""
        self._begin("capture_process", {"pid": pid})
        request = capturing.CaptureRequest(duration_s=duration_s)
        with self._captures.one(self._workspace.settings.capture.grace_s) as goes_on:
            incident = capturing.capture_now(self._workspace, pid, request, goes_on)
        capturing.require_profile(incident)
        record = incidents.find(self._workspace, incident.correlation_id)
        said = f"captured process {record.pid}"
        if record.pid != pid:
            said += f": {capturing.worker_sentence(pid, record.pid)}"
        return self._done(said, row(record))

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
            raise UsageError("invalid script: expected an absolute path without `..`")
        words = ["profile", "run", str(path), "--duration", f"{duration_s:g}", "-o", "json"]
        words += ["--save"] if save else []
        with tempfile.TemporaryDirectory(prefix="monitord-") as folder:
            document = Path(folder) / "profile.json"
            words += ["--document", str(document)]
            words += ["--", *arguments] if arguments else []
            self._begin("profile_script", {"script": script})
            done = self._done(f"profiled {path.name}", run_own_command(self._workspace, words))
            if not save and done.result is not None and isinstance(done.result.get("profile_id"), str):
                self._profiles.put(_answer(done.result), document.read_bytes())
        return done

    def add_note(self, id: Id, text: Annotated[str, Field(min_length=1, max_length=2000)]) -> Done:  # noqa: A002
        """Leave a note on an incident; `show` and exports carry it."""
        self._begin("add_note", {"incident": id})
        record = incidents.add_note(self._workspace, id, text)
        return self._done(f"noted on {short_id(record.correlation_id)}", row(record))

    def pin_incident(self, id: Id, undo: bool = False) -> Done:  # noqa: A002
        """Keep an incident past its age, or let it go with age again."""
        self._begin("pin_incident", {"incident": id})
        record = incidents.pin(self._workspace, id, undo=undo)
        name = short_id(record.correlation_id)
        return self._done(f"{'no longer kept' if undo else 'kept'}: {name}", row(record))

    def cleanup_old_profiles(self, max_age_days: Annotated[float, Field(ge=0, le=36_500)] = 7.0) -> Done:
        """Delete kept profiles of scripts that are older; pinned ones stay."""
        self._begin("cleanup_old_profiles", {"max_age_days": max_age_days})
        count = clear_profiles(self._workspace, max_age_days, confirmed=True)
        return self._done(f"{counted(count, 'kept profile')} older than {max_age_days:g} d deleted")

    def clear_profile_cache(self) -> Done:
        """Forget the profiles in this server's memory; kept ones stay."""
        self._begin("clear_profile_cache", {})
        return self._done(f"{counted(self._profiles.clear(), 'profile')} forgotten")

    def _begin(self, tool: str, about: dict[str, Any]) -> None:
        self._budget.spend()
        get_logger().warning("mcp.action", tool=tool, **about)
        record_action(self._workspace, f"mcp {tool}", about)

    def _done(self, said: str, result: dict[str, Any] | None = None) -> Done:
        return Done(done=self._fence.text(said), result=None if result is None else self._fence.value(result))


def run_own_command(workspace: Workspace, words: Sequence[str]) -> dict[str, Any]:
    """Run one of our own commands in a child and return its JSON; its refusal is ours.

    A script must not have this server's stdin and stdout: the protocol is spoken there.
    """
    try:
        done = subprocess.run(
            workspace.command(*words),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"cannot run `monitord {words[0]}`: {type(error).__name__}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise StorageError(said[-1].removeprefix("monitord: "))
    return dict(json.loads(done.stdout))


def _answer(result: dict[str, Any]) -> ProfileAnswer:
    """What `profile run -o json` told, as monitord://profile/{id} tells it; safe already."""
    about = {name: held for name, held in result.items() if name not in ("functions", "lines")}
    functions = list(result.get("functions") or ())
    return ProfileAnswer(profile_id=result["profile_id"], about=about, functions=functions, stacks=[])
