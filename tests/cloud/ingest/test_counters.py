"""What was dropped is said: at once, then once a minute, with whose it was."""

from cloud.ingest.counters import REPORT_EVERY_S, Dropped, Tally


def test_a_drop_is_said_at_once_and_then_once_a_minute_and_the_worst_are_named() -> None:
    tally = Tally()
    assert tally.report(0.0) == []
    tally.drop("loud", Dropped.TOO_FAST)
    assert tally.report(0.0) == ["1 of 1 devices: device_too_fast; most of them of loud (1)"]
    for number in range(9):
        tally.drop(f"pump-{number}", Dropped.FULL)
        tally.drop("loud", Dropped.FULL)
    assert tally.report(REPORT_EVERY_S - 1) == []
    (line,) = tally.report(REPORT_EVERY_S)
    assert line.startswith("18 of 10 devices: queue_full; most of them of loud (9), pump-0 (1)")
    assert tally.report(2 * REPORT_EVERY_S) == []
    assert tally.dropped == {Dropped.TOO_FAST: 1, Dropped.FULL: 18}
