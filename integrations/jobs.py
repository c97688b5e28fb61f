"""Bodies of the background jobs of integrations."""

from __future__ import annotations

from typing import Any

from ledger.context import RunContext
from ledger.jobs import job


@job("integrations.ingest", title="Load sales files", max_attempts=3)
def ingest(ctx: RunContext) -> dict[str, Any]:
    """Read the named files under the named contract and load them as one batch."""
    from integrations.services.onboarding import perform  # reads files with pyarrow, which a web process never needs

    return perform(ctx=ctx)


@job("integrations.check", title="Check a sample", max_attempts=3)
def check(ctx: RunContext) -> dict[str, Any]:
    """Read an onboarding's sample as a load would, and keep what was found; nothing is loaded."""
    from integrations.services.drafts_check import perform_check

    return perform_check(ctx=ctx)
