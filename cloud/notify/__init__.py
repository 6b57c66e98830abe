"""Notify: mails about cases and problems.

What flows in: each change of a case, in its transaction. What flows out: rows of the table `notification`, and later
the mails that they stand for, with their outcome.
"""

from cloud.notify.follower import NotificationFollower as NotificationFollower
from cloud.notify.sender import Sender as Sender
from cloud.notify.settings import NotifyTable as NotifyTable
from cloud.notify.smtp import MailServer as MailServer
