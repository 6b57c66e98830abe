"""Up to which number all is there, whatever came in which order."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.store.deliveries import contiguous


@given(
    known=st.integers(0, 5),
    seqs=st.lists(st.integers(1, 30)),
    spans=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)).map(lambda span: (span[0], span[0] + span[1]))),
)
def test_it_is_the_last_number_before_the_first_that_is_missing(
    known: int, seqs: list[int], spans: list[tuple[int, int]]
) -> None:
    there = {*range(known + 1), *seqs, *(seq for first, last in spans for seq in range(first, last + 1))}
    first_missing = next(seq for seq in range(100) if seq not in there)
    assert contiguous(known, seqs, spans) == first_missing - 1
