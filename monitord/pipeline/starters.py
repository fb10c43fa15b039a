"""Whom a storm of starts is about: who started most, by the black box's records. Loaded when there is one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitord.causes.sureness import sureness_of_starter
from monitord.model import NO_SINGLE_PROCESS, Alert, HistoryPoint, ProcessKey, counted
from monitord.pipeline.openings import Opening


def about_starter(opening: Opening, starts: Mapping[str, Any]) -> Opening:
    """The opening with who started most as its target, where that is certain.

    Detection chose by the CPU of ended children. Where the box has another one, and it is not certain, it is
    about none of them, and its reason names both.
    """
    try:
        alert = _alert_about(opening.alert, starts)
    except (KeyError, TypeError, ValueError, IndexError):
        return opening
    if alert.target == opening.alert.target:
        return replace(opening, alert=alert)
    process = opening.describe(alert.target) if alert.target is not None else None
    return replace(opening, alert=alert, process=process, history=tuple(map(_of_machine, opening.history)))


def _alert_about(alert: Alert, starts: Mapping[str, Any]) -> Alert:
    if not starts["starters"]:
        return alert
    (pid, name, most, *_), *others = starts["starters"]
    whole, start_ticks = starts["count"], starts["first_start_ticks"]
    second = others[0][2] if others else 0
    threads = starts.get("threads", 0)
    is_chosen = alert.target is not None and alert.target.pid == pid
    if pid == os.getpid() or (is_chosen and threads <= most):
        return alert
    if sureness_of_starter(most, second, whole, threads, is_whole=starts["is_whole"]) == "certain":
        target = ProcessKey(pid, start_ticks) if start_ticks is not None else None
        return replace(alert, target=target, process_name=name, image=None)
    besides = f", beside {counted(threads, 'thread')}" if threads > most else ""
    reason = f"{alert.reason}; most processes were started by {name} (pid {pid}), {most:,} of {whole:,}"
    reason += besides
    return replace(alert, target=None, process_name=NO_SINGLE_PROCESS, image=None, reason=reason)


def _of_machine(point: HistoryPoint) -> HistoryPoint:
    """Without what was read of another process."""
    return HistoryPoint(
        point.taken_at,
        point.machine_percent,
        point.memory_available_bytes,
        unattributed_cpu_percent=point.unattributed_cpu_percent,
    )
