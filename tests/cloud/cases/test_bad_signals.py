"""Late, early, repeated, reordered and contradictory signals, and clock steps, never break an episode."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.cases import episodes
from cloud.cases.episodes import ActiveSilence, Change, Episode, EpisodeState, Event, Rules
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Finding, Phase
from tests.builders import NOON, a_finding, an_impact, an_instant

RULES = Rules()
offsets = st.sampled_from([-(10**8), -86400, -300, -1, 0, 1, 5, 299, 300, 301, 86400, 10**8])  # of a device's clock
LATEST_S = 10**5
LATER = NOON + timedelta(seconds=LATEST_S, days=1)  # after every arrival, in whatever order they come
ONCE = (Change.FIRED, Change.RESOLVED)


@st.composite
def findings(draw: st.DrawFn) -> tuple[Finding, datetime, bool]:
    """A finding, when it arrives, and whether a silence covers it then."""
    arrives = NOON + timedelta(seconds=draw(st.integers(0, LATEST_S)))
    at = an_instant(wall=arrives + timedelta(seconds=draw(offsets)), synced=draw(st.booleans()))
    finding = a_finding(
        draw(st.sampled_from(Phase)),
        at=at,
        fault=draw(st.sampled_from(["disk.filling", "flux.capacitor"])),
        severity=draw(st.sampled_from(Severity)),
        impact=draw(st.sampled_from([None, an_impact(60), an_impact(10**9)])),
        since_s=draw(st.sampled_from([-3600, 0, 10**6])),
    )
    return (
        finding.model_copy(update={"confidence": draw(st.sampled_from([0.0, 0.5, 1.0]))}),
        arrives,
        draw(st.booleans()),
    )


@given(st.lists(findings(), min_size=1, max_size=20))
def test_any_order_of_signals_leaves_an_episode_that_makes_sense(
    signals: list[tuple[Finding, datetime, bool]],
) -> None:
    episode: Episode | None = None
    for finding, arrives, is_silent in signals:
        until = arrives + timedelta(hours=1)
        silence = ActiveSilence(number=1, until=until, reason="silence 1") if is_silent else None
        event = Event(at=episodes.dated(finding.at, arrives), now=arrives, silence=silence)
        if episode is None or episode.state is EpisodeState.RESOLVED:
            episode, decisions = episodes.on_first_finding(finding, event, RULES)
        else:
            episode, decisions = episodes.on_finding(episode, finding, event, RULES)
        changes = [decision.change for decision in decisions]
        assert all(changes.count(change) <= 1 for change in ONCE)
        assert all(decision.reason for decision in decisions)
        assert (episode.state is EpisodeState.FIRING) == (episode.fired_at is not None)
        assert not (is_silent and Change.FIRED in changes)
        resolved, _ = episodes.on_time_passed(episode, Event(at=LATER, now=LATER), RULES)
        assert (resolved.state is EpisodeState.RESOLVED) == (episode.cleared_at is not None)
