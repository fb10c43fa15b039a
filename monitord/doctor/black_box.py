"""Whether the kernel grants the black box its rings: the call itself is tried, for what no sysctl tells."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping

from monitord.capture.tools import INSTALL
from monitord.doctor.check import OK, WARNING, Check, Surroundings
from monitord.doctor.rights import CAP_PERFMON, CAP_SYS_ADMIN, capabilities, number
from monitord.errors import PermissionDeniedError
from monitord.model import counted
from monitord.perf_events.perf_event import LockedMemoryError
from monitord.recorder.status import read_status
from monitord.redaction import printable
from monitord.stacks.rings import Rings, Scope, stack_bytes

_NAME = "black box"
_PARANOID = "proc/sys/kernel/perf_event_paranoid"
_OTHERWISE = "without it only Python stacks of busy processes are read, four times a second"
_LOOSEN = (
    "echo kernel.perf_event_paranoid=2 | sudo tee /etc/sysctl.d/60-monitord.conf && sudo sysctl --system"
)
_LOCK_MORE = "echo '* - memlock 32768' | sudo tee /etc/security/limits.d/60-monitord.conf"
_LET_THROUGH = (
    "give the container CAP_PERFMON and perf_event_open: docker run --cap-add PERFMON …"
    "   (a service: systemctl edit, [Service], SystemCallFilter=perf_event_open)"
)


def check_black_box(here: Surroundings) -> Iterator[Check]:
    if not here.has_black_box:
        yield Check(_NAME, OK, "switched off (black_box.enabled)")
    elif here.is_mac:
        yield _of_mac(here)
    elif not here.is_linux:
        yield Check(_NAME, WARNING, "the rings are Linux's: stacks begin at the first crossing")
    else:
        refused = _try(here, "machine")
        yield refused if isinstance(refused, Check) else _explained(here, refused)


def _of_mac(here: Surroundings) -> Check:
    """Its own recorder: whether it is switched on it tells root alone, when it is asked for what it has."""
    if shutil.which("tailspin", path=f"{here.search_path}:/usr/bin") is None:
        return Check(_NAME, WARNING, "tailspin is missing: stacks begin at the first crossing")
    if here.uid != 0:
        words = "tailspin, the system's own, gives its last 20 s to root alone (untested)"
        return Check(_NAME, WARNING, words, here.system_install)
    return Check(_NAME, OK, f"tailspin, the system's own, where it is on: {INSTALL['tailspin']} (untested)")


def _try(here: Surroundings, scope: Scope) -> Check | OSError:
    """What was granted, or the kernel's no."""
    try:
        rings = here.open_rings(here.ring_rate_hz, here.ring_bytes, scope)
    except OSError as error:
        return error
    try:
        return _granted(here, rings)
    finally:
        rings.close()


def _granted(here: Surroundings, rings: Rings) -> Check:
    cpus = len(rings.cpus)
    detail = f"stacks of all processes: {rings.bytes_a_cpu >> 10} KiB on each of {counted(cpus, 'CPU')}"
    if rings.scope != "machine":
        detail = "stacks of your own processes that are busy, not of all"
        return Check(_NAME, WARNING, detail, here.system_install)
    if rings.bytes_a_cpu < stack_bytes(here.ring_bytes, cpus):
        words = f"{detail}, less than configured: the limit of locked memory is too low"
        return Check(_NAME, WARNING, words, f"{_LOCK_MORE}   (then log in again; or: {here.system_install})")
    return _of_recorder(here) or Check(_NAME, OK, detail)


def _of_recorder(here: Surroundings) -> Check | None:
    """The recorder's rights may be fewer than the caller's: a service is not root."""
    try:
        reported = read_status(here.data_dir) or {}
    except PermissionDeniedError:
        return None
    box = reported.get("black_box")
    if not reported.get("is_running") or not isinstance(box, Mapping):
        return None
    if box.get("state") == "on" and box.get("scope") == "machine":
        return None
    reason = printable(str(box.get("reason") or "not yet open"))
    level = number(here, _PARANOID) or 0
    fix = f"{_LOOSEN} && monitord service restart --system" if level > 2 else "monitord status"
    return Check(_NAME, WARNING, f"the recorder is granted less than you: {reason}", fix)


def _explained(here: Surroundings, error: OSError) -> Check:
    """Why, as far as the errno, the rights and the kernel's settings tell, and the fix."""
    held = capabilities(here)
    level = number(here, _PARANOID)
    if error.errno in (errno.EACCES, errno.EPERM) and not held & (CAP_PERFMON | CAP_SYS_ADMIN):
        own = _try(here, "own processes")
        if isinstance(own, Check):
            return own
        error = own
    if error.errno == errno.EACCES:
        why = f"kernel.perf_event_paranoid is {level}"
        if held & CAP_PERFMON:  # Debian's kernels: the service gets no more than that
            return _refused(f"{why}, which this kernel holds against CAP_PERFMON, too", _LOOSEN)
        fix = f"{_LOOSEN}   (for all processes, besides: {here.system_install})"
        return _refused(f"{why} and CAP_PERFMON is not held", fix)
    if error.errno == errno.EPERM:
        if isinstance(error, LockedMemoryError):
            return _refused("the limit of locked memory is too low", _LOCK_MORE)
        return _refused("a seccomp filter refuses perf_event_open", _LET_THROUGH)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _refused("too many files are open", "ulimit -n 65536")
    return _refused(str(error.strerror or error), None)


def _refused(why: str, fix: str | None) -> Check:
    return Check(_NAME, WARNING, f"not possible: {why}; {_OTHERWISE}", fix)
