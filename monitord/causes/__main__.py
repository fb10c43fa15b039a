"""The child that observes a target, or explains an incident; its answer is one line of JSON.

`python -m monitord.causes METRIC PID START_TICKS [FAULTS]` prints what `observe` of the metric's member says,
at most OBSERVED_BYTES; FAULTS says which of its descriptors are rings of page faults.
`python -m monitord.causes explain DOCUMENT` prints a Cause. 1 and one line on stderr when it can't be done, 2
when the call is wrong.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from monitord import procfs
from monitord.causes import METRICS, OBSERVED_BYTES, Member
from monitord.model import TriggerMetric

_USAGE = "usage: python -m monitord.causes METRIC PID START_TICKS [FAULTS] | explain DOCUMENT"


def main(arguments: Sequence[str]) -> int:
    """Observe or explain, and print it."""
    gc.disable()  # a child of a second, which makes hardly any cycles
    call = _read_call(arguments)
    if call is None:
        print(_USAGE, file=sys.stderr)  # noqa: T201 - the child's stdout and stderr are its interface
        return 2
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 - around one capture: whatever it met, it costs this sentence only
        reason = f"{type(error).__name__}: {error}"[:300]
        print(" ".join(reason.encode("ascii", "backslashreplace").decode().split()), file=sys.stderr)  # noqa: T201
        return 1
    print(answer)  # noqa: T201
    return 0


def _read_call(arguments: Sequence[str]) -> Any:
    if len(arguments) == 2 and arguments[0] == "explain":
        return lambda: explain(Path(arguments[1]))
    metric = next((one for one in METRICS if arguments and one == arguments[0]), None)
    if metric is None or METRICS[metric].observes == "nothing" or len(arguments) not in (3, 4):
        return None
    if len(arguments) == 4 and not METRICS[metric].watches_faults:
        return None
    pid, start_ticks, *faults = arguments[1:]
    if not all(number.isdecimal() and len(number) < 20 for number in (pid, start_ticks)):
        return None
    return lambda: observe(metric, int(pid), int(start_ticks), *faults)


def member_module(member: Member) -> Any:
    """The module of a member, loaded when it is needed."""
    return import_module(f"monitord.causes.{member.module}")


def observe(metric: TriggerMetric, pid: int, start_ticks: int, *faults: str) -> str:
    """What a member sees of a process now, as JSON; ValueError when it is another process by then."""
    _check(pid, start_ticks)
    text = json.dumps(member_module(METRICS[metric]).observe(pid, start_ticks, *faults))
    _check(pid, start_ticks)
    if len(text) > OBSERVED_BYTES:
        raise ValueError(f"invalid observation: {len(text):,} bytes, expected at most {OBSERVED_BYTES:,}")
    return text


def _check(pid: int, start_ticks: int) -> None:
    """Pid 0 is the machine."""
    stat = procfs.stat_of(pid) if pid else None
    if pid and (stat is None or stat.start_ticks != start_ticks or stat.state in "ZX"):
        raise ValueError(f"process {pid} has ended, or is another one")


def explain(document: Path) -> str:
    """The cause that the facts in a document speak for, as JSON."""
    from monitord.causes.facts import read_facts
    from monitord.causes.unknown import unknown

    facts = read_facts(document)
    explainer = member_module(METRICS[facts.alert.metric])
    try:
        cause = explainer.explain(facts)
    except Exception as error:  # noqa: BLE001 - what was read of an attacker's process may be anything
        return json.dumps(
            asdict(unknown(facts, f"what was observed makes no sense ({type(error).__name__})"))
        )
    return json.dumps(asdict(cause or unknown(facts)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
