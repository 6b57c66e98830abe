"""Silences hold cases back, keep what they suppress, and are evaluated again at their end."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.cases import Refused
from cloud.cases.episodes import EpisodeState, Rules
from cloud.cases.silences import Silence
from edge_agent.protocol.faults import Severity
from tests.builders import DEVICE, NOON
from tests.cloud.case_service.fleet import all_cases, all_episodes, at, clear, report

SERVICE = CaseService(Rules())
HOUR = 3600.0


async def silence(session: AsyncSession, *, device: str = DEVICE, fault: str = "", hours: float = 2.0) -> int:
    wanted = Silence(
        owner="alice",
        reason="disk swap",
        zone="Europe/Berlin",
        device=device,
        fault=fault,
        starts_at=NOON,
        ends_at=NOON + timedelta(hours=hours),
    )
    return await SERVICE.silences.create(session, wanted, NOON)


async def test_what_a_silence_covers_opens_no_case_and_is_kept_with_the_reason(session: AsyncSession) -> None:
    number = await silence(session)
    await report(SERVICE, session, 60)
    await report(SERVICE, session, 120, fault="storage.read_only", severity=Severity.CRITICAL)
    assert await all_cases(session) == []
    for episode in await all_episodes(session):
        assert (episode.state, episode.silence_number) == (EpisodeState.PENDING, number)
        assert episode.suppressed_until == at(2 * HOUR)
        assert episode.reasons[-1]["decision"] == "suppressed"
        assert episode.reasons[-1]["reason"].startswith("silence 1 of alice until 2026-07-01 16:00 (Europe/Berlin)")


async def test_a_suppressed_fault_is_reported_again_and_again_and_noted_once(session: AsyncSession) -> None:
    await silence(session)
    for number in range(10):
        await report(SERVICE, session, 60.0 + number * 60)
    assert not await SERVICE.tick(session, at(HOUR))
    (episode,) = await all_episodes(session)
    assert [reason["decision"] for reason in episode.reasons] == ["opened", "suppressed"]


async def test_kibana_215634_a_fault_that_is_still_there_at_the_end_of_a_window_opens_its_case(
    session: AsyncSession,
) -> None:
    """Still-active alerts stay silent after the window."""
    await silence(session)
    await report(SERVICE, session, 60)
    assert not await SERVICE.tick(session, at(2 * HOUR - 1))
    assert await SERVICE.tick(session, at(2 * HOUR))
    (case,) = await all_cases(session)
    assert "evaluated again after silence 1" in case.opened_reason.lower()


async def test_a_fault_that_is_over_before_the_end_of_a_window_opens_none(session: AsyncSession) -> None:
    await silence(session)
    await report(SERVICE, session, 60)
    await clear(SERVICE, session, 600)
    await SERVICE.tick(session, at(3 * HOUR))
    assert await all_cases(session) == []
    (episode,) = await all_episodes(session)
    assert (episode.state, episode.silence_number) == (EpisodeState.RESOLVED, 1)


async def test_ending_a_silence_early_evaluates_what_it_suppressed_at_once(session: AsyncSession) -> None:
    number = await silence(session)
    await report(SERVICE, session, 60)
    await SERVICE.silences.end(session, number, "bob", at(120))
    assert await SERVICE.tick(session, at(121))
    assert len(await all_cases(session)) == 1
    with pytest.raises(Refused, match="is over already"):
        await SERVICE.silences.end(session, number, "bob", at(130))
    with pytest.raises(LookupError, match="There is no silence 9"):
        await SERVICE.silences.end(session, 9, "bob", at(130))


async def test_a_case_that_was_open_before_the_silence_stays_open(session: AsyncSession) -> None:
    await report(SERVICE, session, 0)
    await silence(session)
    await report(SERVICE, session, 60)
    assert len(await all_cases(session)) == 1


async def test_keep_6793_a_silence_that_is_listed_is_applied_and_covers_nothing_else(session: AsyncSession) -> None:
    """A rule is shown as active and never applied."""
    await silence(session, fault="memory.leak")
    await report(SERVICE, session, 60, fault="memory.leak", component="memory")
    await report(SERVICE, session, 60)
    (case,) = await all_cases(session)
    assert case.fault == "disk.filling"


async def test_a_second_silence_takes_over_where_the_first_ends(session: AsyncSession) -> None:
    await silence(session, hours=1)
    await report(SERVICE, session, 60)
    await silence(session, hours=3, device="", fault="disk.filling")
    await SERVICE.tick(session, at(HOUR))
    (episode,) = await all_episodes(session)
    assert (episode.silence_number, episode.suppressed_until) == (2, at(3 * HOUR))
    assert await SERVICE.tick(session, at(3 * HOUR))
    assert len(await all_cases(session)) == 1


@pytest.mark.parametrize(
    ("sunday", "ends"),
    [
        (date(2026, 3, 29), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # an hour is skipped
        (date(2026, 10, 25), datetime(2026, 10, 25, 2, 30, tzinfo=UTC)),  # an hour is there twice
        (date(2026, 11, 1), datetime(2026, 11, 1, 2, 30, tzinfo=UTC)),
    ],
)
async def test_a_weekly_window_over_a_change_of_the_clocks_holds_a_fault_back_until_its_local_end(
    session: AsyncSession, sunday: date, ends: datetime
) -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    window = Silence(
        owner="alice",
        reason="backup",
        zone="Europe/Berlin",
        device=DEVICE,
        starts_at=begins,
        ends_at=begins + timedelta(days=360),
        weekdays=(6,),
        from_time=time(1, 30),
        to_time=time(3, 30),
    )
    await SERVICE.silences.create(session, window, begins)
    reported = datetime.combine(sunday, time(1, 45), ZoneInfo("Europe/Berlin")).astimezone(UTC)
    await report(SERVICE, session, (reported - NOON).total_seconds())
    assert not await SERVICE.tick(session, ends - timedelta(seconds=1))
    assert await SERVICE.tick(session, ends)
    assert len(await all_cases(session)) == 1
