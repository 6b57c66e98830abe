"""What staff record, and the rules for each field. Pure.

What flows in: texts as a person or a file gives them. What flows out: clean entries, or one problem for each field that
names the value and the remedy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_agent.protocol.topics import check_device_id

_TAG = re.compile(r"[\w.:-]{1,40}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SHOWN = 60  # characters of a wrong value that a message repeats

Problems = dict[str, str]  # by field


class Consent(StrEnum):
    """What the customer has agreed to."""

    UNKNOWN = "unknown"  # nobody has asked
    NONE = "none"  # nothing may be sent: the device should not report
    FINDINGS = "findings"  # findings with their evidence
    TELEMETRY = "telemetry"  # telemetry too
    TRAINING = "training"  # and its use to train detectors


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry:
    """What staff record about a device."""

    device: str
    customer: str = ""
    site: str = ""
    owner: str = ""
    tags: str = ""  # separated by spaces, in order
    consent: Consent = Consent.UNKNOWN
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerEntry:
    """What staff record about a customer."""

    name: str
    contact: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEntry:
    """What staff record about a site."""

    customer: str
    name: str
    address: str = ""
    zone: str = ""
    note: str = ""


LONGEST = {"customer": 200, "site": 200, "name": 200, "owner": 200, "contact": 400, "address": 400, "note": 2000}
TAGS_LONGEST = 380


class Invalid(ValueError):  # noqa: N818  it is an answer to a person, not a failure
    """Some fields are wrong; `problems` has a sentence for each."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


def read_device(given: Mapping[str, str]) -> DeviceEntry:
    """Return a device's entry. Raises Invalid."""
    values, problems = _texts(given, ("customer", "site", "owner", "note"))
    values["device"] = given.get("device", "").strip()
    try:
        check_device_id(values["device"])
    except ValueError:
        problems["device"] = (
            f"Device “{values['device'][:SHOWN]}” is no device name. Use 1 to 64 of the characters A-Z a-z 0-9 _ -"
        )
    values["tags"] = _tags(given.get("tags", ""), problems)
    consent = given.get("consent", "").strip().lower() or Consent.UNKNOWN
    if consent not in set(Consent):
        problems["consent"] = f"Consent “{consent[:SHOWN]}” is not known. Use one of: {', '.join(Consent)}."
    if values["site"] and not values["customer"]:
        problems["customer"] = f"Site “{values['site'][:SHOWN]}” has no customer. Name the customer too."
    if problems:
        raise Invalid(problems)
    fields: dict[str, Any] = {**values, "consent": Consent(consent)}
    return DeviceEntry(**fields)


def read_customer(given: Mapping[str, str]) -> CustomerEntry:
    """Return a customer's entry. Raises Invalid."""
    values, problems = _texts(given, ("name", "contact", "note"))
    if not values["name"]:
        problems["name"] = "The name is empty. Enter the customer's name."
    if problems:
        raise Invalid(problems)
    return CustomerEntry(**values)


def read_site(given: Mapping[str, str]) -> SiteEntry:
    """Return a site's entry. Raises Invalid."""
    values, problems = _texts(given, ("customer", "name", "address", "note"))
    for field, what in (("name", "the site's name"), ("customer", "the customer's name")):
        if not values[field]:
            problems[field] = f"The {field} is empty. Enter {what}."
    values["zone"] = given.get("zone", "").strip()
    if values["zone"] and not _is_zone(values["zone"]):
        remedy = "Use an IANA name such as Europe/Berlin, or leave it empty."
        problems["zone"] = f"Time zone “{values['zone'][:SHOWN]}” is not known. {remedy}"
    if problems:
        raise Invalid(problems)
    return SiteEntry(**values)


def _texts(given: Mapping[str, str], names: tuple[str, ...]) -> tuple[dict[str, str], Problems]:
    values, problems = {}, {}
    for name in names:
        text = given.get(name, "").replace("\r\n", "\n").strip()
        if len(text) > LONGEST[name]:
            remedy = f"is {len(text)} characters long. Use at most {LONGEST[name]}."
            problems[name] = f"{name.capitalize()} “{text[:SHOWN]}…” {remedy}"
        elif _CONTROL.search(text) or (name != "note" and "\n" in text):
            problems[name] = f"{name.capitalize()} has a control character. Remove it."
        values[name] = text
    return values, problems


def _tags(text: str, problems: Problems) -> str:
    tags = sorted({tag.lower() for tag in re.split(r"[\s,;]+", text) if tag})
    wrong = next((tag for tag in tags if not _TAG.fullmatch(tag)), None)
    joined = " ".join(tags)
    if wrong is not None:
        problems["tags"] = f"Tag “{wrong[:SHOWN]}” cannot be used. Use 1 to 40 letters, digits or . : _ -"
    elif len(joined) > TAGS_LONGEST:
        problems["tags"] = f"The tags are {len(joined)} characters long. Use at most {TAGS_LONGEST}."
    return joined


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
