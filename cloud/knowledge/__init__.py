"""Knowledge: an article for each fault (what it is, how to confirm it, what to do, what to tell the customer)."""

from cloud.knowledge.articles import Article, shipped_article

__all__ = ["Article", "shipped_article"]
