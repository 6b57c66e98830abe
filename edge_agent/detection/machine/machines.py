"""All machines of a device.

What flows in: the features of each sample. What flows out: a verdict for each machine whose alarm is open.
"""

from collections.abc import Iterable, Mapping

from edge_agent.detection.machine.machine import Machine
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.records import Finding

VERSION = "machine-1"


class Machines:
    """The machines of one device, by name."""

    def __init__(self, machines: Iterable[Machine] = ()) -> None:
        self._machines = {machine.settings.name: machine for machine in machines}
        self.series = frozenset(
            series for machine in self._machines.values() for series in machine.settings.channels.values()
        )

    def step(self, features: Mapping[str, float], now_s: float) -> list[Verdict]:
        """Judge one sample; return the verdicts of the machines whose alarm is open."""
        verdicts = (machine.step(features, now_s) for machine in self._machines.values())
        return [verdict for verdict in verdicts if verdict]

    def take_remarks(self) -> list[str]:
        """Return the lines for the log since the last call."""
        return [remark for machine in self._machines.values() for remark in machine.take_remarks()]

    def reset(self, name: str) -> bool:
        """Let a machine learn anew; return whether there is one of this name."""
        machine = self._machines.get(name)
        if machine:
            machine.reset()
        return machine is not None

    def resume(self, finding: Finding) -> None:
        """Continue a finding that was open when the agent stopped."""
        if machine := self._machines.get(finding.component):
            machine.resume(finding)

    @property
    def must_save(self) -> bool:
        """Whether a machine ended its healthy start, or was reset, since the state was saved."""
        return any(machine.must_save for machine in self._machines.values())

    def mark_saved(self) -> None:
        """Note that the state of every machine was saved."""
        for machine in self._machines.values():
            machine.must_save = False

    def export_state(self) -> dict[str, object]:
        """Return the learned state of every machine, fit for JSON."""
        return {name: machine.export_state() for name, machine in self._machines.items()}

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore the machines that are still configured. Raises ValueError naming those that learn anew."""
        unusable = []
        for name, machine in self._machines.items():
            try:
                if part := state.get(name, {}):
                    machine.restore_state(_mapping(part))
            except ValueError as error:
                unusable.append(f"machine {name}: {error}; it learns anew")
        if unusable:
            raise ValueError("; ".join(unusable))


def _mapping(part: object) -> Mapping[str, object]:
    if not isinstance(part, dict):
        raise ValueError("state is no mapping")
    return part
