"""Admin of sources, connections, contracts, deliveries, rows, changed columns, incidents, tokens and webhooks."""

from integrations.admin import (
    batches,
    connections,
    contracts,
    deliveries,
    drift,
    incidents,
    onboarding,
    rejected,
    sources,
    tokens,
    webhooks,
)

__all__ = [
    "batches",
    "connections",
    "contracts",
    "deliveries",
    "drift",
    "incidents",
    "onboarding",
    "rejected",
    "sources",
    "tokens",
    "webhooks",
]
