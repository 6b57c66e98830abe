"""Absence: who is missed, from when on, and who is not."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.absence import ABSENT, STALLED, AbsenceRules, Connection, Sighting, find_absence, is_back
from tests.builders import NOON

RULES = AbsenceRules()
LONG_AGO = NOON - timedelta(days=1)
HOUR_S = 3600.0


def at(after_s: float) -> datetime:
    return NOON + timedelta(seconds=after_s)


def a_sighting(
    connection: Connection = Connection.ONLINE,
    *,
    connection_at: datetime | None = LONG_AGO,
    telemetry_at: datetime | None = NOON,
    telemetry_every_s: float | None = HOUR_S,
    is_reduced: bool = False,
) -> Sighting:
    return Sighting(
        connection=connection,
        connection_at=connection_at,
        telemetry_at=telemetry_at,
        telemetry_every_s=telemetry_every_s,
        is_reduced=is_reduced,
    )


def test_a_device_whose_connection_broke_is_absent_after_the_limit_and_not_before() -> None:
    gone = a_sighting(Connection.OFFLINE, connection_at=NOON)
    assert find_absence(gone, LONG_AGO, RULES, at(299)) is None
    absence = find_absence(gone, LONG_AGO, RULES, at(300))
    assert absence is not None
    assert (absence.fault, absence.since) == (ABSENT, NOON)
    assert absence.reason == "Disconnected for 5 min without announcing a shutdown (limit 5 min)."


def test_a_planned_shutdown_is_no_absence_however_long_it_lasts() -> None:
    assert find_absence(a_sighting(Connection.GOING_DOWN), LONG_AGO, RULES, at(1e7)) is None


def test_a_device_that_is_connected_and_sends_nothing_is_stalled() -> None:
    absence = find_absence(a_sighting(), LONG_AGO, RULES, at(2.5 * HOUR_S))
    assert absence is not None
    assert (absence.fault, absence.since) == (STALLED, NOON)
    assert "no telemetry for 2 h 30 min; it announced one batch every 1 h" in absence.reason
    assert find_absence(a_sighting(), LONG_AGO, RULES, at(2.5 * HOUR_S - 1)) is None


def test_a_device_that_connected_and_never_sent_what_it_announced_is_stalled() -> None:
    absence = find_absence(a_sighting(connection_at=NOON, telemetry_at=None), LONG_AGO, RULES, at(2.5 * HOUR_S))
    assert absence is not None
    assert absence.fault == STALLED


def test_a_fast_reporter_is_given_the_least_limit() -> None:
    assert find_absence(a_sighting(telemetry_every_s=1.0), LONG_AGO, RULES, at(299)) is None
    assert find_absence(a_sighting(telemetry_every_s=1.0), LONG_AGO, RULES, at(300)) is not None


def test_an_older_agent_that_announces_no_interval_is_missed_by_the_configured_one() -> None:
    absence = find_absence(a_sighting(telemetry_every_s=None), LONG_AGO, RULES, at(2.5 * HOUR_S))
    assert absence is not None
    assert "it used to keep one batch every 1 h" in absence.reason


def test_a_device_that_sends_findings_only_is_not_missed_while_it_is_connected() -> None:
    assert find_absence(a_sighting(telemetry_at=None, telemetry_every_s=None), LONG_AGO, RULES, at(1e7)) is None


def test_a_device_that_reduced_its_work_to_keep_its_budget_is_not_stalled() -> None:
    assert find_absence(a_sighting(is_reduced=True), LONG_AGO, RULES, at(1e6)) is None


@pytest.mark.parametrize("sighting", [a_sighting(Connection.OFFLINE, connection_at=NOON), a_sighting()])
def test_no_device_is_blamed_for_a_time_in_which_the_cloud_received_nothing(sighting: Sighting) -> None:
    back = at(1e6)
    assert find_absence(sighting, back, RULES, back + timedelta(seconds=299)) is None
    assert find_absence(sighting, back, RULES, back + timedelta(seconds=2.5 * HOUR_S)) is not None


def test_an_absence_ends_with_the_connection_and_a_stall_with_telemetry() -> None:
    assert is_back(ABSENT, a_sighting(Connection.OFFLINE), NOON) is None
    assert is_back(ABSENT, a_sighting(Connection.ONLINE), NOON) == "It is connected again."
    assert is_back(STALLED, a_sighting(telemetry_at=NOON), NOON) is None
    assert is_back(STALLED, a_sighting(telemetry_at=at(1)), NOON) == "Telemetry arrives again."
    assert is_back(STALLED, a_sighting(Connection.OFFLINE), NOON) is None, "it is still owed"
    assert is_back(ABSENT, a_sighting(Connection.GOING_DOWN), NOON) == "It announced a shutdown."


times = st.none() | st.integers(-(10**6), 10**6).map(lambda seconds: at(float(seconds)))


@given(
    connection=st.sampled_from(Connection),
    connection_at=times,
    telemetry_at=times,
    every_s=st.none() | st.floats(1, 1e5),
    after_s=st.floats(0, 1e7),
)
def test_what_is_absent_stays_absent_until_something_happens_and_is_not_back(
    connection: Connection,
    connection_at: datetime | None,
    telemetry_at: datetime | None,
    every_s: float | None,
    after_s: float,
) -> None:
    sighting = a_sighting(connection, connection_at=connection_at, telemetry_at=telemetry_at, telemetry_every_s=every_s)
    absence = find_absence(sighting, LONG_AGO, RULES, at(1e6))
    if absence:
        later = find_absence(sighting, LONG_AGO, RULES, at(1e6 + after_s))
        assert later is not None
        assert (later.fault, later.since) == (absence.fault, absence.since)
        assert is_back(absence.fault, sighting, absence.since) is None
