"""Commit queue: records in memory until one transaction commits them, however long the store can't be written.

What flows in: records and encoded telemetry batches. What flows out: the same to the outbox, with the losses that the
cloud does not know yet. The queue is bounded; each record that is dropped gets a number, so that its loss is declared.
"""

import logging
from collections import Counter
from collections.abc import Iterable

from edge_agent.outbox.loss_table import LostRange, loss_record
from edge_agent.outbox.outbox import Outbox
from edge_agent.protocol import records
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane

log = logging.getLogger(__name__)

MAX_RECORDS = 256  # of each lane in memory while the outbox can't be written


class CommitQueue:
    """Records that are not committed yet."""

    def __init__(self) -> None:
        self._findings: list[records.Finding | records.Evidence] = []
        self._telemetry: list[bytes] = []
        self._dropped = dict.fromkeys(Lane, 0)

    def __len__(self) -> int:
        """Return how many findings and evidence records are pending."""
        return len(self._findings)

    def add(self, findings: Iterable[records.Finding | records.Evidence]) -> None:
        """Add findings and evidence."""
        self._findings += findings

    def add_telemetry(self, batches: Iterable[bytes]) -> None:
        """Add encoded telemetry batches."""
        self._telemetry += batches

    def commit(self, outbox: Outbox, now: Instant, *, declare_losses: bool) -> None:
        """Commit findings and evidence in one transaction, then move telemetry into the outbox's write buffer."""
        lost = outbox.undeclared() if declare_losses else []
        pending = [*self._findings, *(loss_record(one, now) for one in lost)]
        if pending or any(self._dropped.values()):
            open_findings = {
                one.finding_id: None if one.phase is records.Phase.CLEAR else records.encode(one)
                for one in self._findings
                if isinstance(one, records.Finding)
            }
            outbox.put(map(records.encode, pending), open_findings, dropped=self._dropped, declared=lost)
            _log_losses(lost)
            self._findings.clear()
            self._dropped = dict.fromkeys(Lane, 0)
        while self._telemetry:
            outbox.buffer(self._telemetry[0])
            del self._telemetry[0]

    def enforce_limit(self) -> None:
        """Drop what exceeds the limit and count it: evidence first, findings last, the oldest of each first."""
        before = dict(self._dropped)
        self._dropped[Lane.TELEMETRY] += max(0, len(self._telemetry) - MAX_RECORDS)
        del self._telemetry[:-MAX_RECORDS]
        evidence_first = sorted(self._findings, key=lambda one: not isinstance(one, records.Evidence))  # stable
        for one in evidence_first[: max(0, len(self._findings) - MAX_RECORDS)]:
            self._findings.remove(one)
            self._dropped[Lane.FINDINGS] += 1
        if self._dropped != before and not any(before.values()):
            log.error(
                "the outbox is not writable for too long; records above %d are dropped and declared lost", MAX_RECORDS
            )


def _log_losses(lost: Iterable[LostRange]) -> None:
    """Log how many records are lost, a line for each lane and cause."""
    counts: Counter[tuple[Lane, str]] = Counter()
    for one in lost:
        counts[one.lane, one.cause] += one.last_seq - one.first_seq + 1
    for (lane, cause), count in counts.items():
        log.warning("%s: %d records are lost, or may be: %s", lane, count, cause)
