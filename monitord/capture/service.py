"""The order of a capture: consent, identity, context, then the ladder, every step with its outcome."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.capture import causes
from monitord.capture.causes import Look
from monitord.capture.consent import Consent
from monitord.capture.profilers import FIRST_LOOKS, LADDER, NAMES, OF_MEMORY
from monitord.capture.program import program_id
from monitord.capture.reading import Reading, read_evidence, with_sources
from monitord.capture.session import Profiler, Session
from monitord.capture.snapshot import Context
from monitord.capture.target import Target, TargetError
from monitord.capture.tool_runner import Runner
from monitord.capture.tools import Toolbox
from monitord.capture.workplace import put, remove
from monitord.errors import MonitordError
from monitord.logs import get_logger
from monitord.model import BEFORE, Capture, CapturePlan, CaptureStatus, Cause, Hotspot, Incident, ProcessKey

if TYPE_CHECKING:
    from monitord.capture.fault_watch import Watch

_TARGET_IS_LOST = (CaptureStatus.TARGET_GONE, CaptureStatus.TARGET_REPLACED, CaptureStatus.TARGET_STOPPED)
_NAME_LOOKS = 5
_TOOL_IS_USELESS = (
    CaptureStatus.NOT_PYTHON,
    CaptureStatus.UNSUPPORTED_VERSION,
    CaptureStatus.PERMISSION_DENIED,
    CaptureStatus.TOOL_MISSING,
)


@dataclass(frozen=True, slots=True)
class CaptureSlot:
    """One thing at a time, and what runs it."""

    runner: Runner = field(default_factory=Runner)
    turn: threading.Lock = field(default_factory=threading.Lock)


class ProfileCaptureService:
    """Takes evidence, one process at a time. Nothing outlives a call; files lie only in the folder given."""

    def __init__(
        self,
        consent: Consent,
        *,
        grace_s: float = 10.0,
        tools: Mapping[str, str] | None = None,
        reads_sources: bool = True,
        own_profiler: Callable[[ProcessKey], Profiler | None] = lambda _key: None,
    ) -> None:
        self.consent = consent
        self._own_profiler = own_profiler
        self._reads_sources = reads_sources
        self._grace_s = grace_s
        self._tools = Toolbox(tools)
        self._captures = CaptureSlot()
        self._looks = CaptureSlot()  # of its own: a first look must not wait for a capture of another process
        self._observations = CaptureSlot()  # nor for a census, which takes a second
        self._explaining = CaptureSlot()

    def first_look(self, target: ProcessKey, folder: Path, plan: CapturePlan | None = None) -> Capture:
        """Take a stack dump right now, in memory, within about a second: role "dump".

        Of `plan` only the consent counts.
        """
        look_plan = CapturePlan(duration_s=1.0)
        if plan is not None:
            look_plan = replace(look_plan, consent=plan.consent, named=plan.named)
        look = self._take(self._looks, target, look_plan, folder)[-1]
        _log_step(look, get_logger().debug)  # most are thrown away a moment later
        return look

    def context(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture:
        """What can be read of it without any tool, beside a running capture: role "context"."""
        found = self._take(self._looks, target, replace(plan, profiler="none"), folder)[-1]
        _log_step(found, get_logger().info)
        return found

    def kept_by_system(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture:
        """What the system's own recorder has of it from before (macOS): role "before"."""
        return self._take(self._looks, target, plan, folder, BEFORE)[-1]

    def capture(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]:
        """The context, then the ladder of profilers until one has evidence; each step with its outcome."""
        captures = self._take(self._captures, target, plan, folder)
        for capture in captures:
            _log_step(capture, get_logger().info)
        return captures

    def read(self, capture: Capture, folder: Path) -> Capture:
        """Return the same dump with its hotspots: worth 100 ms once an alert has made it evidence.

        What the black box held is read in the same way; it must hold a sample of the target.
        """
        if capture.payload is None or capture.format in (None, "context-json"):
            return capture
        path = folder / "dump.bin"
        try:
            put(path, capture.payload)
            found = read_evidence(Runner(), capture.format or "", path, capture.target.pid)
        except OSError:
            return capture
        finally:
            remove(path)
        if capture.role == BEFORE:
            return self._with_reading(capture, found, folder)
        if found.error is not None:
            return capture
        capture = replace(capture, hotspots=found.hotspots, notes=found.with_waiting(capture.notes))
        if capture.format == "py-spy-dump":
            return self._with_hidden(capture, folder)
        if capture.format not in ("eu-stack", "folded"):
            return capture
        from monitord.capture.unresolved import advice, without_interpreter  # only native code needs it

        unnamed = advice(found.hotspots, (capture.image or "").rpartition(" ")[0])
        notes = {**capture.notes, "unnamed": unnamed[0]} if unnamed else capture.notes
        return replace(capture, hotspots=without_interpreter(found.hotspots), notes=notes)

    def _with_reading(self, before: Capture, found: Reading, folder: Path) -> Capture:
        """What the black box held, with what is in it of the target; or why there is nothing."""
        if found.error is not None or not found.sample_count:
            status = CaptureStatus.TOOL_ERROR if found.error else CaptureStatus.NO_SAMPLES
            reason = f"unreadable: {found.error}" if found.error else "it did not run before the alert"
            return replace(before, status=status, reason=reason, format=None, payload=None)
        notes = {**before.notes, "ring": "; ".join(found.notes)} if found.notes else before.notes
        return replace(
            before,
            hotspots=self._with_sources(before.target, found.hotspots, folder),
            sample_count=found.sample_count,
            error_count=found.error_count,
            notes=notes,
        )

    def _with_sources(self, key: ProcessKey, spots: tuple[Hotspot, ...], folder: Path) -> tuple[Hotspot, ...]:
        """The hotspots with what their sources tell, while the process that names the files is there."""
        if not self._reads_sources:
            return spots
        try:
            with Target(key) as target:
                return with_sources(Runner(), target, folder, spots)
        except TargetError:
            return spots

    def _with_hidden(self, dump: Capture, folder: Path) -> Capture:
        """The dump led by what has no readable name, where the process, as it is now, runs such functions."""
        from monitord.capture.hidden_frames import hidden_share, with_hidden  # an alert's worth of code

        try:
            with Target(dump.target) as target:
                if target.identity.program != dump.image:
                    return dump
                return with_hidden(dump, hidden_share(Runner(), target, folder, _NAME_LOOKS))
        except TargetError:
            return dump

    def observe(self, look: Look, plan: CapturePlan, folder: Path) -> bytes | None:
        """What the causes of a metric need to know of a process, or the machine, now; None: nothing.

        Of `plan` only the consent counts.
        """
        runner = self._observations.runner
        with self._turn(self._observations, folder) as place:
            try:
                if look.target is not None:
                    with Target(look.target) as target:
                        if self.consent.refusal(target.name, target.identity.executable, plan) is None:
                            return causes.observe(runner, look, target, place)
            except TargetError:
                pass
            return None if look.needs_target else causes.observe(runner, look, None, place)

    def watch(self, look: Look, plan: CapturePlan) -> Watch | None:
        """Record page faults of a process from now on, until it is closed; None: it is not to be looked at.

        Of `plan` only the consent counts.
        """
        if look.target is None:
            return None
        try:
            with Target(look.target) as target:
                if self.consent.refusal(target.name, target.identity.executable, plan) is not None:
                    return None
                from monitord.capture.fault_watch import watch  # only when a rule about memory is armed

                watched = watch(target.key.pid)
                if target.was_replaced() is None:
                    return watched
                watched.close()
        except TargetError:
            pass
        return None

    def explain(
        self, incident: Incident, observed: tuple[bytes | None, bytes | None], folder: Path
    ) -> Cause | None:
        """The cause of an incident, by all that was taken of it; None: explaining failed."""
        with self._turn(self._explaining, folder) as place:
            return causes.explain(self._explaining.runner, incident, observed, place)

    def stop(self) -> None:
        """End the running capture within 2 s; it returns what it has. From any thread; later ones run on."""
        for slot in (self._captures, self._looks, self._observations, self._explaining):
            slot.runner.stop()

    # -------------------------------------------------------------------------------------------------

    def _take(
        self, slot: CaptureSlot, key: ProcessKey, plan: CapturePlan, folder: Path, role: str | None = None
    ) -> list[Capture]:
        is_context = role is None and plan.profiler == "none" and slot is self._looks
        role = role or ("context" if is_context else "dump" if slot is self._looks else "profile")
        with self._turn(slot, folder) as folder:
            try:
                with Target(key) as target:
                    refusal = self.consent.refusal(target.name, target.identity.executable, plan)
                    if refusal is not None:
                        return [replace(_without_tool(key, plan, CaptureStatus.REFUSED, *refusal), role=role)]
                    session = Session(
                        target, folder, plan, slot.runner, self._tools, self._grace_s,
                        reads_sources=self._reads_sources,
                    )  # fmt: skip
                    if is_context:
                        return [self._run(Context(), session)]
                    if role == BEFORE:
                        from monitord.capture.profilers.mac_tailspin import MacTailspin  # a Mac's alone

                        return [self._run(MacTailspin(), session)]
                    if slot is self._looks:
                        return self._look(replace(session, is_hurried=True))
                    program = program_id(key.pid)
                    return [_of_program(capture, program) for capture in self._profile(session)]
            except TargetError as error:
                return [replace(_without_tool(key, plan, error.status, error.reason, None), role=role)]

    @contextlib.contextmanager
    def _turn(self, slot: CaptureSlot, folder: Path) -> Iterator[Path]:
        """Wait for the slot; its folder, which is there."""
        with slot.turn:
            folder = folder.resolve()
            folder.mkdir(mode=0o700, exist_ok=True)
            slot.runner.begin()
            try:
                yield folder
            finally:
                slot.runner.end()

    def _look(self, session: Session) -> list[Capture]:
        found = []
        for profiler in FIRST_LOOKS:
            if profiler.suits(session.target):
                found.append(self._run(profiler, session))
                if found[-1].status.has_evidence or found[-1].status in _TARGET_IS_LOST:
                    break
        if found:
            return found
        reason = "no tool here takes a stack dump of this kind of process"
        return [
            replace(
                _without_tool(session.target.key, session.plan, CaptureStatus.TOOL_MISSING, reason, None),
                role="dump",
            )
        ]

    def _profile(self, session: Session) -> list[Capture]:
        found = [self._run(Context(), session)]
        session = replace(session, cpu_percent=found[0].target_cpu_percent)
        if found[0].status in _TARGET_IS_LOST or session.plan.profiler == "none":
            return found
        ladder = [profiler for profiler in LADDER if _is_wanted(profiler, session)]
        if not ladder:
            wanted = session.plan.profiler
            reason = f"no profiler here fits {wanted!r}; known: {', '.join(NAMES)}"
            return [
                *found,
                _without_tool(session.target.key, session.plan, CaptureStatus.TOOL_MISSING, reason, None),
            ]
        return found + self._try_each(self._with_own(ladder, session), session)

    def _with_own(self, ladder: list[Profiler], session: Session) -> list[Profiler]:
        """The ladder; before its first profile the target's own profiler, if it stands by under one."""
        try:
            own = self._own_profiler(session.target.key) if session.plan.profiler == "auto" else None
        except MonitordError as error:
            get_logger().warning("standby.unknown", pid=session.target.key.pid, reason=str(error))
            own = None
        if own is None:
            return ladder
        at = next((index for index, one in enumerate(ladder) if one.role == "profile"), len(ladder))
        return [*ladder[:at], own, *ladder[at:]]

    def _try_each(self, ladder: list[Profiler], session: Session) -> list[Capture]:
        from monitord.capture.doubts import doubted, is_enough  # a profile's worth of code

        found: list[Capture] = []
        useless: set[str] = set()
        for profiler in ladder:
            if profiler.tool in useless:
                continue
            if session.runner.is_stopped:
                break
            with _swept(session.folder):
                self._tools.learn_version(profiler.tool, session.runner, session.folder)
            found.append(self._run(profiler, session))
            last = found[-1] = doubted(found[-1])
            if last.status in _TARGET_IS_LOST or is_enough(last):
                break
            if last.status in _TOOL_IS_USELESS:
                useless.add(profiler.tool)
        return found

    def _run(self, profiler: Profiler, session: Session) -> Capture:
        """One step, which leaves its evidence and nothing else in the folder.

        What a step raises is a bug, but no reason to lose the steps before it.
        """
        with _swept(session.folder) as evidence:
            capture = self._guarded(profiler, session)
            evidence.append(capture.path)
        return capture

    def _guarded(self, profiler: Profiler, session: Session) -> Capture:
        try:
            return profiler.take(session)
        except Exception as error:  # noqa: BLE001 - around one capture (DESIGN section 9)
            get_logger().exception("capture.failed", profiler=profiler.name, pid=session.target.key.pid)
            reason = f"{type(error).__name__}: {error}"
            return replace(
                _without_tool(session.target.key, session.plan, CaptureStatus.TOOL_ERROR, reason, None),
                profiler=profiler.name,
                role=profiler.role,
            )


