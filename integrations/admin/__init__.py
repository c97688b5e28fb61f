"""Admin of sources, contracts, batches, onboardings and API tokens."""

from integrations.admin import batches, onboarding, sources, tokens

__all__ = ["batches", "onboarding", "sources", "tokens"]
