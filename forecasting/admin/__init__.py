"""Admin of series, models, forecasts, accuracy, gates and approvals."""

from forecasting.admin import approvals, policy, records, registry, series, strategy

__all__ = ["approvals", "policy", "records", "registry", "series", "strategy"]
