"""The words both sides speak: topics, records, telemetry batches, the fault catalogue and the metric names.

What flows in: values of the agent or bytes of the broker. What flows out: bytes, or values that have been checked.
This package knows no socket, clock or database; the cloud and the simulator know the device only through it.
"""

PROTOCOL_VERSION = 1
