"""Service levels: keeps the clocks of cases, and notes goals that are missed.

What flows in: each change of a case, in its transaction, and the passing of time. What flows out: rows of `case_clock`,
and lines of the case's timeline.
"""

from cloud.service_levels.clock_keeper import ClockKeeper as ClockKeeper
from cloud.service_levels.clock_keeper import clocks_of as clocks_of
