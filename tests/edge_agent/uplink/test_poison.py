"""Poison detection: a record is quarantined after its own failed sends, not after those of others."""

from edge_agent.uplink.poison import TRIES, PoisonDetector


def test_only_a_records_own_failed_sends_reach_the_limit() -> None:
    poison = PoisonDetector()
    assert not any(poison.strike(5) for _ in range(TRIES - 1))
    assert poison.isolated
    assert not poison.strike(6), "another record is oldest now: its count restarts"
    assert not poison.isolated
    assert [poison.strike(6) for _ in range(TRIES - 1)][-1]
    poison.clear(5)
    assert poison.isolated
    poison.clear(6)
    assert not poison.isolated
