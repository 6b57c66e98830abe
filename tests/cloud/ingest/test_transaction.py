"""At least once on the way, exactly once in effect, whatever is lost, doubled or out of order in between."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from cloud.case_service import CaseService
from cloud.cases.episodes import EpisodeState, Rules
from cloud.ingest.batch_writer import BatchWriter
from cloud.ingest.parsing import Delivery, ReceivedMessage, parse, parse_content
from cloud.ingest.stream_cache import FOREIGN_MAX
from cloud.ingest.transaction import WriteResult
from cloud.store.database import Database
from cloud.store.outcome_tables import DeviceEvent
from cloud.store.streams import AHEAD_MAX, StreamKey, prune_telemetry
from cloud.store.tables import (
    CaseEntry,
    DeadLetter,
    Device,
    Episode,
    EvidenceRow,
    LossRow,
    RecordRow,
    Stream,
    SupportCase,
    TelemetryChunk,
)
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase, Presence, PresenceState
from edge_agent.protocol.topics import Lane
from tests.builders import (
    DEVICE,
    NOON,
    STREAM,
    a_chunk,
    a_finding,
    a_loss,
    a_presence,
    a_telemetry_message,
    an_envelope,
    an_evidence,
    an_id,
)

FINDINGS, TELEMETRY, PRESENCE = (f"forewarn/v1/{DEVICE}/{channel}" for channel in ("findings", "telemetry", "presence"))


@pytest.fixture
def writer(database: Database) -> BatchWriter:
    return BatchWriter(database, CaseService(Rules()))


def acked(result: WriteResult, lane: Lane = Lane.FINDINGS) -> int:
    (up_to,) = (up_to for key, up_to in result.stored_up_to.items() if key.lane is lane)
    return up_to


async def write(writer: BatchWriter, topic: str, payload: bytes, at: datetime) -> WriteResult:
    """Take a message that came alone."""
    return await writer.write([parse(ReceivedMessage(topic, payload, at))])


async def rows(database: Database, table: type[Any]) -> Sequence[Any]:
    async with database.read() as session:
        return (await session.scalars(select(table))).all()


async def count(database: Database, table: type[Any]) -> int:
    return len(await rows(database, table))


async def causes(database: Database) -> list[str]:
    return [row.cause for row in await rows(database, DeadLetter)]


async def test_what_is_acknowledged_is_stored_and_has_opened_its_case(writer: BatchWriter, database: Database) -> None:
    result = await write(writer, FINDINGS, an_envelope(1, a_finding(severity=Severity.CRITICAL), an_evidence()), NOON)
    assert (acked(result), result.changed) == (2, True)
    assert [row.kind for row in await rows(database, RecordRow)] == ["finding", "evidence"]
    assert await count(database, SupportCase) == 1
    assert await count(database, EvidenceRow) == 1


async def test_a_message_that_comes_again_changes_nothing_and_is_acknowledged_again(
    writer: BatchWriter, database: Database
) -> None:
    message = an_envelope(1, a_finding(severity=Severity.CRITICAL))
    await write(writer, FINDINGS, message, NOON)
    again = await write(writer, FINDINGS, message, NOON + timedelta(minutes=1))
    assert (acked(again), again.changed) == (1, False)
    assert await count(database, CaseEntry) == 1
    assert await count(database, DeadLetter) == 0


async def test_a_record_waits_until_none_before_it_is_missing(writer: BatchWriter, database: Database) -> None:
    clear = await write(
        writer, FINDINGS, an_envelope(2, a_finding(Phase.CLEAR, 60, since_s=0)), NOON + timedelta(minutes=1)
    )
    assert acked(clear) == 0
    assert await count(database, Episode) == 0
    assert acked(await write(writer, FINDINGS, an_envelope(1, a_finding()), NOON + timedelta(minutes=2))) == 2
    (episode,) = await rows(database, Episode)
    assert episode.cleared_at == NOON + timedelta(minutes=1)


async def test_a_declared_loss_closes_the_gap_of_its_own_lane(writer: BatchWriter, database: Database) -> None:
    await write(writer, FINDINGS, an_envelope(1, a_finding()), NOON)
    loss = a_loss(2, 4, lane=Lane.FINDINGS)
    assert acked(await write(writer, FINDINGS, an_envelope(5, loss, a_finding(Phase.UPDATE, 60)), NOON)) == 6
    (row,) = await rows(database, LossRow)
    assert (row.first_seq, row.last_seq, row.reason) == (2, 4, "power was cut")


async def test_a_declared_loss_of_telemetry_is_acknowledged_there_and_counts_only_what_is_not_stored(
    writer: BatchWriter, database: Database
) -> None:
    telemetry = an_id(9)
    await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk(), a_chunk(60), stream=telemetry), NOON)
    result = await write(writer, FINDINGS, an_envelope(1, a_loss(1, 256, stream=telemetry)), NOON)
    assert result.stored_up_to == {
        StreamKey(DEVICE, Lane.FINDINGS, STREAM): 1,
        StreamKey(DEVICE, Lane.TELEMETRY, telemetry): 256,
    }
    (row,) = await rows(database, LossRow)
    assert (row.first_seq, row.last_seq) == (3, 256)
    following = a_telemetry_message(257, a_chunk(120), stream=telemetry)
    assert acked(await write(writer, TELEMETRY, following, NOON), Lane.TELEMETRY) == 257


async def test_a_new_database_goes_on_where_the_device_is_and_counts_what_it_does_not_hold(
    writer: BatchWriter, database: Database
) -> None:
    assert acked(await write(writer, FINDINGS, an_envelope(500, a_finding(), base_seq=499), NOON)) == 498
    assert acked(await write(writer, FINDINGS, an_envelope(499, a_finding(), base_seq=499), NOON)) == 500
    (row,) = await rows(database, LossRow)
    assert (row.first_seq, row.last_seq) == (1, 498)
    assert "is new or was restored" in row.reason


async def test_a_bad_record_is_dead_lettered_with_its_cause_and_the_good_ones_go_on(
    writer: BatchWriter, database: Database
) -> None:
    bad = a_finding().model_dump(mode="json") | {"confidence": 7}
    message = an_envelope(1, bad, a_finding(severity=Severity.CRITICAL))
    assert acked(await write(writer, FINDINGS, message, NOON)) == 2
    assert acked(await write(writer, FINDINGS, message, NOON)) == 2
    assert await causes(database) == [
        "record 1: finding.confidence: Input should be less than or equal to 1, got '7'",
    ]
    assert await count(database, SupportCase) == 1


@pytest.mark.parametrize(
    ("spoilt", "cause"),
    [
        ({"reason": "a\0b"}, "record 1: a text contains the character NUL"),
        ({"kind": "k" * 33}, "record 1: kind: 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' is longer than 32"),
        ({"kind": None}, "record 1: message: Input tag 'None'"),
        ({"at": {"boot_id": "b", "uptime_s": 1, "wall": "2026-07-01T12:00:00", "synced": True}}, "has no time zone"),
        ({"at": {"boot_id": "b", "uptime_s": 1, "wall": "0001-01-01T00:00:00+14:00", "synced": True}}, "out of range"),
    ],
)
async def test_what_no_database_could_keep_is_dead_lettered(
    writer: BatchWriter, database: Database, spoilt: dict[str, Any], cause: str
) -> None:
    bad = a_finding().model_dump(mode="json") | spoilt
    assert acked(await write(writer, FINDINGS, an_envelope(1, bad), NOON)) == 1
    (letter,) = await causes(database)
    assert cause in letter


async def test_a_loss_that_ends_before_it_begins_is_dead_lettered(writer: BatchWriter, database: Database) -> None:
    assert acked(await write(writer, FINDINGS, an_envelope(1, a_loss(5, 4)), NOON)) == 1
    assert await causes(database) == ["record 1: last_seq: 4 is below first_seq 5"]


async def test_a_kind_of_a_newer_version_is_stored_and_not_applied(writer: BatchWriter, database: Database) -> None:
    assert acked(await write(writer, FINDINGS, an_envelope(1, {"kind": "hologram", "depth": 3}), NOON)) == 1
    (row,) = await rows(database, RecordRow)
    assert (row.kind, row.body) == ("hologram", {"kind": "hologram", "depth": 3})
    assert await causes(database) == []


async def test_of_two_records_with_one_number_the_first_is_kept_and_the_second_dead_lettered(
    writer: BatchWriter, database: Database
) -> None:
    await write(writer, FINDINGS, an_envelope(1, a_finding()), NOON)
    assert acked(await write(writer, FINDINGS, an_envelope(1, a_finding(component="/other")), NOON)) == 1
    await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk()), NOON)
    await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk(60)), NOON)
    assert await causes(database) == ["record 1: the number was used before, for another record, which is kept"] * 2
    (row,) = await rows(database, RecordRow)
    assert row.body["component"] == "/data"


@pytest.mark.parametrize(
    ("topic", "payload", "cause"),
    [
        (FINDINGS, b'{"v": 2, "stream": "x"}', "v: Input should be 1, got '2'"),
        (FINDINGS, b"\x00", "Invalid JSON"),
        (FINDINGS, an_envelope(2**63 - 1, {"kind": "a"}, {"kind": "b"}), "not below 2**63"),
        (TELEMETRY, b"not CBOR", "telemetry message: cut off"),
        (TELEMETRY, a_telemetry_message(1, *[b"x"] * 257), "257 are more than 256"),
        (PRESENCE, b"{}", "state: Field required"),
        ("forewarn/v1/pump 07/findings", an_envelope(1, a_finding()), "device id 'pump 07' must be"),
        (f"forewarn/v1/{DEVICE}/commands", b"", "devices do not publish there"),
        ("weather/today", b"rain", "is not forewarn/v1"),
    ],
)
async def test_a_message_that_can_not_be_taken_is_dead_lettered_and_not_acknowledged(
    writer: BatchWriter, database: Database, topic: str, payload: bytes, cause: str
) -> None:
    assert (await write(writer, topic, payload, NOON)).stored_up_to == {}
    (letter,) = await rows(database, DeadLetter)
    assert cause in letter.cause
    assert (letter.topic, letter.payload) == (topic, payload)


async def test_dead_lettered_messages_are_bounded_in_size_and_number_and_the_oldest_go_first(
    database: Database,
) -> None:
    writer = BatchWriter(database, CaseService(Rules()), dead_letters_max=30)
    for number in range(40):
        topic = f"forewarn/v1/{number}/findings"
        await write(writer, topic, bytes([number]) * (70 << 10), NOON + timedelta(seconds=number))
    kept = await rows(database, DeadLetter)
    assert [row.payload[0] for row in kept] == list(range(10, 40))
    assert {len(row.payload) for row in kept} == {64 << 10}


async def test_one_device_does_not_push_out_what_others_have_dead_lettered(database: Database) -> None:
    writer = BatchWriter(database, CaseService(Rules()), dead_letters_max=30)
    await write(writer, "forewarn/v1/other/findings", b"other", NOON)
    loud = [parse(ReceivedMessage(FINDINGS, bytes([number]), NOON)) for number in range(50)]
    await writer.write(loud[:25])
    await writer.write(loud[25:])
    assert [row.payload for row in await rows(database, DeadLetter)] == [b"other", b"/", b"0", b"1"]


async def test_a_batch_of_more_repeats_than_one_statement_can_ask_for_is_taken(
    writer: BatchWriter, database: Database
) -> None:
    message = parse(ReceivedMessage(TELEMETRY, a_telemetry_message(1, *[a_chunk()] * 256), NOON))
    many = [
        parse(ReceivedMessage(TELEMETRY, a_telemetry_message(first, *[a_chunk()] * 256), NOON))
        for first in range(1, 34_000, 256)
    ]
    assert acked(await writer.write(many), Lane.TELEMETRY) == acked(
        await writer.write([message, *many]), Lane.TELEMETRY
    )


async def test_a_record_that_trips_our_own_code_is_dead_lettered_loudly_and_the_next_ones_go_on(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense: dict[str, Any] = {"hold_down_s": None}  # which the configuration would never let in
    impossible = Rules.model_construct(**nonsense)
    writer = BatchWriter(database, CaseService(impossible))
    envelope = an_envelope(1, a_finding(), a_finding(Phase.CLEAR, 9), a_finding(component="/other"))
    assert acked(await write(writer, FINDINGS, envelope, NOON + timedelta(minutes=1))) == 3
    (cause,) = await causes(database)
    assert cause.startswith("record 2: could not be applied: ")
    assert "this is a bug" in caplog.text
    assert await count(database, Episode) == 2


async def test_what_is_taken_together_is_stored_together_each_device_for_itself(
    writer: BatchWriter, database: Database
) -> None:
    content = (an_envelope(1, a_finding(severity=Severity.CRITICAL)), an_envelope(3, a_finding()), b"rubbish")
    batch = [ReceivedMessage(f"forewarn/v1/{device}/findings", each, NOON) for device in ("a", "b") for each in content]
    batch += [
        ReceivedMessage("forewarn/v1/a/telemetry", a_telemetry_message(seq, a_chunk()), NOON) for seq in (2, 1, 2)
    ]
    result = await writer.write([parse(message) for message in batch])
    assert result.stored_up_to == {
        StreamKey("a", Lane.FINDINGS, STREAM): 1,
        StreamKey("a", Lane.TELEMETRY, STREAM): 2,
        StreamKey("b", Lane.FINDINGS, STREAM): 1,
    }
    assert result.dead_lettered == 2
    assert {case.device for case in await rows(database, SupportCase)} == {"a", "b"}
    assert await count(database, RecordRow) == 4
    assert await count(database, TelemetryChunk) == 2


async def test_a_message_that_no_transaction_survives_is_dead_lettered_and_takes_no_neighbour_with_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def spoilt(message: ReceivedMessage) -> Delivery | Presence:
        content = parse_content(message)
        if "culprit" not in message.topic:
            return content
        assert isinstance(content, Delivery)
        return replace(content, records=tuple(replace(record, kind=None) for record in content.records))  # type: ignore[arg-type]

    monkeypatch.setattr("cloud.ingest.parsing.parse_content", spoilt)
    writer = BatchWriter(database, CaseService(Rules()))
    names = ("pump-07", "culprit", "pump-08")
    batch = [ReceivedMessage(f"forewarn/v1/{name}/findings", an_envelope(1, a_finding()), NOON) for name in names]
    result = await writer.write([parse(message) for message in batch])
    assert {key.device: up_to for key, up_to in result.stored_up_to.items()} == {"pump-07": 1, "pump-08": 1}
    (letter,) = await rows(database, DeadLetter)
    assert "culprit" in letter.topic
    assert letter.cause.startswith("could not be stored: ")
    assert "this is a bug" in caplog.text
    assert acked(await writer.write([parse(batch[0])])) == 1  # and what it remembered is still right


async def test_what_another_process_has_stored_meanwhile_is_found_out(database: Database) -> None:
    one, other = (BatchWriter(database, CaseService(Rules())) for _ in range(2))
    first, second = a_telemetry_message(1, a_chunk()), a_telemetry_message(2, a_chunk(60))
    await write(one, TELEMETRY, first, NOON)
    await write(other, TELEMETRY, second, NOON)
    assert acked(await write(one, TELEMETRY, second, NOON), Lane.TELEMETRY) == 2
    assert await count(database, TelemetryChunk) == 2
    assert await causes(database) == []


async def test_a_device_that_leaves_a_gap_can_not_fill_the_database_behind_it(
    writer: BatchWriter, database: Database
) -> None:
    for first in range(2, 2 * AHEAD_MAX, 256):
        message = a_telemetry_message(first, *[a_chunk()] * 256)
        assert acked(await write(writer, TELEMETRY, message, NOON), Lane.TELEMETRY) == 0
    assert await count(database, TelemetryChunk) == AHEAD_MAX
    assert "wait behind a gap already" in (await causes(database))[0]
    closing = a_telemetry_message(1, a_chunk())
    assert acked(await write(writer, TELEMETRY, closing, NOON), Lane.TELEMETRY) == AHEAD_MAX + 1


async def test_numbers_that_come_from_the_top_down_fill_no_more(writer: BatchWriter, database: Database) -> None:
    for first in range(9000, 3000, -256):
        await write(writer, TELEMETRY, a_telemetry_message(first, *[a_chunk()] * 256), NOON)
    assert AHEAD_MAX <= await count(database, TelemetryChunk) < AHEAD_MAX + 256
    near = a_telemetry_message(2, *[a_chunk()] * 256)
    await write(writer, TELEMETRY, near, NOON)
    assert acked(await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk()), NOON), Lane.TELEMETRY) == 257


async def test_more_gaps_than_may_wait_are_closed_by_the_losses_behind_them(sqlite: Database) -> None:
    """Of 1,100 incidents each second record was evicted; their losses come first, from behind all of them."""
    writer, gaps = BatchWriter(sqlite, CaseService(Rules())), 1100
    lost = [a_loss(number, number, lane=Lane.FINDINGS) for number in range(2, 2 * gaps + 1, 2)]
    behind = [an_envelope(2 * gaps + 1 + place, *lost[place : place + 256]) for place in range(0, gaps, 256)]
    findings = [an_envelope(seq, {"kind": "x"}) for seq in range(1, 2 * gaps, 2)]
    for message in behind:
        await write(writer, FINDINGS, message, NOON)
    await writer.write([parse(ReceivedMessage(FINDINGS, message, NOON)) for message in findings])
    up_to = [acked(await write(writer, FINDINGS, message, NOON)) for message in behind][-1]
    assert up_to == 3 * gaps
    assert await causes(sqlite) == []
    assert await count(sqlite, LossRow) == gaps


async def test_losses_with_gaps_between_them_are_bounded_and_the_one_that_closes_the_next_is_always_taken(
    writer: BatchWriter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.store.streams.SPANS_MAX", 3)
    losses = [a_loss(seq, seq, stream=an_id(9)) for seq in (3, 5, 7, 9)]
    assert acked(await write(writer, FINDINGS, an_envelope(1, *losses), NOON)) == 3
    assert "losses wait" in (await causes(database))[0]
    closing = an_envelope(4, a_loss(1, 2, stream=an_id(9)), a_loss(8, 8, stream=an_id(9)))
    result = await write(writer, FINDINGS, closing, NOON)
    assert result.stored_up_to == {
        StreamKey(DEVICE, Lane.FINDINGS, STREAM): 5,
        StreamKey(DEVICE, Lane.TELEMETRY, an_id(9)): 3,
    }


async def test_a_device_opens_few_streams_a_day_by_declaring_losses_of_them(
    writer: BatchWriter, database: Database
) -> None:
    many = [a_loss(1, 1, stream=an_id(100 + number)) for number in range(40)]
    assert acked(await write(writer, FINDINGS, an_envelope(1, *many), NOON)) == FOREIGN_MAX
    assert acked(await write(writer, FINDINGS, an_envelope(1, *many), NOON)) == FOREIGN_MAX
    assert await count(database, Stream) == FOREIGN_MAX + 1
    tomorrow = NOON + timedelta(days=1)
    assert acked(await write(writer, FINDINGS, an_envelope(1, *many), tomorrow)) == 2 * FOREIGN_MAX


async def test_evidence_is_stored_once_and_known_again(writer: BatchWriter, database: Database) -> None:
    message = an_envelope(1, a_finding(), an_evidence())
    await write(writer, FINDINGS, message, NOON)
    _, record = await rows(database, RecordRow)
    assert record.body.keys() == {"kind", "evidence_id", "part", "content_sha256"}
    (evidence,) = await rows(database, EvidenceRow)
    assert evidence.body == an_evidence().model_dump(mode="json")
    assert acked(await write(writer, FINDINGS, message, NOON)) == 2
    assert await causes(database) == []
    await write(writer, FINDINGS, an_envelope(2, an_evidence(values=(7.0,))), NOON)
    assert await causes(database) == ["record 2: the number was used before, for another record, which is kept"]


async def test_evidence_from_before_all_calendars_is_dead_lettered(writer: BatchWriter, database: Database) -> None:
    ancient = an_evidence().model_copy(update={"detected_uptime_s": -1e300})
    assert acked(await write(writer, FINDINGS, an_envelope(1, ancient), NOON)) == 1
    assert "could not be applied" in (await causes(database))[0]


async def test_telemetry_is_kept_as_it_came_and_goes_when_it_is_old(writer: BatchWriter, database: Database) -> None:
    result = await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk(), b"broken", a_chunk(3600)), NOON)
    assert acked(result, Lane.TELEMETRY) == 3
    first, second = await rows(database, TelemetryChunk)
    assert (first.start_at, first.body, second.start_at) == (NOON, a_chunk(), NOON)  # nothing is from the future
    (cause,) = await causes(database)
    assert cause.startswith("record 2: telemetry record")
    async with database.begin() as session:
        await prune_telemetry(session, NOON + timedelta(days=30), 30)
        assert await session.scalar(select(func.count()).select_from(TelemetryChunk)) == 2
        await prune_telemetry(session, NOON + timedelta(days=30, seconds=1), 30)
        assert await session.scalar(select(func.count()).select_from(TelemetryChunk)) == 0
    assert acked(await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk()), NOON), Lane.TELEMETRY) == 3
    assert await count(database, TelemetryChunk) == 0


async def test_a_device_is_known_from_its_first_word_and_its_last_will_is_no_word(
    writer: BatchWriter, database: Database
) -> None:
    result = await write(writer, PRESENCE, a_presence(), NOON)
    assert (result.stored_up_to, result.changed) == ({}, True)
    await write(writer, TELEMETRY, a_telemetry_message(1, a_chunk()), NOON + timedelta(seconds=30))
    will = await write(writer, PRESENCE, a_presence(PresenceState.OFFLINE), NOON + timedelta(minutes=5))
    assert will.changed
    assert not (await write(writer, PRESENCE, a_presence(PresenceState.OFFLINE), NOON + timedelta(hours=9))).changed
    (device,) = await rows(database, Device)
    assert (device.presence, device.presence_at) == ("offline", NOON + timedelta(minutes=5))
    assert device.last_seen == NOON + timedelta(seconds=30)
    assert (device.firmware, device.metrics) == ("fw-3", 42)


async def test_a_database_that_fails_acknowledges_nothing_and_the_next_try_succeeds(
    writer: BatchWriter, database: Database
) -> None:
    message = an_envelope(1, a_finding())
    async with database.begin() as session:
        await session.execute(text("ALTER TABLE record RENAME TO away"))
    with pytest.raises(Exception, match="record"):
        await write(writer, FINDINGS, message, NOON)
    async with database.begin() as session:
        await session.execute(text("ALTER TABLE away RENAME TO record"))
    assert await count(database, Stream) == 0
    assert acked(await write(writer, FINDINGS, message, NOON)) == 1


async def test_trouble_of_the_database_while_records_are_applied_is_not_blamed_on_a_record(sqlite: Database) -> None:
    async with sqlite.begin() as session:
        await session.execute(text("ALTER TABLE episode RENAME TO away"))
    writer = BatchWriter(sqlite, CaseService(Rules()))
    with pytest.raises(OperationalError):
        await write(writer, FINDINGS, an_envelope(1, a_finding()), NOON)
    assert await count(sqlite, DeadLetter) == 0
    assert await count(sqlite, RecordRow) == 0


REPORTED = st.lists(
    st.tuples(
        st.sampled_from(Phase), st.sampled_from(["disk.filling", "memory.leak"]), st.sampled_from(["/", "/data"])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(REPORTED, st.data())
def test_any_order_and_number_of_deliveries_leads_to_the_same_cases(
    content: list[tuple[Phase, str, str]], data: st.DataObject
) -> None:
    messages = [
        an_envelope(seq, a_finding(phase, 100.0 * seq, fault=fault, component=component, since_s=100.0 * seq - 50))
        for seq, (phase, fault, component) in enumerate(content, 1)
    ]
    deliveries = data.draw(st.lists(st.sampled_from(messages), max_size=12)) + data.draw(st.permutations(messages))
    assert asyncio.run(_after(messages)) == asyncio.run(_after(deliveries))


async def _after(messages: list[bytes]) -> tuple[list[tuple[Any, ...]], ...]:
    """What stands in a fresh database after these messages, all received at one moment."""
    received_at = NOON + timedelta(hours=1)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite+aiosqlite:///{Path(folder) / 'cloud.db'}")
        await database.migrate()
        writer = BatchWriter(database, CaseService(Rules()))
        for message in messages:
            await write(writer, FINDINGS, message, received_at)
        episodes, entries = await rows(database, Episode), await rows(database, CaseEntry)
        await database.close()
    unresolved = [(row.fault, row.component) for row in episodes if row.state != EpisodeState.RESOLVED]
    assert len(unresolved) == len(set(unresolved))
    return (
        [
            (row.fault, row.component, row.state, row.first_at, row.findings, row.flaps, row.case_number)
            for row in episodes
        ],
        [(row.case_number, row.kind, row.text) for row in entries],
    )


async def test_a_restart_and_other_versions_are_kept_as_events_of_the_device(
    database: Database, writer: BatchWriter
) -> None:
    await write(writer, PRESENCE, a_presence(), NOON)
    await write(writer, PRESENCE, a_presence(), NOON + timedelta(minutes=1))
    newer = Presence.model_validate_json(a_presence(after_s=7200, boot_id=an_id(9))).model_copy(
        update={"firmware": "fw-4"}
    )
    await write(writer, PRESENCE, newer.model_dump_json().encode(), NOON + timedelta(hours=2))
    will = a_presence(PresenceState.OFFLINE)  # of the connection before the restart
    await write(writer, PRESENCE, will, NOON + timedelta(hours=2))
    events = await rows(database, DeviceEvent)
    later = [(event.kind, event.before, event.after) for event in events if event.at > NOON]
    assert later == [("firmware", "fw-3", "fw-4"), ("connection", "online", "offline")]
    assert [event.kind for event in events if event.before == ""] == ["boot", "agent", "model", "firmware", "hardware"]
    boots = [(event.at, event.after) for event in events if event.kind == "boot"]
    assert boots[-1] == (NOON, an_id(9))  # not before the device was first seen
