"""Self faults: verdicts of the agent about itself, which the pipeline turns into findings.

What flows in: a store that was damaged, budgets that are exceeded. What flows out: verdicts of this moment.
"""

from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.outbox.database import Damage
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import feature_unit, metric_of
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import quantity
from edge_agent.resource_budget import CPU, DegradationLevel, Excess, Limits

DAMAGE_REPORTED_S = 600.0  # a store is damaged once; its finding stays open for this long

_EFFECT = {
    DegradationLevel.SLOW_SAMPLING: "it samples at a quarter of its rate",
    DegradationLevel.SPARSE_TELEMETRY: "it samples at a quarter of its rate, and sends aggregates less often",
    DegradationLevel.FINDINGS_ONLY: "it samples at a quarter of its rate, and sends findings only",
}


def own_verdicts(limits: Limits, damage: tuple[Damage, float] | None, now: Instant) -> list[Verdict]:
    """Return the verdicts of this moment. `damage` is the last damaged store and the uptime when it was found."""
    verdicts = [over_budget(excess, limits.level) for excess in limits.excesses]
    if damage and now.uptime_s - damage[1] < DAMAGE_REPORTED_S:
        verdicts.append(store_damaged(damage[0]))
    return verdicts


def store_damaged(damage: Damage) -> Verdict:
    """Return the verdict on a damaged store. It names the file without its folder, which is private."""
    reason = f"the store can't be used ({damage.reason:.200}); it is kept as {damage.kept_as.name}, a new one is used"
    return Verdict(
        fault="agent.store_damaged", component="outbox", confidence=1.0, reason=reason, basis=Basis(evaluated=())
    )


def over_budget(excess: Excess, level: DegradationLevel) -> Verdict:
    """Return the verdict on an exceeded budget: by how much, and what the agent omits because of it."""
    unit = metric_of(excess.series).unit
    per = "over 10 min" if excess.series == CPU else "in 24 h" if excess.name in ("sent", "written") else "now"
    used, budget = quantity(excess.used, unit), quantity(excess.budget, unit)
    carrier = Carrier(
        metric=excess.series, value=excess.used, unit=feature_unit(excess.series), expected_high=excess.budget, share=1
    )
    return Verdict(
        fault="agent.over_budget",
        component=excess.name,
        confidence=1.0,
        reason=f"{excess.name}: {used} {per}, the budget is {budget}; {_EFFECT[level]}",
        basis=Basis(evaluated=(excess.series,)),
        carriers=(carrier,),
    )
