"""An incident in one sentence: which function took the time of which process, or why nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitord.model import (
    FEW_SAMPLES,
    PYTHON_NOT_READ,
    UNKNOWN_CAUSE,
    Cause,
    Hotspot,
    TriggerMetric,
    not_read_share,
)
from monitord.profiles.idle_calls import waits_in_library
from monitord.redaction import printable

OF_CPU = frozenset(
    (
        TriggerMetric.CPU, TriggerMetric.SHORT_SPIKE, TriggerMetric.CPU_PRESSURE,
        TriggerMetric.SHORT_LIVED_CPU, TriggerMetric.SPAWN_STORM, TriggerMetric.MANUAL,
    )
)  # fmt: skip
"""What is measured in time on a processor: of anything else a function that ran tells little."""

ROUGH = 0.1
"""An error from which on it is told beside the share, which no longer tells who took more."""
_STANDS_OUT = 0.2  # of the time; a function below that is one of many
_UNSURE = 0.05  # from which error on a share is only "about" so much
_NO_SHARE = 0.35  # from which error on there is no share to tell
_LONGEST_NAME = 80
_LONGEST_SENTENCE = 400
_EVERYBODY = "all that ran"
_NOT_READ = "its Python functions were not read in time"
_NO_REASON = "nothing was recorded of what it ran"


@dataclass(frozen=True, slots=True)
class VerdictFacts:
    """What a verdict rests on.

    `who` is the process as pages call it, "" where nobody could be blamed. `happened` says what was measured
    ("cpu 97 %"). `hotspots`, hottest first, come from evidence of `seconds` and `sample_count` samples (None:
    not counted), taken after the spike if `is_late`; with `of_page_faults` their shares are of the memory
    that came in; with `only_waited` nobody ran, and they are where it waited. `why_unknown` is the reason for
    having no hotspots.
    """

    who: str
    metric: TriggerMetric
    happened: str
    cause: Cause | None = None
    hotspots: Sequence[Hotspot] = ()
    seconds: float = 0.0
    sample_count: int | None = None
    is_late: bool = False
    of_page_faults: bool = False
    only_waited: bool = False
    why_unknown: str = ""


def verdict(facts: VerdictFacts) -> str:
    """Say in one sentence, printable and at most 400 characters long, what an incident comes down to.

    The known cause's sentence; else the hottest function with its share; else why no function is known.
    """
    cause = facts.cause
    if cause is not None and cause.kind != UNKNOWN_CAUSE:
        return _limited(_of_cause(facts, cause), _LONGEST_SENTENCE)
    if not facts.hotspots or facts.hotspots[0].function == PYTHON_NOT_READ:
        return _limited(_unknown(facts), _LONGEST_SENTENCE)
    return _limited(_of_function(facts, facts.hotspots[0]), _LONGEST_SENTENCE)


def _of_cause(facts: VerdictFacts, cause: Cause) -> str:
    sentence = cause.sentence.rstrip(".")
    for spot in facts.hotspots:  # whose folders stand in the table of functions
        if spot.file and "/" in spot.file:
            sentence = sentence.replace(f"{spot.file}:", f"{spot.file.rpartition('/')[2]}:")
    # A machine's cause names whom it blames.
    is_named = sentence.startswith(f"{facts.who.partition(' ')[0]} (pid ")
    about = f"{facts.who}: " if facts.who and not is_named else ""
    return f"{about}{sentence}; {cause.kind} ({cause.confidence})"


def _unknown(facts: VerdictFacts) -> str:
    why = _NOT_READ if facts.hotspots else facts.why_unknown or _NO_REASON
    return f"{facts.who or 'the machine'}: {facts.happened}; no function is known, because {why}"


def _of_function(facts: VerdictFacts, spot: Hotspot) -> str:
    who = facts.who or _EVERYBODY
    name = _limited(spot.function, _LONGEST_NAME) + _place(spot)
    when = f", {spot.seen}" if spot.seen else ""
    after = "after the spike " if facts.is_late else ""
    lasted = f" for {_seconds(facts.seconds)}" if facts.seconds >= 1 else ""
    if facts.sample_count is not None and facts.sample_count < FEW_SAMPLES and not spot.seen:
        where = _samples(spot, facts.sample_count)
        if not facts.who:
            return f"{after}of {_EVERYBODY} {name} was met in {where}"
        return f"{after}{who} was in {name} in {where}"
    if spot.seen and (spot.share_error or 0.0) >= _NO_SHARE:
        return f"{who} was seen in {name} in a few looks{when}"
    waited = facts.only_waited or waits_in_library(spot.function, spot.file)
    if facts.metric is TriggerMetric.HANG or waited:
        return f"{after}{who} was in {name} in {_share(spot)} of what was seen of it{lasted}{when}"
    if facts.of_page_faults:
        return f"{after}{name} brought in {_share(spot)} of the memory that {who} took{when}"
    if facts.metric not in OF_CPU:
        subject = facts.who or "the machine"
        return f"{subject}: {facts.happened}; meanwhile {name} took {_share(spot)} of its CPU time{when}"
    not_read = 0.0 if spot.seen else not_read_share(facts.hotspots)
    if not_read:
        rest = f"; of {not_read * 100:.0f} % {_NOT_READ}"
        return f"{after}{name} took at least {spot.self_share * 100:.0f} % of {who}{lasted}{rest}"
    if spot.self_share < _STANDS_OUT:
        return f"{after}no function of {who} stands out: {name} took most, {_share(spot)}{lasted}{when}"
    return f"{after}{name} took {_share(spot)} of {who}{lasted}{when}"


def _place(spot: Hotspot) -> str:
    """Its file without folders, and its line; of a native function the binary."""
    place = (spot.file or spot.module or "").rpartition("/")[2]
    if not place:
        return ""
    return f" ({_limited(place, _LONGEST_NAME)}{f':{spot.line}' if spot.file and spot.line else ''})"


def told_share(share: float, error: float | None) -> str:
    """Say a share, and how far it may be off where that is much."""
    if (error or 0.0) >= ROUGH:
        return f"{share * 100:.0f} ± {(error or 0.0) * 100:.0f} %"
    return f"{'about ' if (error or 0.0) >= _UNSURE else ''}{share * 100:.0f} %"


def _share(spot: Hotspot) -> str:
    return told_share(spot.self_share, spot.share_error)


def _samples(spot: Hotspot, count: int) -> str:
    if count <= 1:
        return "the one sample of it"
    return f"{round(spot.self_share * count)} of {count} samples"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _limited(text: str, length: int) -> str:
    shown = printable(text[: 4 * length])
    return shown if len(shown) <= length else shown[: length - 1] + "…"
