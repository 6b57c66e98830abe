"""A signal takes effect where the run sleeps, once."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.interrupt import SIGNALS, Interrupt, InterruptedRunError


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    """It handles signals during a test only."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    installed = Interrupt()
    installed.install()
    yield installed
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_next_sleep_and_no_later_one(interrupt: Interrupt, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    with pytest.raises(InterruptedRunError, match=number.name):
        interrupt.sleep(60.0)
    interrupt.sleep(0.0)


def test_without_a_signal_it_only_sleeps(interrupt: Interrupt) -> None:
    interrupt.sleep(0.01)
