"""One rule at work: it reads its metric, follows its targets, and says what was armed, lost and held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from monitord.detection import reasons
from monitord.detection.baselines import Baselines
from monitord.detection.conditions import condition_of
from monitord.detection.limits import HourBudget, LookPace
from monitord.detection.matching import Matcher
from monitord.detection.meters import METERS
from monitord.detection.passes import Pass
from monitord.detection.readings import Killed, Reading, Target
from monitord.detection.targets import Step, Track, end_episode, step
from monitord.detection.windows import PATIENCE_S, Window
from monitord.model import NO_SINGLE_PROCESS, Alert, Arming, ProcessKey, ProcessRates, Rule, TriggerMetric

MAX_TRACKS = 1024
"""Targets one rule follows at a time; more anomalies at once than that tell nothing new."""

LOOKS_AT_ONCE = 4
"""First looks that may be open for a rule whose captures of the hour are spent: they cost little."""


@dataclass(slots=True)
class Findings:
    """What one rule made of one pass. `held` is settled afterwards, the worst first."""

    armed: list[Arming] = field(default_factory=list)
    disarmed: list[Arming] = field(default_factory=list)
    held: list[tuple[Track, Reading, Step]] = field(default_factory=list)
    quiet: list[Reading] = field(default_factory=list)  # what a baseline may learn from


class RuleJudge:
    """A rule, its condition, its meter and the targets it is busy with."""

    def __init__(self, rule: Rule, baselines: Baselines, uid_of: Mapping[str, int]) -> None:
        self.rule = rule
        self.is_machine_wide = rule.metric.is_machine_wide
        # What no living process used is known of complete passes only.
        self.reads_every_pass = self.is_machine_wide and rule.metric is not TriggerMetric.SHORT_LIVED_CPU
        self.condition = condition_of(rule)
        self.matcher = Matcher(rule.match, uid_of)
        self.budget = HourBudget(rule.captures_per_hour)
        self.tracks: dict[Target, Track] = {}
        self._baselines = baselines
        self._waiting = 0
        self._pace = LookPace()
        self.learns = rule.times_baseline is not None
        minimum = float("-inf") if self.learns else (self.condition.floor or 0.0)
        self.meter = METERS[rule.metric](rule, self.condition.unit, minimum)

    # ------------------------------------------------------------------------------------- one pass

    def judge(self, look: Pass) -> Findings:
        findings = Findings()
        followed: dict[Target, ProcessRates | None] = {}
        self._waiting = 0
        if self.tracks:
            self.prune(look.now_s)
            if look.is_complete:
                self._forget_the_dead(look)
            self._waiting = sum(track.is_announced for track in self.tracks.values())
            followed = {target: track.process for target, track in self.tracks.items()}
        worst_first = sorted(self.meter.readings(look, followed), key=lambda reading: -reading.value)
        for reading in worst_first:  # what is bounded (first looks, targets) goes to those
            self._judge_reading(reading, look, findings)
        for target, track in self.tracks.items():
            window = track.window
            if window is not None and window.is_stale(look.now_s, look.interval_s):
                self._lose(target, track, look.now_s, findings)
            if track.worse_window is not None and track.worse_window.is_stale(look.now_s, look.interval_s):
                track.worse_window = None
        return findings

    def _judge_reading(self, reading: Reading, look: Pass, findings: Findings) -> None:
        track = self.tracks.get(reading.target)
        if track is not None and track.has_executed(reading.process):
            self._lose(reading.target, track, look.now_s, findings)
            track.start_anew()
        level = self.condition.level(self.baseline(reading.process))
        if track is None or track.state(look.now_s) == "quiet":
            if not self.condition.is_broken(reading.value, level):
                if self.learns:
                    findings.quiet.append(reading)
                return
            if not self._may_follow(reading.process):
                return
        if track is None:
            track = self.tracks[reading.target] = Track()
        track.note(reading, look, level)
        may_retry = look.now_s >= track.cool_until_s and self.budget.remaining(look.now_s) > 0
        outcome = step(track, reading, look, self.condition, may_retry)
        if outcome in (Step.HELD, Step.WORSE):
            self._announce(reading, track, look, findings)
            findings.held.append((track, reading, outcome))
        elif outcome is Step.LOST:
            self._lose(reading.target, track, look.now_s, findings)
        else:
            self._announce(reading, track, look, findings)

    def _may_follow(self, process: ProcessRates | None) -> bool:
        return len(self.tracks) < MAX_TRACKS and (process is None or self.matcher.hits(process))

    def baseline(self, process: ProcessRates | None) -> float | None:
        if not self.learns:
            return None
        return self._baselines.get(*owner_of(process), self.rule.metric)

    def is_busy_with(self, target: Target) -> bool:
        """Return whether the target is armed or firing: no baseline is learned from it meanwhile."""
        track = self.tracks.get(target)
        return track is not None and (track.is_firing or track.window is not None)

    # --------------------------------------------------------------------------- arming, disarming

    def _announce(self, reading: Reading, track: Track, look: Pass, findings: Findings) -> None:
        """Tell of an arming once: when evidence would be granted, and a long window has shown patience.

        A first look disturbs the target, so only a few are asked for at a time beyond what the rule may
        still capture; of what keeps crossing in vain (a build's compilers) only now and then, or when half
        the window has gone by.
        """
        window = track.window
        if track.is_announced or window is None or track.is_firing or look.now_s < track.cool_until_s:
            return
        if (
            reading.is_held is None
            and self.rule.window_s > PATIENCE_S
            and look.now_s - window.opened_s < PATIENCE_S
        ):
            return
        allowed = max(LOOKS_AT_ONCE, self.budget.remaining(look.now_s))
        is_lasting = look.now_s - window.opened_s >= self.rule.window_s / 2
        if self._waiting < allowed and (
            self._pace.grant(track.name, reading.target, look.now_s) or is_lasting
        ):
            self._waiting += 1
            track.is_announced = True
            findings.armed.append(self._arming(reading.target, track, window, reading.value))

    def _lose(self, target: Target, track: Track, now_s: float, findings: Findings) -> None:
        window, track.window = track.window, None
        if track.is_announced and window is not None:
            self._pace.lost(track.name, target, now_s)
            findings.disarmed.append(self._arming(target, track, window, track.last_value))
        track.is_announced = False

    def _arming(self, target: Target, track: Track, window: Window, value: float) -> Arming:
        name = track.name if target is not None else reasons.NOBODY
        return Arming(self.rule.name, self.rule.metric, target, name, value, window.opened_at, track.image)

    def armings(self) -> list[Arming]:
        """Those that were told and are still open."""
        return [
            self._arming(target, track, track.window, track.last_value)
            for target, track in self.tracks.items()
            if track.is_announced and track.window is not None
        ]

    # ------------------------------------------------------------------------------------ settling

    def settle(self, findings: Findings, look: Pass) -> list[Alert]:
        """Turn held windows into alerts: the worst get what the hour's budget still allows."""
        held = sorted(
            findings.held, key=lambda entry: -self.condition.severity(entry[1].value, entry[0].level or 1.0)
        )
        alerts = []
        for track, reading, outcome in held:
            self._pace.held(track.name, reading.target)
            refusal = self._refusal(track, outcome, look.now_s)
            window = track.worse_window if outcome is Step.WORSE else track.window
            track.window = track.worse_window = None
            track.is_announced = False
            if window is None or (refusal is not None and track.is_told):
                continue
            alert = self._alert(track, reading, window, look, refusal)
            if refusal is not None and outcome is not Step.WORSE and look.now_s < track.cool_until_s:
                alert = replace(alert, is_repeat=True)
            self._enter_episode(track, alert, look.now_s)
            if self.rule.metric is TriggerMetric.OOM_KILL:  # no state that lasts: each further one counts
                end_episode(track, look.now_s, self.rule.cooldown_s)
            alerts.append(alert)
        return alerts

    def _refusal(self, track: Track, outcome: Step, now_s: float) -> str | None:
        if outcome is not Step.WORSE and now_s < track.cool_until_s:
            return self._cooling(track, now_s)
        return self.budget.refusal(now_s)

    def _cooling(self, track: Track, now_s: float) -> str:
        text = f"cooling down for {reasons.wait(track.cool_until_s - now_s)} more"
        if track.high_water is None or self.rule.metric is TriggerMetric.HANG:
            return text
        side = "at or below" if self.condition.is_below else "at or above"
        worse = reasons.quantity(self.condition.escalated(track.high_water), self.condition.unit)
        return f"{text}, unless it stays {side} {worse}"

    def _enter_episode(self, track: Track, alert: Alert, now_s: float) -> None:
        if alert.suppressed_by is None:
            self.budget.grant(now_s)
            track.is_refused = track.is_told = False
            water = track.high_water
            track.high_water = alert.value if water is None else self.condition.worst(water, alert.value)
        else:
            track.is_refused = track.is_refused or not track.is_firing
            track.is_told = True
        track.is_firing = True

    def _alert(
        self, track: Track, reading: Reading, window: Window, look: Pass, refusal: str | None
    ) -> Alert:
        level = track.level or 0.0
        subject = reading.subject or self._subject(track)
        if reading.climb is not None:
            value = reading.value
            reason = reasons.grown(subject, self.condition, reading.climb, level, reading.process)
            if self.rule.metric is TriggerMetric.MEMORY_GROWTH:
                available_bytes = look.system.memory_available_bytes
                reason += reasons.until_full(reading.climb, reading.process, available_bytes)
        elif self.rule.metric is TriggerMetric.OOM_KILL:
            value, reason = reading.value, reasons.killed(reading.killed)
        elif self.rule.metric is TriggerMetric.SHORT_SPIKE:
            value, reason = reading.value, reasons.spiked(subject, reading.value, self.condition, level)
        elif self.rule.metric is TriggerMetric.HANG:
            value, reason = reading.value, reasons.hung(subject, reading.value, level)
        else:
            value = window.mean
            reason = reasons.held(subject, self.condition, window, level, track.process)
        target, name = self._blamed(track, reading)
        if self.rule.metric is TriggerMetric.FREE_MEMORY:
            reason += reasons.where_memory_is(look.system.memory_held_bytes)
        if reading.consumers is not None:
            reason += reasons.shared(self.rule.metric, reading.consumers)
        return Alert(
            rule=self.rule.name,
            metric=self.rule.metric,
            value=value,
            threshold=self.condition.threshold(level),
            window_s=self.rule.window_s,
            crossed_at=window.opened_at,
            raised_at=look.taken_at,
            target=target,
            process_name=name,
            reason=reason,
            severity=self.condition.severity(value, level),
            profiler=self.rule.profiler,
            suppressed_by=refusal,
            waited_percent=window.mean_waited,
            image=track.image if target == reading.target else None,
        )

    def _subject(self, track: Track) -> str:
        """A process is charged with its children's bytes when they end."""
        children = track.process.children_cpu_percent if track.process is not None else None
        has_ended_children = self.rule.metric is TriggerMetric.DISK_IO and bool(children)
        return f"{track.name} with its ended children" if has_ended_children else track.name

    def _blamed(self, track: Track, reading: Reading) -> tuple[Target, str]:
        """The process that stands out under a machine-wide rule, where the others are known."""
        if reading.target is not None:
            return reading.target, track.name
        if self.rule.metric is TriggerMetric.OOM_KILL and reading.process is not None:
            return reading.process.key, reading.process.name
        if self.rule.metric is TriggerMetric.FREE_MEMORY:
            return None, NO_SINGLE_PROCESS
        if reading.consumers is None:
            return None, reasons.NOBODY
        first = reading.consumers.outstanding()
        return (None, NO_SINGLE_PROCESS) if first is None else (first.key, first.name)

    def is_firing(self, target: Target) -> bool:
        """Whether an episode of this target lasts; may be asked from another thread."""
        track = self.tracks.get(target)
        return track is not None and track.is_firing

    @property
    def is_firing_at_all(self) -> bool:
        """Whether an episode of anybody lasts."""
        return any(track.is_firing for track in self.tracks.values())

    def suppressed_by(self, track: Track, now_s: float) -> str | None:
        """What stands between this target and evidence, in words: why it did not fire."""
        if track.is_firing and not track.is_refused:
            level = track.level if track.level is not None else self.condition.floor
            if level is None:
                return "already an incident"
            clear = reasons.quantity(self.condition.clear_level(level), self.condition.unit)
            side = "above" if self.condition.is_below else "below"
            return f"already an incident; the episode ends {side} {clear}"
        if now_s < track.cool_until_s:
            return self._cooling(track, now_s)
        return self.budget.refusal(now_s)

    # --------------------------------------------------------------------------------- housekeeping

    def meet(self, look: Pass) -> None:
        """Start windows and looks back anew, because a gap proves nothing; limits stay."""
        self.meter.restart()
        for target, track in self.tracks.items():
            track.restart_windows()
            if target is not None and target in look.present:
                track.process = look.present[target]
                track.seen_s = look.now_s

    def forget(self, exited: Iterable[ProcessKey], look: Pass, findings: Findings) -> list[Alert]:
        """Let go of those that ended; one that ended while its memory was above a threshold is an alert."""
        keys, alerts = list(exited), []
        for key in keys:
            track = self.tracks.pop(key, None)
            if track is None:
                continue
            alert = self._disappearance(key, track, look)
            if alert is not None:
                alerts.append(alert)
            elif track.is_announced:
                self._lose(key, track, look.now_s, findings)
        self.meter.forget(keys)
        return alerts

    def _disappearance(self, key: ProcessKey, track: Track, look: Pass) -> Alert | None:
        """Judge a process that disappeared: one that grows too large is often killed."""
        window, level, kills = track.window, track.level, look.system.oom_kills
        is_news = self.rule.metric is TriggerMetric.MEMORY or (
            self.rule.metric is TriggerMetric.MEMORY_GROWTH and bool(kills)
        )
        if not is_news or window is None or track.is_firing or level is None or not window.broken:
            return None
        if not self.condition.is_broken(track.last_value, level) or look.now_s < track.cool_until_s:
            return None
        refusal = self.budget.refusal(look.now_s)
        reason = reasons.disappeared(track.name, self.condition, window, level, track.process)
        if kills:
            reason += f"; {reasons.killed((Killed(kills, None, None),)).partition(';')[0]} meanwhile"
        if refusal is None:
            self.budget.grant(look.now_s)
        return Alert(
            rule=self.rule.name,
            metric=self.rule.metric,
            value=track.last_value,
            threshold=self.condition.threshold(level),
            window_s=self.rule.window_s,
            crossed_at=window.opened_at,
            raised_at=look.taken_at,
            target=key,
            process_name=track.name,
            reason=reason,
            severity=self.condition.severity(track.last_value, level),
            profiler="none",  # there is nobody left to profile
            suppressed_by=refusal,
            image=track.image,
        )

    def _forget_the_dead(self, look: Pass) -> None:
        """Of an earlier run's episodes those whose process a complete pass did not show."""
        gone = [
            target
            for target, track in self.tracks.items()
            if track.is_restored and track.seen_s is None and track.is_firing
            if target is not None and target not in look.present
        ]
        for target in gone:
            del self.tracks[target]

    def prune(self, now_s: float) -> None:
        for track in self.tracks.values():
            if track.is_restored and track.seen_s is None and track.awaited_s is None:
                track.awaited_s = now_s
        over = [target for target, track in self.tracks.items() if track.is_over(now_s, self.rule.cooldown_s)]
        for target in over:
            del self.tracks[target]


def owner_of(process: ProcessRates | None) -> tuple[str, int | None]:
    return ("", None) if process is None else (process.name, process.uid)
