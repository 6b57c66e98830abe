"""What was dropped is said: at once, then once a minute, with whose it was."""

from cloud.ingest.counters import REPORT_EVERY_S, Counters, DropReason


def test_a_drop_is_logged_at_once_and_then_once_a_minute_with_the_worst_devices() -> None:
    counters = Counters()
    assert counters.report(0.0) == []
    counters.drop("loud", DropReason.TOO_FAST)
    assert counters.report(0.0) == ["1 of 1 devices: device_too_fast; most of them of loud (1)"]
    for number in range(9):
        counters.drop(f"pump-{number}", DropReason.FULL)
        counters.drop("loud", DropReason.FULL)
    assert counters.report(REPORT_EVERY_S - 1) == []
    (line,) = counters.report(REPORT_EVERY_S)
    assert line.startswith("18 of 10 devices: queue_full; most of them of loud (9), pump-0 (1)")
    assert counters.report(2 * REPORT_EVERY_S) == []
    assert counters.dropped == {DropReason.TOO_FAST: 1, DropReason.FULL: 18}
