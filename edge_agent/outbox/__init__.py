"""Store-and-forward: records are on disk before they count as accepted, and leave when the cloud has committed them."""
