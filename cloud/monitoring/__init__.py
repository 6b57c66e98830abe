"""Monitoring: what the cloud itself observes becomes findings, and goes through the case service like those of devices.

What flows in: the rows of devices and dead letters, the state of the ingest, and the passing of time. What flows out:
findings of the faults `device.absent`, `device.stalled`, `ingest.dead_letters` and `ingest.stopped`.
"""

from cloud.monitoring.monitor import LOOK_EVERY_S as LOOK_EVERY_S
from cloud.monitoring.monitor import Monitor as Monitor
