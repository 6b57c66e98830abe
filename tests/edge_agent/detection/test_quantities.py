"""Quantities add up what belongs together, and stay unknown where nothing says them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.quantities import Quantity, quantities

CPU = "system.cpu.utilization{{cpu.mode={}}}"
DISK = "system.disk.{}{{disk.io.direction={},system.device={}}}"


def test_all_modes_but_idle_and_waiting_are_work() -> None:
    row = {CPU.format(mode): share for mode, share in {"user": 0.3, "nice": 0.1, "iowait": 0.2, "idle": 0.4}.items()}
    found = quantities(row)
    assert found[Quantity.CPU] == pytest.approx(0.4)
    assert found[Quantity.IOWAIT] == pytest.approx(0.2)


def test_disks_add_up_and_the_warmest_sensor_counts() -> None:
    found = quantities(
        {
            DISK.format("io", "read", "sda"): 10.0,
            DISK.format("io", "read", "sdb"): 5.0,
            DISK.format("operations", "write", "sda"): 3.0,
            "system.disk.io_time{system.device=sda}": 0.2,
            "hw.temperature{hw.name=cpu}": 61.0,
            "hw.temperature{hw.name=nvme}": 44.0,
            "hw.temperature.limit{hw.limit_type=high,hw.name=cpu}": 90.0,
        }
    )
    assert found[Quantity.READ] == 15.0
    assert found[Quantity.WRITES] == 3.0
    assert found[Quantity.BUSY] == 0.2
    assert found[Quantity.HEAT] == 61.0


def test_what_no_series_says_is_unknown_rather_than_zero() -> None:
    assert np.isnan(quantities({"system.network.io{network.interface.name=eth0}": 1.0})).all()


@given(st.dictionaries(st.sampled_from([DISK.format("io", "read", name) for name in "abcdef"]), st.floats(0, 1e9)))
def test_the_order_of_series_changes_nothing(row: dict[str, float]) -> None:
    backwards = dict(reversed(row.items()))
    assert quantities(row) == pytest.approx(quantities(backwards), nan_ok=True)
