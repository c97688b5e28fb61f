"""Admin of sources, their connections, contracts, deliveries, rows, changed columns, incidents and API tokens."""

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
]