@contextlib.contextmanager
def _swept(folder: Path) -> Iterator[list[Path | None]]:
    """Remove what comes into the folder meanwhile, but for what is in the list that is given.

    A folder that can't be read goes with its capture.
    """
    evidence: list[Path | None] = []
    before = {entry.name for entry in folder.iterdir()}
    yield evidence
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if entry.name in before or entry in evidence:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _of_program(capture: Capture, program: str | None) -> Capture:
    """With the id by which it finds its baseline."""
    return replace(capture, notes={**capture.notes, "program": program}) if program else capture


def _is_wanted(profiler: Profiler, session: Session) -> bool:
    """Whether a profiler is the one that was asked for, or a step of the ladder for this target and plan."""
    if session.plan.profiler != "auto":
        return session.plan.profiler == profiler.name
    return (profiler.name not in OF_MEMORY or session.plan.is_about_memory) and profiler.suits(session.target)


def _without_tool(
    key: ProcessKey, plan: CapturePlan, status: CaptureStatus, reason: str, fix: str | None
) -> Capture:
    """The record of a capture that never came to a tool."""
    return Capture(
        role="profile", profiler=plan.profiler, status=status, started_at=datetime.now(UTC), duration_s=0.0,
        target=key, reason=reason, fix=fix,
    )  # fmt: skip


def _log_step(capture: Capture, log: Callable[..., object]) -> None:
    """One log line a step."""
    log(
        "capture.finished",
        pid=capture.target.pid,
        profiler=capture.profiler,
        role=capture.role,
        status=str(capture.status),
        reason=capture.reason,
        duration_s=round(capture.duration_s, 3),
        samples=capture.sample_count,
    )
