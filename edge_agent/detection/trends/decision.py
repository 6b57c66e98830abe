"""Decision: does a trend open a case, or is it a note? One rule, from the probability that it comes true and the time
that is left.

A false case costs staff a look; a fault without a case costs its users MISSED_COST times that. While much time is
left, waiting costs little: the next look is better informed, and the case still comes in time. So a case needs a trend
that is likely. The closer the impact, the less a later look can help; with less than ACT_S left, opening at once is
cheaper than waiting as soon as probability * MISSED_COST > 1 - probability. See docs/adr/0014.
"""

import math

LIKELY = 0.45  # with much time left: about as likely as not. With 0.5 half of the cases open a tenth of the way later
MISSED_COST = 3.0  # of a fault without a case, in false cases
URGENT = 1 / (1 + MISSED_COST)  # with less than ACT_S left
ACT_S = 300.0  # what staff and the user need at the least to prevent the impact
CALM_S = 3600.0  # from here on there is time for another look


def bar(left_s: float) -> float:
    """Return the least probability that opens a case with `left_s` seconds left."""
    share = math.log(max(left_s, ACT_S) / ACT_S) / math.log(CALM_S / ACT_S)
    return URGENT + (LIKELY - URGENT) * min(1.0, share)


def opens_case(probability: float, left_s: float) -> bool:
    """Return whether a trend opens a case; otherwise it is a note."""
    return probability >= bar(left_s)
