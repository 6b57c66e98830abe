"""Bulk actions: one change of many cases, made for all of them or for none.

What flows in: the numbers of cases and what is to be done. What flows out: the changed cases, or Refused with each case
that stands against it.
"""

from collections.abc import Awaitable, Callable, Sequence

from cloud.cases.cases import Refused

MOST_CASES = 200  # in one change
_MOST_NAMED = 3  # refusals in the sentence; the first ones show what is wrong


async def for_all(numbers: Sequence[int], change: Callable[[int], Awaitable[None]]) -> None:
    """Apply a change to each case. Raises Refused or LookupError; the caller's transaction is then rolled back."""
    if not numbers:
        raise Refused("No case is selected. Select one or more rows first.")
    if len(numbers) > MOST_CASES:
        raise Refused(f"{len(numbers)} cases are selected. Change at most {MOST_CASES} at once.")
    refusals = []
    for number in numbers:
        try:
            await change(number)
        except Refused as refusal:
            refusals.append(str(refusal))
    if refusals:
        further = len(refusals) - _MOST_NAMED
        named = " ".join(refusals[:_MOST_NAMED]) + (f" And {further} more." if further > 0 else "")
        raise Refused(f"No case was changed. {named}" if len(numbers) > 1 else named)
