"""What a process spends CPU on: one of twelve classes and the function; unknown where two are near."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from monitord.causes.facts import Facts
from monitord.causes.frame_classes import (
    ALLOCATION,
    BEGINNINGS,
    FAULTS,
    GC,
    IDLE,
    INTERPRETERS,
    IO_WAIT,
    KERNEL,
    LOCK,
    LOOP,
    REGEX,
    SERIAL,
    STARTS,
)
from monitord.causes.hottest import hottest, running, without_names
from monitord.causes.leaves import name_leaves, sample_leaves
from monitord.causes.shares import Shares, context_shares, heaviest, leaf_shares, native_shares
from monitord.causes.unknown import unknown
from monitord.causes.usage import Usage, read_usage, read_waits, usage_between
from monitord.causes.words import percent
from monitord.model import BEFORE, Cause, Confidence, TriggerMetric, counted
from monitord.profiles.ranking import share_error
from monitord.profiles.verdict import ROUGH, told_share

_FEW_BUSY = 5  # samples: below that nothing ran
_FEW = 12  # samples: below that nothing is likely
_MANY = 40
_NAMED = 0.5  # of the leaves must have names, or they say nothing of what is not there
_VERIFIED = 0.06  # of the leaves: a library's call is under way there
_LEAST, _LIKELY, _SURE = 0.35, 0.55, 0.8
_NEAR_SHARE = 0.75  # of the winner's: the runner-up is too near to be sure
_IDLE_SHARE = 0.05  # of one core
_WAITING_SHARE = 0.3
_CHILDREN = 0.6  # of all CPU, its own and its ended children's
_SWITCHES_PER_S = 2000
_STARTS_BESIDE = 0.1  # of what threads and processes need alike
_OWN = 0.5  # of a core, and of what is known of where that goes

_WHAT: Mapping[str, str] = {
    GC: "goes to collecting garbage",
    REGEX: "goes to matching regular expressions",
    SERIAL: "goes to reading or writing serialised data",
    LOCK: "goes to getting and waiting for locks",
    FAULTS: "goes to page faults: the kernel gives it memory and takes it back",
    ALLOCATION: "goes to allocating and freeing memory",
    STARTS: "goes to starting and ending processes",
    KERNEL: "is spent in the kernel",
    IO_WAIT: "goes to reading and writing files",
}
_DECIDES: Mapping[str, str] = {
    GC: "the collector's own statistics (gc.callbacks, -Xlog:gc, --trace-gc, GODEBUG=gctrace=1)",
    ALLOCATION: "a profile of allocations (memray, heaptrack, pprof -alloc_space)",
    KERNEL: "perf trace -s -p PID",
    LOCK: "perf trace -s -p PID, or a dump of all threads",
    FAULTS: "perf record -e page-faults -p PID",
}
_OF_ITS_LANGUAGE = "a profiler of its own language"


def observe(pid: int, start_ticks: int) -> dict[str, Any]:
    """What it used, its faults and waits; where its CPU is. The process that observes ends with it."""
    return observed(pid, lambda _first: {})


def observed(pid: int, further: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The same with what else is observed before all rights are given up, given the first usage."""
    first = read_usage(pid)
    sampled = sample_leaves(pid)
    usage = {"first": first, "last": {**read_usage(pid), "waits": read_waits(pid)}}
    return {**further(first), "usage": usage, "leaves": name_leaves(pid, sampled)}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What speaks for a class: the leaves, libraries up the stack, what hot lines call, what was used."""

    leaves: Shares
    facts: Shares
    hints: Shares
    usage: Usage | None
    states: Mapping[str, int]

    @property
    def is_named(self) -> bool:
        return self.leaves.total >= _FEW and self.leaves.named_share >= _NAMED

    @property
    def samples(self) -> float:
        return max(self.leaves.total, self.facts.total)


def explain(facts: Facts) -> Cause | None:
    """Which class the leading profile and the observed leaves speak for, and how clearly."""
    seen = _seen(facts)
    rows = _rows(seen)
    if (cause := _of_children(seen, rows) or _at_rest(facts, seen, rows)) is not None:
        return cause
    if seen.samples < _FEW_BUSY:
        why = "too few samples were taken while it ran" if facts.profiles else ""
        return unknown(facts, why, _longer_profile(facts))
    scores = _scores(seen)
    return _judged(facts, seen, scores, rows)


def _seen(facts: Facts) -> _Seen:
    profile = next(iter(running(facts)), None)
    before, after = _part(facts.before, "usage"), _part(facts.after, "usage")
    stacks, hints = context_shares(profile, facts.hotspots) if profile else (Shares(), Shares())
    usage = usage_between(before, after)
    leaves = _leaves(facts)
    has_children = max(stacks.share(STARTS), hints.share(STARTS)) > 0 or (
        usage is not None and usage.has_children
    )
    leaves.settle(BEGINNINGS, STARTS if has_children or _starts_processes(leaves) else KERNEL)
    return _Seen(leaves, stacks, hints, usage, _states(after))


def _starts_processes(leaves: Shares) -> bool:
    """Whether so much is for processes alone that what is done for threads, too, is for them."""
    return leaves.share(STARTS) >= _STARTS_BESIDE * leaves.share(BEGINNINGS)


def _part(observation: Mapping[str, Any] | None, name: str) -> Mapping[str, Any] | None:
    found = (observation or {}).get(name)
    return found if isinstance(found, dict) else None


def _leaves(facts: Facts) -> Shares:
    """Of a profile that saw native code, where it has names; else of what was observed at the alert."""
    found = [native_shares(profile) for profile in running(facts)]
    found = [shares for shares in found if shares.total >= _FEW and shares.named_share >= _NAMED]
    observed = [leaf_shares(_part(each, "leaves")) for each in (facts.after, facts.before)]
    best = [shares for shares in (*found, *observed) if shares.total >= _FEW]
    return best[0] if best else next((shares for shares in observed if shares.total), Shares())


def _states(observation: Mapping[str, Any] | None) -> Mapping[str, int]:
    try:
        states = (observation or {})["last"]["waits"]["states"]
        return {str(state): int(count) for state, count in states.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


# ------------------------------------------------------------------------------------------- judgement


def _of_children(seen: _Seen, rows: list[tuple[str, str]]) -> Cause | None:
    """Its ended children used more than itself: what it does is to start them."""
    usage = seen.usage
    if usage is None or usage.seconds <= 0 or usage.children_s < 0.1:
        return None
    share = usage.children_s / (usage.children_s + usage.cpu_s)
    if share < _CHILDREN or (usage.cpu_s >= _OWN * usage.seconds and _does_something_else(seen)):
        return None
    sentence = f"its ended children used {share:.0%} of the CPU that it and they used".replace("%", " %")
    confidence: Confidence = "certain" if share >= _SURE else "likely"
    return Cause(STARTS, _for_function(sentence, seen), confidence, None, None, tuple(rows))


def _does_something_else(seen: _Seen) -> bool:
    """Whether its own CPU goes to work of its own: what a child used in all its life comes when it ends."""
    if seen.samples < _FEW or seen.leaves.share(KERNEL) >= _OWN:
        return False
    return max(shares.share(STARTS) for shares in (seen.leaves, seen.facts, seen.hints)) < _STARTS_BESIDE


def _at_rest(facts: Facts, seen: _Seen, rows: list[tuple[str, str]]) -> Cause | None:
    """It hardly ran: it waits for the disk, or for nothing that is known."""
    usage = seen.usage
    if usage is None:
        return None
    cpu_share = usage.cpu_s / usage.seconds
    waits_for_disk = seen.states.get("D", 0) > 0
    if waits_for_disk and cpu_share < _WAITING_SHARE:
        return Cause(IO_WAIT, "it waits in the kernel for a disk or a file system", "likely",
                     None, None, tuple(rows))  # fmt: skip
    leads = next(iter(facts.taken), None)
    if leads is not None and leads.role == BEFORE and seen.facts.total >= _FEW_BUSY:
        return None  # it ran before: what was used at the alert says that the spike was over by then
    if cpu_share < _IDLE_SHARE and usage.waited_s < usage.cpu_s + 0.05 * usage.seconds:
        sentence = f"it used {100 * cpu_share:.1f} % of a core: it waits for something to do"
        return Cause(IDLE, sentence, "likely", None, None, tuple(rows))
    return None


def _scores(seen: _Seen) -> dict[str, float]:
    """By class what part of the CPU it has, as far as evidence agrees."""
    scores: dict[str, float] = {}
    for word in (GC, REGEX, SERIAL, LOCK, FAULTS, STARTS, ALLOCATION, KERNEL, IO_WAIT):
        leaf, fact, hint = (each.share(word) for each in (seen.leaves, seen.facts, seen.hints))
        score = max(leaf, fact)
        if hint > score and (not seen.is_named or leaf >= _VERIFIED):
            score = hint
        scores[word] = score
    return scores


def _judged(facts: Facts, seen: _Seen, scores: dict[str, float], rows: list[tuple[str, str]]) -> Cause | None:
    kernel = sum(scores[word] for word in (FAULTS, STARTS, LOCK, IO_WAIT, KERNEL) if seen.leaves.share(word))
    (word, share), (second, near), *_ = sorted(scores.items(), key=lambda item: -item[1])
    if word in (FAULTS, IO_WAIT, KERNEL) and share < _LEAST <= kernel:
        word, share = KERNEL, kernel
    # What an interpreter makes and throws away while it counts is a part of running the program's code.
    is_beside_code = word == ALLOCATION and (
        seen.leaves.share(LOOP) > share
        or (_is_python(facts) and share - share_error(share, max(1.0, seen.leaves.total)) < _LIKELY)
    )
    if share < _LEAST or is_beside_code:
        return _loop(facts, seen, word, share, rows)
    is_close = near >= _NEAR_SHARE * share and near >= 0.2
    confidence = _confidence(word, share, seen)
    if is_close and share < _LIKELY:
        why = f"{word} ({percent(share)}) and {second} ({percent(near)}) are near each other"
        return _unknown(facts, why, word, second, rows)
    if is_close and confidence == "certain":
        confidence = "likely"
    rest = 1.0 - share
    runner_up = second if near >= 0.2 else LOOP if rest >= 0.3 else None
    decides = _DECIDES.get(word) if confidence != "certain" else None
    if _is_by_name_alone(word, seen):
        confidence, runner_up = "possible", LOOP
        decides = "whether these functions are the program's own: only their names say otherwise"
    sentence = _for_function(f"{percent(share)} of its CPU time {_WHAT[word]}", seen)
    return Cause(word, sentence, confidence, runner_up, decides, tuple(rows))


def _loop(facts: Facts, seen: _Seen, second: str, near: float, rows: list[tuple[str, str]]) -> Cause | None:
    """Nothing but its own code: a loop, if one function has most of it."""
    nameless_words, nameless = without_names(facts)
    found = hottest(facts, seen.leaves, is_partly_named=nameless > 0)
    if found is None:
        return _unknown(facts, nameless_words or "the code that ran has no names", None, None, rows)
    share = found.share
    is_known = seen.is_named or not _is_python(facts)
    own = _own_share(facts, seen) if seen.is_named else 1.0
    if seen.is_named and own < 0.5:
        why = f"its own code has {percent(own)} of the CPU time, and no class has more than {percent(near)}"
        return _unknown(facts, why, second, None, rows)
    if share < 0.25 and _interpreted(seen) >= _SURE:
        if not seen.is_named:
            why = "it is an interpreter, most of whose functions have no names"
            return replace(_unknown(facts, why, LOOP, None, rows), decides=_OF_ITS_LANGUAGE)
        if own >= _SURE:
            sentence = f"{percent(own)} of its CPU time is spent in own code whose functions are not known"
            return Cause(LOOP, sentence, "likely", None, _OF_ITS_LANGUAGE, tuple(rows))
    if share < max(0.25, nameless):
        spread = f"its time is spread over many functions, the hottest with {percent(share)}"
        return _unknown(facts, nameless_words or spread, LOOP, None, rows)
    sentence = f"{told_share(share, found.error)} of its CPU time is spent in {found.name}"
    if found.rival is not None:
        name, its_share, its_error = found.rival
        sentence += f", and {told_share(its_share, its_error)} in {name}"
    decides = None if is_known else "names for native code below Python (perf, or a Python with symbols)"
    if found.is_interpreters:
        sentence += ", a function of the interpreter: which of the program's own ran is not known"
        decides = _OF_ITS_LANGUAGE
    is_likely = is_known and seen.samples >= _FEW and share - found.error >= 0.25
    is_likely &= found.rival is None or found.error < ROUGH
    confidence: Confidence = "likely" if is_likely else "possible"
    looped = seen.leaves.share(LOOP) if seen.is_named else 1.0
    is_whole = share >= _LIKELY and looped >= _SURE
    is_sure = found.error < ROUGH and not found.is_interpreters
    if is_likely and is_whole and is_sure and seen.samples >= _MANY:
        confidence = "certain"
    return Cause(LOOP, sentence, confidence, second if near >= 0.15 else None, decides, tuple(rows))


def _own_share(facts: Facts, seen: _Seen) -> float:
    """The part of its own code, with what Python makes and throws away while it runs that."""
    made = seen.leaves.share(ALLOCATION) if _is_python(facts) else 0.0
    return seen.leaves.share(LOOP) + made


def _interpreted(seen: _Seen) -> float:
    """The part that lies in an interpreter itself, not in an extension, which may do anything."""
    inside = sum(value for file, value in seen.leaves.files.items() if INTERPRETERS.match(file))
    return inside / seen.leaves.total if seen.leaves.total else 0.0


def _is_by_name_alone(word: str, seen: _Seen) -> bool:
    """Whether nothing but plain names in the program's own file speak for a class."""
    shares = seen.leaves if seen.leaves.share(word) else seen.facts
    return shares.by_name_alone.get(word, 0.0) > 0.5 * shares.by_class.get(word, 0.0)


