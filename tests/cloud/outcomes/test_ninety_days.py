"""Ninety simulated days whose truth is known, fed through labels: the figures are equal to the truth.

The truth is counted here a second time, from the plan of the days, without the code that is tested.
"""

import random
import re
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import httpx
import numpy as np
import pytest

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Noticed, Outcome
from cloud.change_signal import ChangeSignal
from cloud.ingest.batch_writer import BatchWriter
from cloud.ingest.parsing import ReceivedMessage, parse
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.store.tables import SYSTEM_DEVICE, Account, Device
from cloud.web import formatting
from cloud.web.app import create_app
from edge_agent.protocol.faults import FAULTS
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Detector, Finding, Impact, Phase, Presence, PresenceState, encode
from tests.builders import NOON, an_id
from tests.cloud.web.conftest import ORIGIN, PASSWORD

DAYS, UPGRADE_DAY = 90, 45
START = NOON - timedelta(days=DAYS)
UPGRADE = START + timedelta(days=UPGRADE_DAY)
SITES = ("Dock B", "Mill Lane", "")
MODELS = ("Raspberry Pi 4", "Raspberry Pi 5")
# How often each outcome is the truth; the detector of the second version is better.
TRUTHS = {
    "0.1.0": [Label.TRUE_FAULT] * 5 + [Label.FALSE_ALARM] * 3 + [Label.EXPECTED, Label.NO_FAULT_FOUND, Label.DUPLICATE],
    "0.2.0": [Label.TRUE_FAULT] * 8 + [Label.FALSE_ALARM, Label.EXPECTED],
}
FAULTS_OF_THE_DAYS = ("disk.filling", "memory.leak", "service.failed", "thermal.throttling")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One fault of the plan, and what it really was."""

    device: int
    fault: str
    at: datetime
    agent: str
    label: Label | None  # None: it is not closed within the days
    noticed: str
    measured_s: float | None
    predicted_s: float | None
    taken_s: float
    closed_s: float

    @property
    def detector(self) -> str:
        return f"{FAULTS[self.fault].detector} detector-{self.agent}"

    @property
    def model(self) -> str:
        return MODELS[self.device % len(MODELS)]

    @property
    def site(self) -> str:
        return SITES[self.device % len(SITES)]

    @property
    def lead_s(self) -> float | None:
        if self.label is not Label.TRUE_FAULT:
            return None
        if self.measured_s is not None:
            return self.measured_s
        return 0.0 if self.noticed == "yes" else self.predicted_s


def a_plan(devices: int, seed: int) -> list[Truth]:
    """One fault a week on each device, far enough apart to be cases of their own."""
    rng, plan = random.Random(seed), []
    for device in range(devices):
        for week in range(DAYS // 7):
            at = START + timedelta(days=7 * week + rng.uniform(0.5, 4), seconds=device)
            agent = "0.2.0" if at > UPGRADE else "0.1.0"
            fault = rng.choice(FAULTS_OF_THE_DAYS)
            trend = FAULTS[fault].detector == "trend"
            plan.append(
                Truth(
                    device=device,
                    fault=fault,
                    at=at,
                    agent=agent,
                    label=None if week == 12 and device % 2 else rng.choice(TRUTHS[agent]),
                    noticed=rng.choice(["yes", "no", "no", "not_asked"]),
                    measured_s=float(rng.randrange(-3600, 4 * 3600, 60)) if rng.random() < 0.5 else None,
                    predicted_s=float(rng.randrange(3600, 20 * 3600)) if trend else None,
                    taken_s=float(rng.randrange(60, 7200)),
                    closed_s=float(rng.randrange(5 * 3600, 40 * 3600)),
                )
            )
    return sorted(plan, key=lambda one: one.at)


class Days:
    """A cloud whose time is given: devices announce themselves through ingest; Alice reads the figures at the end."""

    def __init__(self, database: Database, alice: httpx.AsyncClient) -> None:
        self.database, self.alice = database, alice
        self.service = CaseService(Rules(), outcome_followers())
        self.writer = BatchWriter(database, self.service)

    async def observe_itself(self) -> None:
        """Let the cloud have its own pseudo-device from the first day on: it counts in no device-week."""
        async with self.database.begin() as session:
            session.add(Device(device=SYSTEM_DEVICE, first_seen=START, last_seen=START + timedelta(days=DAYS)))

    async def presence(self, device: int, agent: str, at: datetime) -> None:
        instant = Instant(boot_id=an_id(device + 1), uptime_s=3600.0, wall=at, synced=True)
        hardware = MODELS[device % len(MODELS)]
        presence = Presence(state=PresenceState.ONLINE, at=instant, agent=agent, firmware="fw-3", hardware=hardware)
        message = ReceivedMessage(f"forewarn/v1/device-{device}/presence", encode(presence), at)
        await self.writer.write([parse(message)])
        async with self.database.begin() as session:
            row = await session.get_one(Device, f"device-{device}")
            row.site = SITES[device % len(SITES)]

    async def happen(self, truth: Truth, number: int) -> None:
        """Let a fault be reported and cleared."""
        async with self.database.begin() as session:
            for phase, after_s in ((Phase.OPEN, 0.0), (Phase.UPDATE, 60.0), (Phase.CLEAR, 3600.0)):
                at = truth.at + timedelta(seconds=after_s)
                finding = finding_of(truth, number, phase, after_s)
                await self.service.apply_finding(session, f"device-{truth.device}", finding, at)
            await self.service.tick(session, truth.at + timedelta(hours=2))

    async def work(self, truth: Truth, number: int) -> None:
        """Let Alice take the case, and say what it was."""
        async with self.database.begin() as session:
            await self.service.staff.take(session, number, "alice", truth.at + timedelta(seconds=truth.taken_s))
            if truth.label is None:
                return
            measured = None if truth.measured_s is None else truth.at + timedelta(seconds=60 + truth.measured_s)
            outcome = Outcome(label=truth.label, noticed=Noticed(truth.noticed), impact_at=measured)
            await self.service.staff.close(
                session, number, "alice", outcome, truth.at + timedelta(seconds=truth.closed_s)
            )


def finding_of(truth: Truth, number: int, phase: Phase, after_s: float) -> Finding:
    at = Instant(
        boot_id=an_id(truth.device + 1),
        uptime_s=3600.0 + after_s,
        wall=truth.at + timedelta(seconds=after_s),
        synced=True,
    )
    left_s = (truth.predicted_s or 0.0) + 60 - after_s
    return Finding(
        finding_id=an_id(number),
        fault=truth.fault,
        component="/data",
        phase=phase,
        at=at,
        since=at,
        severity=FAULTS[truth.fault].severity,
        confidence=0.9,
        impact=Impact(low_s=left_s, likely_s=left_s, high_s=left_s) if truth.predicted_s and left_s > 0 else None,
        reason="as planned",
        detector=Detector(judge=FAULTS[truth.fault].detector, version=f"detector-{truth.agent}"),
    )


@pytest.fixture
async def days(database: Database, hashed_accounts: dict[str, str]) -> AsyncIterator[Days]:
    async with database.begin() as session:
        session.add(Account(name="alice", password_hash=hashed_accounts["alice"], created_at=START))
    service = CaseService(Rules(), outcome_followers())
    app = create_app(database, service, ChangeSignal(), now=lambda: NOON)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, auth=("alice", PASSWORD)) as alice:
        yield Days(database, alice)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The figures of one group, counted from the plan."""

    cases: int
    labels: dict[str, int]
    true: int
    false: int
    leads: list[float]
    measured: int
    weeks: float
    acknowledged: float
    resolved: float | None
    asked: int
    first: int


