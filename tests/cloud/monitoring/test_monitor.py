"""What nobody reports becomes one case at the right time: absence, stalls, dead letters, a pipe that is cut."""

from datetime import datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.absence import AbsenceRules
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Outcome
from cloud.cases.pipeline import PipelineRules
from cloud.ingest import Counters, DropReason, IngestHealth
from cloud.monitoring import LOOK_EVERY_S, Monitor
from cloud.store import queries
from cloud.store.tables import SYSTEM_DEVICE, CaseState, DeadLetter, Device
from tests.builders import DEVICE, NOON
from tests.cloud.case_service.fleet import all_cases, all_episodes, all_problems, at, report, texts

HOUR_S = 3600.0


class Cloud:
    """The monitor of a cloud that has been listening since noon, and its clock."""

    def __init__(self, session: AsyncSession) -> None:
        self.session, self.now = session, NOON
        self.service = CaseService(Rules())
        self.health, self.counters = IngestHealth(self._clock), Counters()
        self.monitor = Monitor(self.service, self.health, self.counters, AbsenceRules(), PipelineRules())

    async def start(self) -> None:
        self.health.connected()
        await self.monitor.tick(self.session, self.now)

    async def until(self, after_s: float, *, step_s: float = LOOK_EVERY_S * 2) -> None:
        """Let time pass, in looks as the service takes them."""
        while self.now < at(after_s):
            self.now = min(at(after_s), at((self.now - NOON).total_seconds() + step_s))
            await self.service.tick(self.session, self.now)
            await self.monitor.tick(self.session, self.now)

    def _clock(self) -> datetime:
        return self.now


@pytest.fixture
async def cloud(session: AsyncSession) -> Cloud:
    cloud = Cloud(session)
    await cloud.start()
    return cloud


async def set_presence(session: AsyncSession, presence: str, after_s: float, *devices: str) -> None:
    await session.flush()
    for name in devices or (DEVICE,):
        device = await session.get_one(Device, name)
        device.presence, device.presence_at = presence, at(after_s)
    await session.flush()


def a_site(session: AsyncSession, site: str, devices: int, firmware: str = "fw-3") -> list[str]:
    names = [f"{site.lower()}-{number}" for number in range(devices)]
    for name in names:
        row = Device(device=name, first_seen=NOON, last_seen=NOON, site=site, firmware=firmware, presence="online")
        row.presence_at = NOON
        session.add(row)
    return names


async def test_a_device_that_is_cut_off_opens_one_case_which_says_why(cloud: Cloud, session: AsyncSession) -> None:
    await set_presence(session, "offline", 60)
    await cloud.until(350)
    assert await all_cases(session) == []
    await cloud.until(1000)
    (case,) = await all_cases(session)
    assert (case.title, case.severity, case.fault) == ("pump-07 is not connected", "high", "device.absent")
    assert case.opened_at == at(360)
    assert "Observed by the cloud: Disconnected for 5 min without announcing a shutdown" in case.opened_reason


async def test_a_device_that_is_back_lets_its_case_wait_for_a_label(cloud: Cloud, session: AsyncSession) -> None:
    await set_presence(session, "offline", 0)
    await cloud.until(320)
    await set_presence(session, "online", 400)
    await cloud.until(800)
    (case,) = await all_cases(session)
    assert case.state == CaseState.PENDING_CLOSE
    assert any("the cloud observes that it is over" in text for text in await texts(session))


async def test_closed_as_expected_the_same_absence_again_opens_no_case_and_another_device_does(
    cloud: Cloud, session: AsyncSession
) -> None:
    other = a_site(session, "Mill", 1)
    await set_presence(session, "offline", 0)
    await cloud.until(310)
    await cloud.service.staff.close(session, 1, "alice", Outcome(label=Label.EXPECTED, note="off at weekends"), at(320))
    await set_presence(session, "online", 330)
    await cloud.until(700)
    await set_presence(session, "offline", 700, DEVICE, *other)
    await cloud.until(1100)
    assert [case.device for case in await all_cases(session)] == [DEVICE, "mill-0"]
    note = (await all_episodes(session))[1]
    assert (note.device, note.severity, note.case_number) == (DEVICE, "info", None)
    assert note.sentence.endswith("the last case of it was closed as expected.")