def _is_fact(word: str, seen: _Seen) -> bool:
    return seen.leaves.share(word) >= _VERIFIED or seen.facts.share(word) >= _LEAST


def _confidence(word: str, share: float, seen: _Seen) -> Confidence:
    if seen.samples < _FEW or not _is_fact(word, seen):
        return "possible"
    is_confirmed = not seen.is_named or seen.leaves.share(word) >= _VERIFIED
    if share >= _SURE and seen.samples >= _MANY and is_confirmed:  # a path is what its owner calls it
        return "certain"
    return "likely" if share >= _LIKELY else "possible"


def _unknown(
    facts: Facts, why: str, one: str | None, other: str | None, rows: list[tuple[str, str]]
) -> Cause:
    decides = _DECIDES.get(one or "") or _longer_profile(facts)
    runner_up = " or ".join(word for word in (one, other) if word) or None
    cause = unknown(facts, why, decides, runner_up)
    return Cause(cause.kind, cause.sentence, "unknown", cause.runner_up, decides, tuple(rows))


# ---------------------------------------------------------------------------------------------- words


def _longer_profile(facts: Facts) -> str | None:
    """What to type for one, where there still is a process to profile."""
    if facts.alert.target is None or facts.alert.metric is TriggerMetric.SHORT_SPIKE:
        return None
    return f"a longer profile: monitord capture {facts.alert.target.pid} --duration 30s"


