"""Quantities sum up their series, and are unknown without one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.relations.quantities import Quantity, quantities

CPU = "system.cpu.utilization{{cpu.mode={}}}"
DISK = "system.disk.{}{{disk.io.direction={},system.device={}}}"


def test_all_modes_but_idle_and_waiting_are_work() -> None:
    row = {CPU.format(mode): share for mode, share in {"user": 0.3, "nice": 0.1, "iowait": 0.2, "idle": 0.4}.items()}
    found = quantities(row)
    assert found[Quantity.CPU] == pytest.approx(0.4)
    assert found[Quantity.IOWAIT] == pytest.approx(0.2)


def test_disks_add_up_and_the_processors_warmest_sensor_counts() -> None:
    found = quantities(
        {
            DISK.format("io", "read", "sda"): 10.0,
            DISK.format("io", "read", "sdb"): 5.0,
            DISK.format("operations", "write", "sda"): 3.0,
            "system.disk.io_time{system.device=sda}": 0.2,
            "hw.temperature{hw.name=coretemp/Core 0}": 61.0,
            "hw.temperature{hw.name=coretemp/Core 1}": 59.0,
            "hw.temperature{hw.name=coretemp/Core 2}": 255.0,
            "hw.temperature{hw.name=nvme/Composite}": 74.0,
            "hw.temperature.limit{hw.limit_type=high,hw.name=coretemp/Core 0}": 90.0,
        }
    )
    assert found[Quantity.READ] == 15.0
    assert found[Quantity.WRITES] == 3.0
    assert found[Quantity.BUSY] == 0.2
    assert found[Quantity.HEAT] == 61.0


@pytest.mark.parametrize("name", ["dm-0", "md127", "loop3", "ram0", "zram0"])
def test_volumes_that_count_the_same_bytes_again_are_excluded(name: str) -> None:
    assert np.isnan(quantities({DISK.format("io", "read", name): 10.0})).all()


@pytest.mark.parametrize("sensor", ["nvme/Composite", "gpu_thermal/0", "acpitz/0", "iwlwifi_1/0"])
def test_other_temperatures_are_not_those_of_the_processor(sensor: str) -> None:
    assert np.isnan(quantities({f"hw.temperature{{hw.name={sensor}}}": 60.0})).all()


def test_a_quantity_without_a_series_is_unknown_rather_than_zero() -> None:
    assert np.isnan(quantities({"system.network.io{network.interface.name=eth0}": 1.0})).all()


@given(st.dictionaries(st.sampled_from([DISK.format("io", "read", name) for name in "abcdef"]), st.floats(0, 1e9)))
def test_the_order_of_series_changes_nothing(row: dict[str, float]) -> None:
    backwards = dict(reversed(row.items()))
    assert quantities(row) == pytest.approx(quantities(backwards), nan_ok=True)
