"""MQTT topics of the wire, version 1: build them, and read the device and the channel back out of them."""

import re
from enum import StrEnum
from typing import NamedTuple

ROOT = "forewarn/v1"
DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Lane(StrEnum):
    """A numbered stream of records that is acknowledged end to end."""

    FINDINGS = "findings"  # findings, evidence packs, command results, declared losses; JSON
    TELEMETRY = "telemetry"  # batches of samples or aggregates; CBOR, columnar, deflated


class Channel(StrEnum):
    """The last level of a topic: what is said there."""

    FINDINGS = "findings"  # up: the findings lane
    TELEMETRY = "telemetry"  # up: the telemetry lane
    PRESENCE = "presence"  # up, retained, also the last will: is the device there, and in which version
    ACK = "ack"  # down: up to which number all records of a lane are stored
    EXPECTED = "expected"  # down, retained: trends that staff closed as expected on this device
    CONFIG = "config"  # down, retained: the configuration the device shall have
    COMMANDS = "commands"  # down: one command with its expiry


class Address(NamedTuple):
    """What a topic names."""

    device: str
    channel: Channel


def topic(device: str, channel: Channel | Lane) -> str:
    """Return the topic of a device's channel, for instance ``forewarn/v1/pump-07/findings``."""
    return f"{ROOT}/{check_device_id(device)}/{channel}"


def subscription(channel: Channel) -> str:
    """Return the filter that matches a channel of every device."""
    return f"{ROOT}/+/{channel}"


def parse(text: str) -> Address:
    """Read a topic back. Raises ValueError that says what is wrong with it."""
    head, _, tail = text.removeprefix(ROOT + "/").partition("/")
    if not text.startswith(ROOT + "/") or tail not in set(Channel):
        raise ValueError(f"topic {text!r} is not {ROOT}/<device>/<{'|'.join(Channel)}>")
    return Address(check_device_id(head), Channel(tail))


def check_device_id(device: str) -> str:
    """Return the id unchanged, or raise ValueError: ids are certificate names and MQTT topic levels at once."""
    if not DEVICE_ID.fullmatch(device):
        raise ValueError(f"device id {device!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
    return device
