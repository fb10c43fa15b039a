"""How the recorder is: whether it runs, what keeps answers from being whole, how full its store is."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord.actions.workspace import Workspace
from monitord.errors import ConfigError, MonitordError, NotFoundError, UnreachableError
from monitord.export.encoding import iso
from monitord.export.units import age, span
from monitord.recorder.status import NOBODY, moment_of, nobody_records, read_status, silent_for_s
from monitord.redaction import printable
from monitord.storage.views import Counts, Usage

if TYPE_CHECKING:
    from monitord.storage.long_wal import LongWal

_LONGEST_REASON = 200
_CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps answers from being whole, as a line; `kind` is the same while the trouble is."""

    kind: str
    text: str


def trouble(reported: Mapping[str, Any] | None, now: datetime) -> Trouble | None:
    """What keeps answers from being whole; None while all is well. `reported` is what `read_status` gave."""
    if reported is None or not reported["is_running"]:
        taken = moment_of((reported or {}).get("taken_at"))
        last = f" (the last look was {age(taken, now)})" if taken else ""
        return Trouble("off", nobody_records(last))
    pid = reported.get("pid") or "unknown"
    if "unreadable" in reported:
        return Trouble(
            "unreadable", f"the recorder (pid {pid}) cannot tell how it is: {reported['unreadable']}"
        )
    silent_s = silent_for_s(reported, now)
    if silent_s is not None:
        return Trouble(
            "silent",
            f"the recorder (pid {pid}) has reported nothing for {span(silent_s)}; see `monitord logs`",
        )
    taken = moment_of(reported.get("taken_at"))
    if (
        taken is not None and taken - now > _CLOCKS_DIFFER
    ):  # one that works would have told a newer time by now
        return Trouble(
            "ahead", f"the last report of the recorder (pid {pid}) is of a time to come; see `monitord logs`"
        )
    degraded = reported.get("degraded")
    reasons = [str(each) for each in degraded] if isinstance(degraded, list) else []
    reasons += _box_off(reported.get("black_box"))
    if not reasons:
        return None
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    reason = printable(reasons[0])[:_LONGEST_REASON]
    return Trouble(reasons[0], f"the recorder is degraded: {reason}{more}; see `monitord status`")


def _box_off(box: object) -> list[str]:
    """Without it no stacks from before an alert are kept. A system that has no such rings is in order."""
    if sys.platform != "linux" or not isinstance(box, Mapping) or box.get("state") != "off":
        return []
    return [f"the black box is off: {box.get('reason') or 'not yet open'}"]


def recorder_trouble(data_dir: Path) -> Trouble | None:
    """What keeps answers from this data directory from being whole; None while all is well."""
    found = trouble(read_status(data_dir), datetime.now(UTC))
    if found is None or found.kind != "off":
        return found
    return Trouble(found.kind, f"{found.text}{_where_else(data_dir)}")


def _where_else(data_dir: Path) -> str:
    """Where the machine's service records, for a user whose own recorder does not run."""
    from monitord.config.places import SYSTEM_DATA_DIR

    is_another = os.path.lexists(SYSTEM_DATA_DIR) and data_dir.resolve() != SYSTEM_DATA_DIR.resolve()
    return (
        f"; the machine's service records into another store: --data-dir {SYSTEM_DATA_DIR}"
        if is_another
        else ""
    )


def status(workspace: Workspace) -> dict[str, Any]:
    """What the recorder said last, `is_running`, and where there are any: `uploader`, `messages`, `ship`.

    The first sends artefacts elsewhere, the second tells people, the third ships to a fleet's bucket.
    """
    from monitord.fleet.ship_status import read_ship_status
    from monitord.notify.status import read_message_status
    from monitord.recorder.uploader_status import read_uploader_status

    reported: dict[str, Any] = {"is_running": False, **(read_status(workspace.data_dir) or {})}
    sent, told = read_uploader_status(workspace.data_dir), read_message_status(workspace.data_dir)
    shipped = read_ship_status(workspace.data_dir)
    reported |= {} if sent is None else {"uploader": asdict(sent)}
    reported |= {} if shipped is None else {"ship": asdict(shipped)}
    return reported | ({} if told is None else {"messages": told})


