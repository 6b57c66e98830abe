"""The fault catalogue: every fault, what the customer would notice, and what staff can do.

Most are reported by a device; those in OBSERVED_BY_CLOUD the cloud finds by itself.
The catalogue is the same on both sides: the device takes the initial severity from it, the console takes the texts.
"""

from edge_agent.protocol.faults.agent import AGENT_FAULTS
from edge_agent.protocol.faults.entry import DetectorKind, Fault, Severity
from edge_agent.protocol.faults.fleet import FLEET_FAULTS
from edge_agent.protocol.faults.hardware import HARDWARE_FAULTS
from edge_agent.protocol.faults.machines import MACHINES_FAULTS
from edge_agent.protocol.faults.resources import RESOURCES_FAULTS
from edge_agent.protocol.faults.services import SERVICES_FAULTS
from edge_agent.protocol.faults.storage import STORAGE_FAULTS

_ENTRIES = (
    *STORAGE_FAULTS,
    *RESOURCES_FAULTS,
    *HARDWARE_FAULTS,
    *SERVICES_FAULTS,
    *MACHINES_FAULTS,
    *AGENT_FAULTS,
    *FLEET_FAULTS,
)

FAULTS: dict[str, Fault] = {entry.code: entry for entry in _ENTRIES}
OBSERVED_BY_CLOUD = frozenset(entry.code for entry in FLEET_FAULTS)

__all__ = ["FAULTS", "OBSERVED_BY_CLOUD", "DetectorKind", "Fault", "Severity"]
