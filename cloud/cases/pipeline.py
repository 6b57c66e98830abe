"""The pipeline itself: when the ingest has stopped, and when dead letters are no accident any more. Pure rules.

What flows in: the state of the ingest, the dead letters of one topic, and the time. What flows out: a fault with its
reason, or None.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from edge_agent.protocol.wording import duration, quantity

STOPPED, DEAD_LETTERS = "ingest.stopped", "ingest.dead_letters"
ABOVE_LIMIT = " above its limits"  # behind the name of a device: the component of what was dropped
BROKER, DATABASE = "broker", "database"  # the components of a stop


class PipelineRules(BaseModel):
    """When the cloud opens a case about itself; a table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    stopped_after_s: float = Field(
        default=60.0, ge=1, le=86400, description="no broker, or no commit while messages wait, for this long: a case"
    )
    dead_letters: int = Field(
        default=10, ge=1, le=1000, description="so many dead letters of one topic within the window open a case"
    )
    dropped: int = Field(
        default=100, ge=1, le=1_000_000, description="so many messages of a device dropped within the window, too"
    )
    dead_letters_window_s: float = Field(
        default=3600.0, ge=60, le=30 * 86400, description="and none for this long closes it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """Whether messages arrive and are committed."""

    connected_since: datetime | None
    disconnected_since: datetime | None
    waiting_since: datetime | None  # messages wait, and none has been committed since
    failure: str = ""  # what the broker or the database answered last


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The ingest does not work: what of it, since when, and why."""

    component: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter, without its content."""

    at: datetime
    cause: str
    size: int


def find_stop(state: IngestState, rules: PipelineRules, now: datetime) -> Stop | None:
    """Say whether the ingest has stopped."""
    why = f" Last error: {state.failure}." if state.failure else ""
    if state.disconnected_since and _lasted(state.disconnected_since, rules, now):
        since = state.disconnected_since
        lasted = duration((now - since).total_seconds())
        return Stop(component=BROKER, since=since, reason=f"No connection to the broker for {lasted}.{why}")
    if state.connected_since and state.waiting_since and _lasted(state.waiting_since, rules, now):
        lasted = duration((now - state.waiting_since).total_seconds())
        reason = f"Messages wait, and none has been committed for {lasted}.{why}"
        return Stop(component=DATABASE, since=state.waiting_since, reason=reason)
    return None


def _lasted(since: datetime, rules: PipelineRules, now: datetime) -> bool:
    return now - since >= timedelta(seconds=rules.stopped_after_s)


def find_dead_letters(letters: Sequence[Letter], rules: PipelineRules, now: datetime) -> str | None:
    """Say why the newest dead letters of one topic are worth a case: their cause, and what they cost; None if not."""
    begin = now - timedelta(seconds=rules.dead_letters_window_s)
    recent = [letter for letter in letters if letter.at >= begin]
    if len(recent) < rules.dead_letters:
        return None
    causes = Counter(cause_class(letter.cause) for letter in recent)
    cause, times = causes.most_common(1)[0]
    size = quantity(float(sum(letter.size for letter in recent)), "By")
    others = f" There are {len(causes) - 1} other causes." if len(causes) > 1 else ""
    return (
        f"{len(recent)} records ({size}) were set aside within {duration(rules.dead_letters_window_s)}; "
        f"nothing that they report was evaluated. Cause of {times} of them: {cause}.{others}"
    )


def find_drops(count: int, rules: PipelineRules) -> str | None:
    """Say why messages that a device sent beyond its limits are worth a case; None if they are not."""
    if count < rules.dropped:
        return None
    return (
        f"{count} messages were dropped within {duration(rules.dead_letters_window_s)} because the device sends more "
        "than ingest.device_kib_s allows; it sends them again, so that all of them come late."
    )


def cause_class(cause: str) -> str:
    """Return a cause without the number of the record, so that the same cause is counted once."""
    head, _, tail = cause.partition(": ")
    return (tail if head.startswith("record ") and tail else cause).rstrip(".")
