"""Sensitivity: what other thresholds for a fault would have done to past episodes. Pure.

What flows in: past episodes with their findings as they came, and two sets of rules. What flows out: which cases would
not have been opened, which would have been opened in addition, and how much later the others.

The episodes are evaluated again with the very rules that decide today, so that a proposal shows what it will do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.cases import episodes
from cloud.cases.episodes import Change, EpisodeState, Event, dated
from cloud.cases.figures import FALSE, quantile
from cloud.cases.outcomes import Label
from cloud.cases.rules import FaultRules, Rules
from edge_agent.protocol.records import Finding, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """From which confidence, and after how long, a fault opens a case."""

    fault: str
    open_above: float
    debounce_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEpisode:
    """An episode of that fault: its findings with their arrival, and what it turned out to be."""

    findings: tuple[tuple[Finding, datetime], ...]
    case_number: int | None = None
    label: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a change would have done. The counts are of episodes."""

    episodes: int
    opened_before: int
    opened_after: int
    true_lost: int  # true faults without a case
    false_avoided: int  # false alarms, expected and no fault found, without a case
    other_avoided: int  # without a label, or duplicates
    added: int  # cases in addition; nobody has labelled them
    delayed: int
    delay_median_s: float | None
    lost_cases: tuple[int, ...]  # the numbers of the cases of `true_lost`


def changed_rules(rules: Rules, changes: Iterable[Sensitivity]) -> Rules:
    """Return rules with other thresholds for these faults. What resolves an episode never lies above what opens it."""
    faults = dict(rules.faults)
    for change in changes:
        own = faults.get(change.fault, FaultRules())
        resolve_below = min(rules.thresholds(change.fault).resolve_below, change.open_above)
        update = {"open_above": change.open_above, "debounce_s": change.debounce_s, "resolve_below": resolve_below}
        faults[change.fault] = own.model_copy(update=update)
    return Rules(**{name: getattr(rules, name) for name in Rules.model_fields if name != "faults"}, faults=faults)


def effect(past: Sequence[PastEpisode], before: Rules, after: Rules) -> Effect:
    """Evaluate past episodes with both rules."""
    fired = [(one, fires_at(one, before), fires_at(one, after)) for one in past]
    avoided = [one for one, then, now in fired if then and not now]
    lost = [one for one in avoided if one.label is Label.TRUE_FAULT]
    false = [one for one in avoided if one.label in FALSE]
    delays = [(now - then).total_seconds() for _, then, now in fired if then and now and now > then]
    return Effect(
        episodes=len(past),
        opened_before=sum(then is not None for _, then, _ in fired),
        opened_after=sum(now is not None for _, _, now in fired),
        true_lost=len(lost),
        false_avoided=len(false),
        other_avoided=len(avoided) - len(lost) - len(false),
        added=sum(then is None and now is not None for _, then, now in fired),
        delayed=len(delays),
        delay_median_s=quantile(delays, 0.5),
        lost_cases=tuple(one.case_number for one in lost if one.case_number is not None),
    )


def fires_at(past: PastEpisode, rules: Rules) -> datetime | None:
    """Return when an episode fires under these rules; None if it does not."""
    if not past.findings or past.findings[0][0].phase is Phase.CLEAR:
        return None
    first, received_at = past.findings[0]
    event = Event(at=dated(first.at, received_at), now=received_at)
    episode, decisions = episodes.on_first_finding(first, event, rules)
    if _has_fired(decisions):
        return event.at
    lasts_until = event.at + timedelta(seconds=rules.thresholds(first.fault).debounce_s)
    for finding, received_at in past.findings[1:]:
        event = Event(at=dated(finding.at, received_at), now=received_at)
        if lasts_until <= event.at:
            due = Event(at=lasts_until, now=max(lasts_until, received_at))
            episode, decisions = episodes.on_time_passed(episode, due, rules)
            if _has_fired(decisions):
                return lasts_until
        if episode.state is EpisodeState.RESOLVED:
            return None
        episode, decisions = episodes.on_finding(episode, finding, event, rules)
        if _has_fired(decisions):
            return event.at
    return _fires_at_last(episode, lasts_until, rules)


def _fires_at_last(episode: episodes.Episode, lasts_until: datetime, rules: Rules) -> datetime | None:
    """Let time pass after the last finding: what was never cleared has lasted."""
    _, decisions = episodes.on_time_passed(episode, Event(at=lasts_until, now=lasts_until), rules)
    return lasts_until if _has_fired(decisions) else None


def _has_fired(decisions: Sequence[episodes.Decision]) -> bool:
    return any(decision.change is Change.FIRED for decision in decisions)
