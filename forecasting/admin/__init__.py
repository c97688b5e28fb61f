"""Admin of series, models, forecasts, accuracy, gates and approvals."""

from forecasting.admin import approvals, chains, drill, policy, records, registry, series, shadow, strategy, totals

__all__ = ["approvals", "chains", "drill", "policy", "records", "registry", "series", "shadow", "strategy", "totals"]