def counted(plan: Sequence[Truth], weeks: float) -> Counted:
    labels = {label: sum(one.label is label for one in plan) for label in Label}
    asked = [one for one in plan if one.label is Label.TRUE_FAULT and one.noticed != "not_asked"]
    leads = [(one, one.lead_s) for one in plan if one.lead_s is not None]
    closed = [one.closed_s - 60 for one in plan if one.label]
    return Counted(
        cases=len(plan),
        labels={str(label): count for label, count in labels.items()},
        true=labels[Label.TRUE_FAULT],
        false=labels[Label.FALSE_ALARM] + labels[Label.EXPECTED] + labels[Label.NO_FAULT_FOUND],
        leads=[lead for _, lead in leads if lead is not None],
        measured=sum(one.measured_s is not None for one, _ in leads),
        weeks=weeks,
        acknowledged=statistics.median(one.taken_s - 60 for one in plan),
        resolved=statistics.median(closed) if closed else None,
        asked=len(asked),
        first=sum(one.noticed == "yes" for one in asked),
    )


def check(line: dict[str, Any], truth: Counted) -> None:
    """Compare a line of the API with the truth."""
    assert (line["cases"], line["labels"]) == (truth.cases, truth.labels)
    assert line["unlabelled"] == truth.cases - sum(truth.labels.values())
    assert line["false_cases"] == truth.false
    if truth.true + truth.false:
        assert line["precision"]["share"] == truth.true / (truth.true + truth.false)
        assert line["precision"]["low"] <= line["precision"]["share"] <= line["precision"]["high"]
    assert (line["lead_times"], line["lead_measured"]) == (len(truth.leads), truth.measured)
    if truth.leads:
        assert line["lead_median_s"] == pytest.approx(statistics.median(truth.leads), abs=1e-3)
        assert line["lead_p10_s"] == pytest.approx(float(np.quantile(truth.leads, 0.1)), abs=1e-3)
    assert line["device_weeks"] == pytest.approx(truth.weeks, rel=1e-9)
    assert line["false_per_device_week"] == pytest.approx(truth.false / truth.weeks, rel=1e-9)
    assert line["acknowledge_median_s"] == pytest.approx(truth.acknowledged, abs=1e-3)
    assert line["resolve_median_s"] == pytest.approx(truth.resolved, abs=1e-3)
    assert (line["asked"], line["customer_first"]) == (truth.asked, truth.first)


