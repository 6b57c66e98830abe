"""Machines beside the device: a pump, a fan, a freezer, each with a few channels read every second.

What flows in: the readings of each second. What flows out: a verdict while a machine behaves unlike its healthy start.
"""

from edge_agent.detection.machine.machine import Machine, MachineSettings
from edge_agent.detection.machine.machines import Machines

__all__ = ["Machine", "MachineSettings", "Machines"]