async def test_a_planned_shutdown_opens_no_case(cloud: Cloud, session: AsyncSession) -> None:
    await set_presence(session, "going_down", 0)
    await cloud.until(HOUR_S, step_s=20)
    assert await all_cases(session) == []


async def test_a_device_that_is_connected_and_whose_readings_have_stopped_opens_a_case(
    cloud: Cloud, session: AsyncSession
) -> None:
    await cloud.until(590)
    assert await all_cases(session) == []
    await cloud.until(610)
    (case,) = await all_cases(session)
    assert case.title == "pump-07 is connected, but its readings have stopped"
    device = await session.get_one(Device, DEVICE)
    device.telemetry_at = at(615)
    await cloud.until(950)
    assert case.state == CaseState.PENDING_CLOSE


async def test_a_stalled_device_that_is_then_cut_off_stays_one_case(cloud: Cloud, session: AsyncSession) -> None:
    await cloud.until(610)
    await set_presence(session, "offline", 620)
    await cloud.until(1000)
    (case,) = await all_cases(session)
    assert [each.fault for each in await all_episodes(session)] == ["device.stalled", "device.absent"]
    assert (case.state, case.title) == (CaseState.NEW, "pump-07 is not connected")


async def test_an_absence_and_a_fault_that_the_device_reported_are_two_cases(
    cloud: Cloud, session: AsyncSession
) -> None:
    await session.flush()
    await report(cloud.service, session, 1)
    await set_presence(session, "offline", 10)
    await cloud.until(400)
    await report(cloud.service, session, 401, fault="memory.leak", component="memory")
    first, second = await all_cases(session)
    assert (first.fault, second.fault) == ("disk.filling", "device.absent")
    assert [each.case_number for each in await all_episodes(session)] == [1, 2, 1]


async def test_a_whole_site_at_once_is_one_problem_of_the_site(cloud: Cloud, session: AsyncSession) -> None:
    harbour = a_site(session, "Harbour", 12)
    a_site(session, "Mill", 12)
    await set_presence(session, "offline", 30, *harbour)
    await cloud.until(400)
    (problem,) = await all_problems(session)
    assert (problem.scope, problem.value) == ("site", "Harbour")
    cases = await all_cases(session)
    assert len(cases) == 12
    assert {case.problem_number for case in cases} == {problem.number}


async def test_a_device_that_flaps_every_minute_is_one_case(cloud: Cloud, session: AsyncSession) -> None:
    await set_presence(session, "offline", 0)
    await cloud.until(310)
    for minute in range(6, 66):
        await set_presence(session, "online" if minute % 2 else "offline", minute * 60)
        await cloud.until(minute * 60.0 + 1)
    assert len(await all_cases(session)) == 1


async def test_no_device_is_missed_while_the_broker_is_gone_and_the_cloud_says_so_once(
    cloud: Cloud, session: AsyncSession
) -> None:
    await set_presence(session, "offline", 0)
    cloud.health.disconnected("connection refused")
    await cloud.until(600)
    (case,) = await all_cases(session)
    assert (case.device, case.severity) == (SYSTEM_DEVICE, "critical")
    assert case.title == "The cloud receives no messages (broker)"
    assert "No connection to the broker for 60 s. Last error: connection refused." in case.opened_reason
    assert case.opened_at == at(60)
    cloud.health.connected()
    await cloud.until(890)
    assert len(await all_cases(session)) == 1, "devices get the whole limit to come back"
    await cloud.until(1000)
    assert [each.fault for each in await all_cases(session)] == ["ingest.stopped", "device.absent"]
    assert case.state == CaseState.PENDING_CLOSE