def check_shown(row: list[str], truth: Counted) -> None:
    """Compare a line of the page with the truth, in the words that it uses."""
    share = formatting.percent(truth.true / (truth.true + truth.false)) if truth.true + truth.false else "none labelled"
    lead = formatting.lead_time(statistics.median(truth.leads)) if truth.leads else "unknown"
    assert row[0] == str(truth.cases)
    assert row[1:6] == [str(count) for count in truth.labels.values()]
    assert row[7].startswith(share)
    assert row[8].startswith(lead)
    assert row[9].startswith(f"{truth.false / truth.weeks:.3f} ({truth.false} in ")
    assert row[12] == (f"{truth.first} of {truth.asked}" if truth.asked else "not asked")


def rows_of(page: str) -> dict[str, list[str]]:
    """Return the cells of each line of the tables, by the name of the line."""
    found: dict[str, list[str]] = {}
    for name, cells in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page, re.DOTALL):
        plain = [
            unescape(re.sub(r"<.*?>", "", cell)).strip() for cell in re.findall(r"<td>(.*?)</td>", cells, re.DOTALL)
        ]
        found[unescape(name)] = plain
    return found


async def lived(days: Days, plan: Sequence[Truth], devices: int) -> None:
    """Let the ninety days pass; all devices get another agent in the middle of them."""
    agents = [("0.1.0", START), ("0.2.0", UPGRADE), ("0.2.0", NOON)]
    happenings = [(truth.at, truth) for truth in plan]
    number = 0
    await days.observe_itself()
    for (agent, at), (_, until) in zip(agents, [*agents[1:], ("", NOON)], strict=True):
        for device in range(devices):
            await days.presence(device, agent, at)
        for _, truth in (one for one in happenings if at < one[0] <= until):
            number += 1
            await days.happen(truth, number)
            await days.work(truth, number)
    assert number == len(plan)


def groups_of(plan: Sequence[Truth], devices: int) -> dict[str, dict[str, Counted]]:
    """Return the truth of each table, by the name of its lines."""
    weeks, weeks_of = DAYS / 7, {"0.1.0": UPGRADE_DAY / 7, "0.2.0": (DAYS - UPGRADE_DAY) / 7}

    def table(
        names: Sequence[str], name_of: Callable[[Truth], str], watched: Callable[[str], float]
    ) -> dict[str, Counted]:
        return {name: counted([one for one in plan if name_of(one) == name], watched(name)) for name in names}

    detectors = sorted({one.detector for one in plan})
    return {
        "by_fault": table(FAULTS_OF_THE_DAYS, lambda one: one.fault, lambda _: devices * weeks),
        "by_detector": table(detectors, lambda one: one.detector, lambda name: devices * weeks_of[name[-5:]]),
        "by_model": table(MODELS, lambda one: one.model, lambda _: devices / len(MODELS) * weeks),
        "by_site": table(SITES, lambda one: one.site, lambda _: devices / len(SITES) * weeks),
    }


async def test_the_figures_of_ninety_days_are_equal_to_the_truth(days: Days) -> None:
    devices = 12
    plan = a_plan(devices, seed=7)
    await lived(days, plan, devices)
    total, tables = counted(plan, devices * DAYS / 7), groups_of(plan, devices)

    answer = (await days.alice.get("/api/v1/figures?days=90")).json()["figures"]
    assert answer["total"]["cases"] == len(plan) > 100
    check(answer["total"], total)
    for table, groups in tables.items():
        assert {line["group"] for line in answer[table]} == set(groups)
        for line in answer[table]:
            check(line, groups[line["group"]])

    login = await days.alice.post("/login", data={"name": "alice", "password": PASSWORD}, headers={"Origin": ORIGIN})
    assert login.status_code == 303
    shown = rows_of((await days.alice.get("/figures?days=90")).text)
    check_shown(shown["All"], total)
    for groups in tables.values():
        for group, truth in groups.items():
            check_shown(shown[group or "not set"], truth)
