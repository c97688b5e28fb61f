"""The demo tenants' source files, derived from real grocery sales, and their contracts."""

from pathlib import Path

CONTRACTS = Path(__file__).parent / "contracts"
