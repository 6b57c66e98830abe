"""The wire protocol shared by device and cloud: topics, records, telemetry, faults, metrics.

What flows in: values of the agent or bytes of the broker. What flows out: bytes, or values that have been checked.
This package uses no socket, clock or database. The cloud and the simulator depend on the device only through it.
"""

PROTOCOL_VERSION = 1
