"""Admin of the ledger, on both sites."""

from ledger.admin import audit, runs

__all__ = ["audit", "runs"]
