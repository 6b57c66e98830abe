"""Re-dating: the wall time changes where it was a guess, everything else stays as it was."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox.backdating import Began, redated
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.topics import Lane
from tests.builders import NOON, a_chunk, a_finding, an_evidence, an_id, an_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.floats(0, 1e6), st.floats(0, 1e5))
def test_an_instant_before_the_first_sync_gets_the_date_it_had(age_s: float, uptime_s: float) -> None:
    now = an_instant(uptime_s + age_s)
    guess = an_instant(uptime_s, synced=False, wall=EPOCH)
    dated = Began.of(now).dated(guess)
    assert abs(dated.wall - (NOON + timedelta(seconds=uptime_s))) < timedelta(milliseconds=1)
    assert dated.synced
    assert (dated.uptime_s, dated.boot_id) == (guess.uptime_s, guess.boot_id)


def test_a_finding_and_its_since_are_dated_and_what_was_dated_before_or_in_another_boot_is_not() -> None:
    began = Began.of(an_instant(7200))
    guess = an_instant(60, synced=False, wall=EPOCH)
    body = redated(Lane.FINDINGS, began, records.encode(a_finding(at=guess)))
    assert body is not None
    finding = records.read_record(json.loads(body))
    assert isinstance(finding, records.Finding)
    assert finding.at.wall == finding.since.wall == NOON + timedelta(seconds=60)
    assert redated(Lane.FINDINGS, began, records.encode(a_finding(at=an_instant(60)))) is None
    other = an_instant(60, synced=False, boot_id=an_id(9))
    assert redated(Lane.FINDINGS, began, records.encode(a_finding(at=other))) is None
    assert redated(Lane.FINDINGS, began, b"no record") is None


def test_evidence_is_sealed_again_and_a_batch_keeps_its_values() -> None:
    began = Began.of(an_instant(7200))
    pack = an_evidence().model_copy(update={"at": an_instant(0, synced=False, wall=EPOCH)})
    body = redated(Lane.FINDINGS, began, records.encode(pack))
    assert body is not None
    sealed = records.read_record(json.loads(body))
    assert isinstance(sealed, records.Evidence)
    assert sealed.sha256 == sealed.digest()
    batch = telemetry.unpack(a_chunk())
    assert redated(Lane.TELEMETRY, began, telemetry.pack(batch)) is None, "it has its date"
    guess = replace(batch, start=an_instant(0, synced=False, wall=EPOCH))
    body = redated(Lane.TELEMETRY, began, telemetry.pack(guess))
    assert body is not None
    assert telemetry.unpack(body).start == an_instant(0)
    assert body[-40:] == telemetry.pack(batch)[-40:], "the readings are as they were"