@dataclass(frozen=True, slots=True)
class Overview:
    """All that one page says of a recorder and its store: what it said last, and what is wrong.

    `problem` is why nobody records, or the recorder says nothing. `counts` is None without a store.
    """

    data_dir: Path
    reported: Mapping[str, Any]
    trouble: Trouble | None
    problem: str | None
    usage: Mapping[str, int]
    counts: Counts | None
    history: tuple[datetime, datetime] | None
    long_wal: LongWal | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; `status` has the keys of `status -o json` (docs/output.md)."""
        said = {name: held for name, held in self.reported.items() if name not in ("is_running", "rules")}
        return {
            "running": self.reported["is_running"],
            "data_dir": str(self.data_dir),
            "status": said,
            "trouble": self.trouble and self.trouble.text,
            "problem": self.problem,
            "usage": dict(self.usage),
            "counts": self.counts and asdict(self.counts),
            "history": self.history and list(map(iso, self.history)),
            "long_wal": self.long_wal and asdict(self.long_wal),
        }


def overview(workspace: Workspace) -> Overview:
    """Return how the recorder and its store are; without either it says so and raises nothing."""
    reported = status(workspace)
    problem = why_not_recording(workspace, reported)
    counts, history = _stored(workspace)
    return Overview(
        data_dir=workspace.data_dir,
        reported=reported,
        trouble=trouble(reported, datetime.now(UTC)),
        problem=str(problem) if problem else None,
        usage=_usage_or_none(workspace, reported),
        counts=counts,
        history=history,
        long_wal=wal_of(workspace, reported),
    )


def wal_of(workspace: Workspace, reported: Mapping[str, Any]) -> LongWal | None:
    """Return what is to be said of the store's write-ahead log; None while it is short."""
    from monitord.storage.long_wal import long_wal

    return long_wal(workspace.data_dir, reported.get("pid") if reported["is_running"] else None)


def _stored(workspace: Workspace) -> tuple[Counts | None, tuple[datetime, datetime] | None]:
    try:
        with workspace.reader() as reader:
            return reader.counts(), reader.history_span()
    except MonitordError:
        return None, None  # `problem` or another page says why


def _usage_or_none(workspace: Workspace, reported: Mapping[str, Any]) -> Mapping[str, int]:
    try:
        return usage(workspace, reported)
    except ConfigError:
        return {}


def usage(workspace: Workspace, reported: Mapping[str, Any]) -> dict[str, int]:
    """What the store takes and the disk has left, in bytes, beside the budget that is in force.

    A running recorder told its budget; only without one is the configuration asked, which may be broken.
    """
    from monitord.storage.usage import usage_of

    try:
        found = usage_of(workspace.data_dir, is_remote=_is_remote(workspace))
    except OSError:  # no directory yet
        found = Usage(0, 0, 0, 0)
    budget = reported.get("budget_bytes") if reported["is_running"] else None
    if not isinstance(budget, int) or budget <= 0:
        budget = workspace.settings.retention.max_total_bytes
    return {**asdict(found), "total_bytes": found.total_bytes, "budget_bytes": budget}


def service_of(reported: Mapping[str, Any]) -> str:
    """The service that the recorder runs in, as systemd calls it; empty where none is known."""
    from monitord.procfs.cgroups import unit_of

    pid = reported.get("pid")
    if sys.platform != "linux" or not isinstance(pid, int):
        return ""
    unit = unit_of(pid)
    return unit if unit is not None and unit.endswith(".service") else ""


def _is_remote(workspace: Workspace) -> bool:
    try:
        return bool(workspace.settings.storage.url)
    except ConfigError:
        return False


def why_not_recording(workspace: Workspace, reported: Mapping[str, Any]) -> MonitordError | None:
    """Return the error when nobody records, or a recorder that runs says nothing; None when all is well."""
    if not reported["is_running"]:
        return _why_off(workspace)
    pid = reported.get("pid") or "unknown"
    if "unreadable" in reported:
        return UnreachableError(f"pid {pid} cannot tell how it is: {printable(reported['unreadable'])}")
    if moment_of(reported.get("taken_at")) is None:
        troubles = "; ".join(printable(str(each)) for each in reported.get("degraded") or ())
        return UnreachableError(
            f"pid {pid} has not finished a pass: {troubles}"
            if troubles
            else f"pid {pid} has reported nothing yet; see `monitord logs`"
        )
    silent_s = silent_for_s(reported, datetime.now(UTC))
    if silent_s is None:
        return None
    return UnreachableError(
        f"pid {pid} has reported nothing for {span(silent_s)}; see `monitord logs`, "
        "then `monitord service restart`"
    )


def _why_off(workspace: Workspace) -> NotFoundError:
    folder = workspace.data_dir
    failure, flag = _unit_failure(folder)
    if failure is not None:
        see = f"`monitord logs{flag}` says why, `monitord service start{flag}` starts it"
        return NotFoundError(f"{NOBODY} ({folder}): {failure}; {see}")
    try:
        workspace.config()
    except ConfigError as error:
        return NotFoundError(f"{NOBODY} ({folder}), and nobody could: {error}")
    return NotFoundError(f"{nobody_records(f' ({folder})')}{_where_else(folder)}")


def _unit_failure(folder: Path) -> tuple[str | None, str]:
    """Why the service that records into this folder does not run, if it failed, and its commands' flag."""
    from monitord.config.places import is_machines, resolve_data_dir
    from monitord.service import ServicePaths, unit_failure

    here = ServicePaths.here()
    is_system = is_machines(folder)
    if not is_system and folder != resolve_data_dir(None, {}):
        return None, ""  # another recorder's: no service of ours
    return unit_failure(here, system=is_system), " --system" if is_system else ""
