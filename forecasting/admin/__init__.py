"""Admin of series, models, forecasts, accuracy, gates and approvals."""

from forecasting.admin import (
    approvals,
    chains,
    decisions,
    drill,
    policy,
    records,
    registry,
    replay,
    replay_decisions,
    series,
    shadow,
    strategy,
    totals,
)

__all__ = [
    "approvals", "chains", "decisions", "drill", "policy", "records", "registry", "replay", "replay_decisions",
    "series", "shadow", "strategy", "totals",
]  # fmt: skip
