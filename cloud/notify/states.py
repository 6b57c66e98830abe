"""The states of a notification, and when a failed attempt is repeated. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum

FIRST_RETRY_S, LONGEST_RETRY_S = 30.0, 3600.0
GIVE_UP_AFTER = timedelta(days=3)  # from its creation
LEASE = timedelta(minutes=5)  # a mail that is being sent for longer was interrupted, and is sent again


class NotificationState(StrEnum):
    """The state of a notification."""

    PENDING = "pending"  # waits for its time, or for the next attempt
    SENDING = "sending"  # claimed by the sender
    SENT = "sent"  # the mail server has accepted it
    FAILED = "failed"  # it was refused for good, or for too long
    GROUPED = "grouped"  # another mail covers it


def next_attempt(attempts: int, created_at: datetime, now: datetime) -> datetime | None:
    """Return when a mail is tried again after so many attempts that failed for a while; None: no more."""
    if now - created_at >= GIVE_UP_AFTER:
        return None
    return now + timedelta(seconds=min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20)))
