"""Up to which number all is there, whatever came in which order."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.store.streams import StreamProgress

SPANS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)).map(lambda span: (span[0], span[0] + span[1])))


@given(known=st.integers(0, 5), arrivals=st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.integers(0, 8))))
def test_it_is_the_last_number_before_the_first_that_is_missing(
    known: int, arrivals: list[tuple[bool, int, int]]
) -> None:
    progress, there = StreamProgress(known), {*range(known + 1)}
    for is_lost, first, more in arrivals:
        last = first + more if is_lost else first
        there |= {*range(first, last + 1)}
        if is_lost and last > progress.up_to:
            progress.lose(max(first, progress.up_to + 1), last)
        elif not is_lost and not progress.holds(first):
            progress.add(first)
        assert progress.up_to == next(seq for seq in range(100) if seq not in there) - 1
        assert all(seq > progress.up_to for seq in progress.seqs)


@given(SPANS)
def test_what_is_lost_is_kept_in_as_few_spans_as_it_can_be(spans: list[tuple[int, int]]) -> None:
    progress, lost = StreamProgress(-1), set[int]()  # number 0 is missing for ever
    for first, last in spans:
        numbers = set(range(first, last + 1))
        assert progress.lose(first, last) == (not numbers <= lost)
        lost |= numbers
    assert {seq for first, last in progress.spans for seq in range(first, last + 1)} == lost
    assert all(later[0] > earlier[1] + 1 for earlier, later in zip(progress.spans, progress.spans[1:], strict=False))
