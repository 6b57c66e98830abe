"""Store-and-forward: records are on disk before they count as accepted, and are deleted once the cloud has them."""

from edge_agent.outbox.memory_fallback import open_outbox
from edge_agent.outbox.outbox import Outbox

__all__ = ["Outbox", "open_outbox"]
