"""The part of the agent's configuration that describes machines beside the device: the `[[machines]]` tables.

What flows in: TOML tables. What flows out: checked MachineTables; a mistake names key, value and remedy.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge_agent.detection.machine.machine import DEFAULT_START_S, SHORTEST_START_S

ChannelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class MachineTable(BaseModel):
    """A machine beside the device: a pump, a fan, a freezer. Each `[[machines]]` is one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,63}$",
        description="name in cases: 1 to 64 letters, digits, spaces, - and _, beginning with a letter or digit",
    )
    channels: dict[ChannelName, str] = Field(
        min_length=1,
        max_length=32,
        description='what each channel is called and its series, as in { flow = "pump.flow" }. An artifact needs the '
        "names that it was trained on. Temperatures are too slow to belong here",
    )
    artifact: str = Field(
        default="",
        description='folder of a network that was trained on labelled recordings, or a shipped one\'s name ("pump-1"). '
        "Empty: statistics only",
    )
    readings: str = Field(
        default="",
        description="file that another program writes every second, a line `SERIES VALUE` for each channel. Empty: "
        "the series come from the agent's own collectors",
    )
    start_s: Annotated[int, Field(ge=SHORTEST_START_S, le=20_000)] = Field(
        default=DEFAULT_START_S,
        description="seconds of the healthy start, which the machine is compared with; a short one gives false alarms",
    )

    @field_validator("channels")
    @classmethod
    def _no_series_twice(cls, value: dict[str, str]) -> dict[str, str]:
        if len(set(value.values())) < len(value):
            raise ValueError("must name each series once")
        return value


def check_machine_names(names: list[str]) -> None:
    """Raise ValueError if two machines have the same name."""
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two machines are named {twice!r}; rename one")
