"""Detector state: the learned state and the open findings of the detectors, across restarts.

What flows in: the state that the detectors export, and the outbox that stores it. What flows out: detectors that resume
where the last run stopped.
"""

import json
import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from edge_agent.outbox.outbox import Outbox
from edge_agent.protocol import records
from edge_agent.protocol.faults import FAULTS
from edge_agent.protocol.instant import Instant

log = logging.getLogger(__name__)

LEARNED_STATE = "judges"  # its name in the outbox, as in the first version
# A power cut loses at most this much learned state. A write is about 8 kB for each limited quantity, and more.
SAVE_EVERY_S = 6 * 3600.0
MOST_AT_ONCE = (
    8  # saves at once within SAVE_EVERY_S; further ones wait: a script that resets a machine wears no disk out
)
RETRY_S = 60.0  # after a save that failed


class Detectors(Protocol):
    """What the detection pipeline offers for this."""

    def export_state(self) -> dict[str, object]:
        """Return the learned state, fit for JSON."""
        ...

    def restore_state(self, state: Mapping[str, object], /) -> list[str]:
        """Restore an exported state; return a reason for each part that can't be used."""
        ...

    @property
    def must_save(self) -> bool:
        """Whether the learned state is to be saved at once: a machine was reset, or its healthy start is over."""
        ...

    def mark_saved(self) -> None:
        """Note that the learned state was saved."""
        ...

    def resume(self, findings: Iterable[records.Finding], now: Instant, /) -> None:
        """Resume the findings that were open when the agent stopped."""
        ...


class DetectorState:
    """Saves and restores the state of the detectors."""

    def __init__(self, detectors: Detectors, now_s: float) -> None:
        """`now_s` is the uptime: the state is saved for the first time one interval later."""
        self._detectors = detectors
        self._saved_at_s = now_s
        self._saved_at_once: deque[float] = deque(maxlen=MOST_AT_ONCE)
        self._not_before_s = now_s

    def save_if_due(self, outbox: Outbox, now_s: float) -> None:
        """Save the learned state if the interval has passed since it was last saved, or if it must be saved at once."""
        if now_s < self._not_before_s:
            return
        if now_s - self._saved_at_s >= SAVE_EVERY_S:
            self.save(outbox, now_s)
        elif self._detectors.must_save and self._may_save_at_once(now_s):
            self.save(outbox, now_s)
            self._saved_at_once.append(now_s)

    def _may_save_at_once(self, now_s: float) -> bool:
        recent = self._saved_at_once
        return len(recent) < MOST_AT_ONCE or now_s - recent[0] >= SAVE_EVERY_S

    def save(self, outbox: Outbox, now_s: float) -> None:
        """Save the learned state now. Raises sqlite3.DatabaseError; `save_if_due` then tries again a minute later."""
        self._not_before_s = now_s + RETRY_S
        outbox.save_learned_state(LEARNED_STATE, json.dumps(self._detectors.export_state()).encode())
        self._detectors.mark_saved()
        self._saved_at_s = self._not_before_s = now_s

    def start_new_store(self) -> None:
        """Save at the next opportunity: the new store holds nothing of what was learned."""
        self._saved_at_s = -math.inf

    def resume(self, outbox: Outbox, now: Instant) -> None:
        """Restore the learned state and the open findings of the last run."""
        if (learned := outbox.learned_state(LEARNED_STATE)) and (unusable := self._restore(learned)):
            log.warning("learned state that can't be used is discarded: %s", unusable)
        self._detectors.resume(_open_findings(outbox), now)

    def _restore(self, learned: bytes) -> str:
        """Restore the learned state; return what can't be used, and why."""
        try:
            state = json.loads(learned)
        except ValueError as error:
            return str(error)
        return "; ".join(self._detectors.restore_state(state)) if isinstance(state, dict) else "no mapping"


def _open_findings(outbox: Outbox) -> Iterator[records.Finding]:
    """Yield the open findings of the last run; one that this version can't evaluate is cleared and logged."""
    for finding_id, body in outbox.open_findings().items():
        try:
            finding = records.read_record(json.loads(body))
        except ValueError:
            finding = None
        if isinstance(finding, records.Finding) and finding.fault in FAULTS:
            yield finding
            continue
        log.warning("finding %s of another version can't be resumed; it is cleared", finding_id)
        cleared = []
        if isinstance(finding, records.Finding):
            over = {"phase": records.Phase.CLEAR, "impact": None, "reason": "this version does not evaluate it"}
            cleared = [records.encode(finding.model_copy(update=over))]
        outbox.put(cleared, {finding_id: None})
