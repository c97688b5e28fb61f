"""A fleet of real schemas on one embedded PostgreSQL: ``python -m benchmarks.fleet`` (``make bench-fleet``).

The database lies beside the other benchmarks' one, for a thousand schemas would weigh on those.
"""

import os

from benchmarks import BUILD

if os.environ["FORECOURT_DATA_DIR"] == str(BUILD / ".data"):
    os.environ["FORECOURT_DATA_DIR"] = str(BUILD / "fleet.data")

TENANTS = 1000
QUICK_TENANTS = 20


def schema_of(number: int) -> str:
    """Name of the schema of that number."""
    return f"fleet_{number:04d}"
