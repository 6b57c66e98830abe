"""Ingest: MQTT messages of all devices are committed in transactions and acknowledged."""

from cloud.ingest.batch_writer import BatchWriter
from cloud.ingest.counters import Counters, DropReason
from cloud.ingest.embedded_broker import embedded_broker
from cloud.ingest.expected_publisher import ExpectedPublisher
from cloud.ingest.fair_queue import Limits
from cloud.ingest.health import IngestHealth
from cloud.ingest.mqtt_session import BrokerAddress
from cloud.ingest.worker import IngestWorker

__all__ = [
    "BatchWriter",
    "BrokerAddress",
    "Counters",
    "DropReason",
    "ExpectedPublisher",
    "IngestHealth",
    "IngestWorker",
    "Limits",
    "embedded_broker",
]
