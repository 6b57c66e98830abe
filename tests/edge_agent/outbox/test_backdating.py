"""Backdating: a wall time that was a guess changes, everything else stays the same."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox.backdating import BootStart, backdate
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.topics import Lane
from tests.builders import NOON, a_chunk, a_finding, an_evidence, an_id, an_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.floats(0, 1e6), st.floats(0, 1e5))
def test_an_instant_before_the_first_sync_gets_its_true_date(age_s: float, uptime_s: float) -> None:
    now = an_instant(uptime_s + age_s)
    guess = an_instant(uptime_s, synced=False, wall=EPOCH)
    dated = BootStart.of(now).dated(guess)
    assert abs(dated.wall - (NOON + timedelta(seconds=uptime_s))) < timedelta(milliseconds=1)
    assert dated.synced
    assert (dated.uptime_s, dated.boot_id) == (guess.uptime_s, guess.boot_id)


def test_a_finding_and_its_since_are_dated_unless_they_are_already_or_of_another_boot() -> None:
    boot = BootStart.of(an_instant(7200))
    guess = an_instant(60, synced=False, wall=EPOCH)
    body = backdate(Lane.FINDINGS, boot, records.encode(a_finding(at=guess)))
    assert body is not None
    finding = records.read_record(json.loads(body))
    assert isinstance(finding, records.Finding)
    assert finding.at.wall == finding.since.wall == NOON + timedelta(seconds=60)
    assert backdate(Lane.FINDINGS, boot, records.encode(a_finding(at=an_instant(60)))) is None
    other = an_instant(60, synced=False, boot_id=an_id(9))
    assert backdate(Lane.FINDINGS, boot, records.encode(a_finding(at=other))) is None
    assert backdate(Lane.FINDINGS, boot, b"no record") is None


def test_evidence_is_sealed_again_and_a_batch_keeps_its_values() -> None:
    boot = BootStart.of(an_instant(7200))
    pack = an_evidence().model_copy(update={"at": an_instant(0, synced=False, wall=EPOCH)})
    body = backdate(Lane.FINDINGS, boot, records.encode(pack))
    assert body is not None
    sealed = records.read_record(json.loads(body))
    assert isinstance(sealed, records.Evidence)
    assert sealed.sha256 == sealed.digest()
    batch = telemetry.unpack(a_chunk())
    assert backdate(Lane.TELEMETRY, boot, telemetry.pack(batch)) is None, "it has its date"
    guess = replace(batch, start=an_instant(0, synced=False, wall=EPOCH))
    body = backdate(Lane.TELEMETRY, boot, telemetry.pack(guess))
    assert body is not None
    assert telemetry.unpack(body).start == an_instant(0)
    assert body[-40:] == telemetry.pack(batch)[-40:], "the readings are unchanged"
