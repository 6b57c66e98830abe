"""Thermal model of a small board: a network of two thermal masses between the chip and the air around it.

    power ─> chip ─ 3 K/W ─> board with its heat sink ─ 2.5 to 9 K/W ─> air, which follows a daily cycle

What flows in: CPU load and elapsed seconds. What flows out: the chip's temperature, and the share of its clock that
the firmware leaves it. Nothing is random here: the same loads give the same temperatures.

The figures are those of a Raspberry Pi 4: it takes 2.7 W idle and 6.4 W under full load (its maker's figures for the
board); a bare one idles some 25 K above the air and reaches 80 Cel within minutes under full load, which needs about
11 K/W in all; its 46 g of board, copper and solder hold some 40 J/K (.9 J/gK), a chip with its lid some 4 J/K. So
the chip follows within a quarter of a minute, the board within five.
"""

import math
from dataclasses import dataclass

DAY_S = 86_400.0
STEP_S = 1.0  # of integration: a tenth of the shortest time constant
SENSOR_STEP = 0.487  # K, of a Pi 4's sensor (kernel dts bcm2711)
SETTLE_S = 3 * 3600.0  # earlier load has no effect: twenty time constants of the board
SLOWED_FROM, SLOWED_MOST = 80.0, 85.0
"""Cel: from the first on the firmware lowers the ARM clock, at the second it is at its lowest (frequency-management
in the Raspberry Pi documentation)."""
LOWEST_CLOCK = 0.4  # 600 of 1500 MHz


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """Turns from `on` Cel of the chip until it is below `off`; it divides the board's resistance to the air."""

    on: float = 60.0
    off: float = 52.0
    divides_by: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooling:
    """One board: power in W, resistances in K/W, capacities in J/K, ambient temperature in Cel."""

    idle_w: float = 1.6  # of the 2.7 W, what the chip itself turns into heat
    busy_w: float = 3.7  # more under full load: 6.4 - 2.7 W
    chip_to_board: float = 3.0
    board_to_air: float = 5.5
    chip_heat: float = 4.0
    board_heat: float = 60.0
    fan: Fan | None = None
    air: float = 22.0
    air_swing: float = 2.0  # K up and down in a day
    warmest_s: float = 15 * 3600.0  # second of the day

    def air_at(self, at_s: float) -> float:
        """Return the temperature of the air."""
        return self.air + self.air_swing * math.cos(2 * math.pi * (at_s - self.warmest_s) / DAY_S)


BARE = Cooling(board_to_air=8.5, board_heat=40.0)
HEAT_SINK = Cooling()
FAN_COOLED = Cooling(fan=Fan())


class Board:
    """The two temperatures of one board, and whether its fan turns."""

    def __init__(self, cooling: Cooling, load: float, at_s: float) -> None:
        """Start in equilibrium at a constant load."""
        self._cooling = cooling
        self.fan_turns = False
        power = cooling.idle_w + cooling.busy_w * load
        self._board = cooling.air_at(at_s) + cooling.board_to_air * power
        self.chip = self._board + cooling.chip_to_board * power

    @property
    def clock(self) -> float:
        """Share of the full clock that the firmware leaves the chip: 1 below 80 Cel, .4 from 85 Cel on."""
        hot = (self.chip - SLOWED_FROM) / (SLOWED_MOST - SLOWED_FROM)
        return 1.0 - (1.0 - LOWEST_CLOCK) * min(1.0, max(0.0, hot))

    def step(
        self, load: float, at_s: float, seconds: float = STEP_S, *, resists: float = 1.0, fan_works: bool = True
    ) -> None:
        """Advance by `seconds` (3 at most) at a load of 0..1; `resists` multiplies the resistance from board to air."""
        cooling = self._cooling
        # the power of switching goes with the clock and the square of a voltage that falls with it
        power = cooling.idle_w + cooling.busy_w * load * self.clock**2
        to_board = (self.chip - self._board) / cooling.chip_to_board
        to_air = (self._board - cooling.air_at(at_s)) / (cooling.board_to_air * resists / self._fan(fan_works))
        self.chip += seconds * (power - to_board) / cooling.chip_heat
        self._board += seconds * (to_board - to_air) / cooling.board_heat

    def _fan(self, works: bool) -> float:
        """Switch the fan, and return the divisor of the resistance."""
        fan = self._cooling.fan
        if fan is None:
            return 1.0
        self.fan_turns = works and self.chip >= (fan.off if self.fan_turns else fan.on)
        return fan.divides_by if self.fan_turns else 1.0
