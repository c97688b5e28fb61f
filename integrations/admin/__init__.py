"""Admin of sources, contracts, batches, onboardings and API tokens."""

from integrations.admin import batches, contracts, onboarding, sources, tokens

__all__ = ["batches", "contracts", "onboarding", "sources", "tokens"]
