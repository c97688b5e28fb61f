"""Admin of sources, contracts, batches and API tokens."""

from integrations.admin import batches, sources, tokens

__all__ = ["batches", "sources", "tokens"]
