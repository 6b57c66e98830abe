"""Figures of alarms: worked by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from models.machine.figures import blind_detectors, figures, openings


def flags(rows: int, *spans: tuple[int, int]) -> npt.NDArray[np.bool_]:
    found = np.zeros(rows, np.bool_)
    for first, last in spans:
        found[first:last] = True
    return found


def test_figures_worked_by_hand() -> None:
    label = flags(100, (50, 90))
    found = figures([(label, flags(100, (10, 15), (60, 92)))])

    assert found.f1 == pytest.approx(2 * 30 / (2 * 30 + 7 + 10))
    assert found.false_share == pytest.approx(7 / 60)
    assert found.missed_share == pytest.approx(10 / 40)
    assert (found.found, found.delay_s) == (1, 10)
    assert found.false_per_hour == pytest.approx(3600 / 50)


def test_a_fault_without_an_alarm_is_not_found() -> None:
    found = figures([(flags(10, (5, 8)), flags(10))])

    assert (found.found, found.f1, found.missed_share) == (0, 0.0, 1.0)
    assert np.isnan(found.delay_s)


def test_alarms_are_counted_where_they_begin() -> None:
    assert openings(flags(10, (0, 2), (4, 6), (8, 10))) == 3
    assert openings(flags(0)) == 0


def test_detectors_that_read_no_sensor_score_well_where_faults_come_at_the_same_time() -> None:
    blind = blind_detectors([flags(700, (172, 575))] * 3, 400)

    assert blind["rows 572-974"] == 1.0
    assert blind["always on"] == pytest.approx(2 * 403 / (2 * 403 + 297))
