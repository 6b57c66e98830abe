"""Rules: the thresholds of all decisions about episodes, cases and problems; a table of the configuration."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_agent.protocol.faults import Severity

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0
Seconds = Annotated[float, Field(ge=0, le=30 * _DAY_S)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When an episode fires and when it resolves."""

    debounce_s: float
    hold_down_s: float
    open_above: float
    resolve_below: float


class FaultRules(BaseModel):
    """The thresholds of one fault; what is left out is as for all faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    debounce_s: Seconds | None = Field(default=None, description="instead of `rules.debounce_s`")
    hold_down_s: Seconds | None = Field(default=None, description="instead of `rules.hold_down_s`")
    open_above: Share | None = Field(default=None, description="instead of `rules.open_above`")
    resolve_below: Share | None = Field(default=None, description="instead of `rules.resolve_below`")


class Rules(BaseModel):
    """The thresholds of all decisions about episodes and cases; a table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    critical_within_s: Seconds = Field(
        default=15 * _MINUTE_S, description="below this time to impact the severity is critical: act now"
    )
    high_within_s: Seconds = Field(
        default=4 * _HOUR_S, description="below this time to impact it is high: act within this shift"
    )
    warning_within_s: Seconds = Field(
        default=_DAY_S, description="below this time to impact it is a warning: act before this time tomorrow"
    )
    debounce_s: Seconds = Field(default=5.0, description="a finding that lasts less than this opens no case")
    hold_down_s: Seconds = Field(
        default=5 * _MINUTE_S, description="a cleared finding is resolved when it has not recurred for this long"
    )
    reopen_window_s: Seconds = Field(
        default=_DAY_S, description="a fault that recurs within this time reopens its case"
    )
    open_above: Share = Field(default=0.0, description="a finding of less confidence opens no case; critical ones do")
    resolve_below: Share = Field(
        default=0.0, description="a finding whose confidence falls below this counts as cleared; critical ones do not"
    )
    problem_devices: int = Field(
        default=3, ge=2, le=1000, description="so many devices with the same fault and something in common: one problem"
    )
    problem_window_s: Seconds = Field(
        default=_HOUR_S, description="cases join a problem while it had another case within this time"
    )
    faults: dict[str, FaultRules] = Field(default={}, description='thresholds by fault, as [rules.faults."CODE"]')

    @model_validator(mode="after")
    def _hysteresis(self) -> "Rules":
        for fault in ("", *self.faults):
            if self.thresholds(fault).resolve_below > self.thresholds(fault).open_above:
                raise ValueError(f"resolve_below is above open_above{f' for {fault}' if fault else ''}; lower it")
        return self

    def thresholds(self, fault: str) -> Thresholds:
        """Return what holds for this fault."""
        return self._thresholds.get(fault) or self._thresholds[""]

    @cached_property
    def _thresholds(self) -> dict[str, Thresholds]:
        own = {"": FaultRules()} | self.faults
        given = {fault: rules.model_dump(exclude_none=True) for fault, rules in own.items()}
        names = FaultRules.model_fields
        return {
            fault: Thresholds(**{name: values.get(name, getattr(self, name)) for name in names})
            for fault, values in given.items()
        }

    def limits(self) -> tuple[tuple[Severity, float], ...]:
        """Below how many seconds to impact a severity begins, most urgent first."""
        return (
            (Severity.CRITICAL, self.critical_within_s),
            (Severity.HIGH, self.high_within_s),
            (Severity.WARNING, self.warning_within_s),
        )
