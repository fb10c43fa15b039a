"""Capture plans, set while the daemon runs: kept in the global state, one key a plan, as JSON.

The functions take any `Storage`: the store's own, or a reader's, on which only asking works.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.model import Match, NamedPlan, PlannedConsent, PlannedProfiler
from monitord.storage.state import Storage

_PROFILERS, _CONSENTS = get_args(PlannedProfiler), get_args(PlannedConsent)
DURATION_S = (0.5, 300.0)
RATE_HZ = (1, 1000)
_PREFIX = "plan/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MATCHED_BY = ("names", "users", "units")
_CHANGES = ("profiler", "duration_s", "rate_hz", "consent")
_PATTERNS_AT_MOST = 64
_PATTERN_LENGTH = 256


def store_capture_plan(state: Storage, plan: NamedPlan) -> None:
    """Keep a plan, in place of the one of its name; raises UsageError for one that can't be."""
    _check(plan)
    state.set(_PREFIX + plan.name, kept_as(plan).encode())


def kept_as(plan: NamedPlan) -> str:
    """Return a plan as it is kept under its name; `parsed` reads it."""
    kept = {key: value for key in _CHANGES if (value := getattr(plan, key)) is not None}
    match = {key: list(values) for key in _MATCHED_BY if (values := getattr(plan.match, key))}
    return json.dumps({"match": match, **kept})


def names_of(state: Storage) -> list[str]:
    """The names of all plans, in their order."""
    return [key.removeprefix(_PREFIX) for key in state.keys() if key.startswith(_PREFIX)]  # noqa: SIM118  not a mapping


def get_capture_plan(state: Storage, name: str) -> NamedPlan:
    """Return the plan of this name; raises NotFoundError, and StorageError when the stored one is damaged."""
    item = state.get(_PREFIX + _named(name))
    if item is None:
        raise NotFoundError(f"cannot find capture plan {name!r}; `monitord plan list` lists them")
    return parsed(name, item.data)


def list_capture_plans(
    state: Storage, skip: Callable[[StorageError], object] | None = None
) -> list[NamedPlan]:
    """All plans in the order of their names, which is the order they are tried in.

    One that can't be understood raises StorageError, or is told to `skip` and left out.
    """
    found = []
    for name in names_of(state):
        try:
            item = state.get(_PREFIX + name)
            found += [parsed(name, item.data)] if item else []
        except StorageError as error:
            if skip is None:
                raise
            skip(error)
    return found


def delete_capture_plan(state: Storage, name: str) -> None:
    """Remove a plan; raises NotFoundError."""
    if not state.delete(None, _PREFIX + _named(name)):
        raise NotFoundError(f"cannot find capture plan {name!r}; `monitord plan list` lists them")


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"invalid plan name {name!r}: expected 1 to 64 letters, digits, '.', '_' or '-'")
    return name


def _check(plan: NamedPlan) -> None:
    """Raises UsageError naming what is wrong and what was expected."""
    _named(plan.name)
    if plan.match.pids or plan.match.not_names:
        raise UsageError("invalid match of a plan: expected names, users or units, not pids or not_names")
    for key in _MATCHED_BY:
        _check_patterns(key, getattr(plan.match, key))
    if all(getattr(plan, key) is None for key in _CHANGES):
        raise UsageError(
            f"invalid plan {plan.name!r}: it changes nothing, expected a profiler, duration, rate or consent"
        )
    if plan.profiler not in (None, *_PROFILERS):
        raise UsageError(f"invalid profiler {plan.profiler!r}: expected one of {', '.join(_PROFILERS)}")
    if plan.consent not in (None, *_CONSENTS):
        raise UsageError(f"invalid consent {plan.consent!r}: expected {' or '.join(_CONSENTS)}, or nothing")
    _check_number("duration", plan.duration_s, DURATION_S, "s")
    _check_number("rate", plan.rate_hz, RATE_HZ, "samples a second")
    if plan.rate_hz is not None and not isinstance(plan.rate_hz, int):
        raise UsageError(f"invalid rate {plan.rate_hz!r}: expected a whole number")


def _check_patterns(key: str, patterns: Sequence[object]) -> None:
    if len(patterns) > _PATTERNS_AT_MOST:
        raise UsageError(f"invalid {key}: {len(patterns)} in one plan, expected at most {_PATTERNS_AT_MOST}")
    for pattern in patterns:
        if not isinstance(pattern, str) or not 0 < len(pattern) <= _PATTERN_LENGTH or "\0" in pattern:
            raise UsageError(
                f"invalid {key}: {pattern!r}, expected a text of 1 to {_PATTERN_LENGTH} characters"
            )


def _check_number(what: str, value: float | None, limits: tuple[float, float], unit: str) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not limits[0] <= value <= limits[1]:
        shown = f"{value:.10g}" if is_number else repr(value)
        raise UsageError(f"invalid {what} {shown}: expected {limits[0]:g} to {limits[1]:g} {unit}")


def parsed(name: str, data: bytes) -> NamedPlan:
    """Read what is kept as a plan; raises StorageError for what this monitord can't have stored."""
    try:
        kept: Any = json.loads(data)
        match = _lists(kept.pop("match", {}))
        plan = NamedPlan(name, Match(**match), **kept)
        _check(plan)
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        raise StorageError(
            f"cannot read the capture plan {name!r}: {error}; `monitord plan delete` removes it"
        ) from error
    return plan


def _lists(match: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
    if any(not isinstance(values, list) for values in match.values()):
        raise TypeError("its match holds no lists")
    return {key: tuple(values) for key, values in match.items()}
