"""What holds for every test: no time limits on examples, and the longest tests first.

With pytest-xdist each worker takes the next tests in their order, so a long journey that begins last would leave the
other worker idle.
"""

import pytest
from hypothesis import settings

# Tests share the machine with each other and with whatever else it runs: an example may take its time.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run journeys first: they take the longest and wait the most."""
    items.sort(key=lambda item: item.get_closest_marker("journey") is None)
