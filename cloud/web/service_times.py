"""The service calendars and service levels of the configuration, for the page that shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud.cases.calendars import CalendarTable
from cloud.cases.service_levels import ServiceLevels


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """Calendars by name, and the goals of each severity with the calendar that each counts in."""

    calendars: Mapping[str, CalendarTable] = field(default_factory=dict)
    levels: ServiceLevels = field(default_factory=ServiceLevels)
    office: str = ""  # the calendar of mails