async def test_messages_that_wait_and_are_never_committed_open_a_case(cloud: Cloud, session: AsyncSession) -> None:
    cloud.health.received()
    cloud.health.failed("database is locked")
    await cloud.until(50)
    assert await all_cases(session) == []
    await cloud.until(70)
    (case,) = await all_cases(session)
    assert case.title == "The cloud receives no messages (database)"
    assert "Last error: database is locked" in case.opened_reason
    cloud.health.committed(is_empty=True)
    await cloud.until(400)
    assert case.state == CaseState.PENDING_CLOSE


async def test_a_silence_during_which_the_cloud_itself_slept_counts_for_nothing(
    cloud: Cloud, session: AsyncSession
) -> None:
    cloud.now = at(5 * HOUR_S)  # the machine was suspended
    await cloud.monitor.tick(session, cloud.now)
    await cloud.until(5 * HOUR_S + 200)
    assert await all_cases(session) == []


def add_letters(session: AsyncSession, topic: str, causes: list[str], after_s: float = 0.0) -> None:
    for number, cause in enumerate(causes):
        session.add(DeadLetter(received_at=at(after_s + number), topic=topic, cause=cause, payload=b"x" * 1024))


async def test_records_set_aside_again_and_again_open_a_case_with_cause_and_cost(
    cloud: Cloud, session: AsyncSession
) -> None:
    twice = [f"record {seq}: the number was used before, for another record, which is kept" for seq in range(9)]
    add_letters(session, f"forewarn/v1/{DEVICE}/findings", [*twice, "v: Input should be 1, got '2'"])
    add_letters(session, "forewarn/v1/meter-12/findings", twice)
    await set_presence(session, "going_down", 0)
    await cloud.until(60)
    (case,) = await all_cases(session)
    assert (case.device, case.severity) == (DEVICE, "warning")
    assert case.title == "Records of pump-07/findings are set aside again and again"
    assert (
        "10 records (10 KiB) were set aside within 1 h; nothing that they report was evaluated. Cause of 9 of them: "
        "the number was used before, for another record, which is kept. There are 1 other causes."
    ) in case.opened_reason
    await cloud.until(1.2 * HOUR_S, step_s=25)
    assert case.state == CaseState.PENDING_CLOSE


async def test_dead_letters_of_a_device_that_is_not_known_are_a_case_of_the_cloud_and_no_device_appears(
    cloud: Cloud, session: AsyncSession
) -> None:
    add_letters(session, "forewarn/v1/<script>/findings", ["topic: is not valid"] * 20)
    await cloud.until(60)
    (case,) = await all_cases(session)
    assert (case.device, case.title) == (
        SYSTEM_DEVICE,
        "Records of <script>/findings are set aside again and again",
    )
    assert [line.device.device for line in await queries.devices(session)] == [DEVICE]
    assert (await queries.fleet_status(session)).devices == 1


async def test_a_few_dead_letters_open_no_case(cloud: Cloud, session: AsyncSession) -> None:
    add_letters(session, f"forewarn/v1/{DEVICE}/findings", ["not JSON"] * 9)
    await cloud.until(100)
    assert await all_cases(session) == []


async def test_a_device_that_sends_far_too_many_messages_opens_a_case_until_it_keeps_to_its_limits(
    cloud: Cloud, session: AsyncSession
) -> None:
    await set_presence(session, "going_down", 0)
    for number in range(300):
        cloud.counters.drop(DEVICE if number < 150 else "nobody", DropReason.TOO_FAST)
        cloud.counters.drop("meter-12", DropReason.DATABASE)
    await cloud.until(20)
    (case,) = await all_cases(session)
    assert case.title == "Records of pump-07 above its limits are set aside again and again"
    assert "150 messages were dropped within 1 h" in case.opened_reason
    await cloud.until(1.1 * HOUR_S, step_s=25)
    assert case.state == CaseState.NEW, "the window in which they were dropped"
    await cloud.until(2.2 * HOUR_S, step_s=25)
    assert case.state == CaseState.PENDING_CLOSE
