"""The inventory: customers, sites, and what staff record about each device; typed in, or imported from a CSV file."""

from cloud.inventory.fields import Consent, CustomerEntry, DeviceEntry, SiteEntry
from cloud.inventory.inventory import StaleError, save_customer, save_device, save_site

__all__ = [
    "Consent", "CustomerEntry", "DeviceEntry", "SiteEntry", "StaleError", "save_customer", "save_device", "save_site",
]  # fmt: skip
