"""Every fault has an article that can be worked with."""

import pytest

from cloud.knowledge import shipped_article
from edge_agent.protocol.faults import FAULTS


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_complete_article(fault: str) -> None:
    article = shipped_article(fault)
    assert article is not None
    assert len(article.what) > 80
    assert len(article.confirm.splitlines()) >= 2
    assert article.steps.splitlines() == list(FAULTS[fault].advice)
    assert len(article.tell) > 60


def test_no_two_faults_share_a_text() -> None:
    texts = [text for fault in FAULTS if (found := shipped_article(fault)) for text in (found.what, found.tell)]
    assert len(set(texts)) == len(texts)


def test_a_fault_of_a_newer_device_has_no_article() -> None:
    assert shipped_article("reactor.melting") is None