def _is_python(facts: Facts) -> bool:
    return any(spot.kind == "python" for spot in facts.hotspots)


def _for_function(sentence: str, seen: _Seen) -> str:
    found = seen.facts.hottest() or seen.leaves.hottest()
    if found is None or found[1] < 0.2:
        return sentence
    (name, place, _line), share = found
    return f"{sentence}; most of it for {name}" + (f" ({place})" if place else "") + f", {percent(share)}"


def _rows(seen: _Seen) -> list[tuple[str, str]]:
    """What the sentence rests on."""
    return [*_leaf_rows(seen.leaves), *(_usage_rows(seen.usage) if seen.usage else ())]


def _leaf_rows(leaves: Shares) -> Iterator[tuple[str, str]]:
    if not leaves.total:
        return
    classes = [(word, count / leaves.total) for word, count in heaviest(leaves.by_class, 4)]
    told = ", ".join(f"{'own code' if word == LOOP else word} {percent(share)}" for word, share in classes)
    yield "samples", f"{told or 'without names'} of {counted(round(leaves.total), 'innermost frame')}"
    most = [f"{name} {percent(count / leaves.total)}" for name, count in heaviest(leaves.leaves, 3)]
    if most:
        yield "hot below", ", ".join(most)


def _usage_rows(usage: Usage) -> Iterator[tuple[str, str]]:
    seconds = usage.seconds
    in_kernel = f", {percent(usage.system_s / usage.cpu_s)} of it in the kernel" if usage.cpu_s else ""
    yield "used", f"{100 * usage.cpu_s / seconds:.0f} % of a core over {seconds:.1f} s{in_kernel}"
    counts = (("page faults", usage.minor_faults), ("of them from disk", usage.major_faults))
    told = ", ".join(f"{count / seconds:,.0f} {name}" for name, count in counts if count >= seconds)
    if told:
        yield "a second", told
    if usage.waited_s >= 0.2 * seconds:
        yield "waited", f"{100 * usage.waited_s / seconds:.0f} % of the time for a turn on a CPU"
    if usage.children_s >= 0.05:
        yield "children", f"{usage.children_s:.1f} s of CPU by those that ended"
