"""What each figure of a gate policy is called on the pages, and what it means."""

from __future__ import annotations

from ledger.templatetags.forecourt import words

LABELS: dict[str, tuple[str, str]] = {
    "refresh_mode": ("Refreshes", "Automatic: what the guard passes serves by itself. Review: a person decides."),
    "request_valid_days": ("Days until a request lapses", "A request that nobody decides lapses after this many days."),
    "min_origins": ("Forecast origins, at least", "How many starting days inside the holdout are judged."),
    "min_series_origins": ("Series × origins, at least", ""),
    "min_holdout_days": ("Days of the holdout, at least", ""),
    "holdout_access_budget": ("Openings of the holdout without a reason", ""),
    "free_candidates_per_holdout": (
        "Candidates on the same days before more certainty is asked for",
        "The best of many looks good by luck. Beyond this number, the doubt let pass is shared: 0.80 becomes 0.90 for "
        "twice as many, 0.95 for four times.",
    ),
    "max_candidates_per_holdout": (
        "Candidates judged on the same days, at most",
        "One more is blocked until newer days are in. The same: holdouts that share at least half of their days.",
    ),
    "min_fva": ("Value over seasonal naive, above", "0.05 means: an error at least 5% smaller than naive’s."),
    "max_wape_ratio": ("Error (WAPE) against the champion, at most", "1.02 means: up to 2% larger is let pass."),
    "max_wrmsse_ratio": ("wRMSSE against the champion, at most", "1.02 means: up to 2% larger is let pass."),
    "bias_tolerance": ("Further bias, at most", "0.01 means: one point more to one side."),
    "coverage80_target": ("Share inside the 80% band, aim", ""),
    "coverage80_tolerance": ("Distance from that aim, at most", "0.05 means: 75% to 85%."),
    "max_winkler_ratio": ("Width of the band (Winkler 80) against the champion, at most", ""),
    "stockout_rate_tolerance": ("More orders that fall short, at most", "0.005 means: half a point."),
    "overstock_rate_tolerance": ("Larger share ordered too much, at most", "0.005 means: half a point."),
    "max_cost_ratio": ("Each cost against the champion’s, at most", "1.005 means: up to half a percent more."),
    "max_total_cost_ratio": ("Total cost against the champion’s, at most", "0.99 means: at least 1% lower."),
    "max_total_cost_ratio_with_fewer_stockouts": ("The same, where fewer orders fall short", ""),
    "min_p_lower": ("Chance that cost is lower, at least", "Share of the resamples, 0.5 to 1."),
    "max_upper95_change": ("95% upper bound of the cost’s change, at most", "0.01 means: +1%."),
    "bootstrap_resamples": ("Resamples", ""),
    "bootstrap_seed": ("Seed of the resamples", "The same seed gives the same answer."),
    "max_slo_critical": ("Critical service levels, at most", ""),
    "max_open_sev1": ("Open incidents of severity 1, at most", ""),
    "min_readiness": ("Readiness of the tenant, at least", ""),
    "lead_time_days": ("Lead time, days", "From an order to its delivery."),
    "review_period_days": ("Days between orders", ""),
    "default_margin_rate": ("Margin where no cost is given", "Share of the price, such as 0.3."),
    "default_holding_rate": ("Cost of stock left over", "Share of the unit cost, per order."),
    "max_backtest_wape_ratio": (
        "Backtest error against the champion’s, at most",
        "1.05 means: up to 5% larger; against the fit that a person approved last, too, so that it does not add up.",
    ),
    "max_realised_wape_ratio": (
        "Realised error against the champion’s backtest, at most",
        "1.10 means: up to 10% larger, against the fit approved last, too.",
    ),
    "realised_days": ("Days of realised demand looked at", ""),
    "min_realised_days": ("Days of realised demand needed, at least", ""),
    "max_candidates": ("Candidates in the shadow, at most", "The newest ones. Challengers always are."),
    "weeks": ("Weeks in the shadow that are compared", "Windows that began before are kept as they are."),
    "watched_days": ("Days of service looked at", ""),
    "min_watched_days": ("Days of actuals needed, at least", "One gone wholly astray is called after the first."),
    "min_watched_rows": ("Series-days needed, at least", ""),
    "max_regression_ratio": ("Error against what was promised, at most", "Also beside naive on the same days."),
    "gone_ratio": ("Beyond this many times it is severe", "Then one day of actuals is enough to call it."),
    "min_history_days": ("Days of history, at least", ""),
    "min_stores": ("Stores, at least", ""),
    "min_products": ("Products, at least", ""),
    "min_accuracy_samples": ("Accuracy samples, at least", ""),
}  # fmt: skip


def label_of(name: str) -> str:
    """The figure's name for people; its key as words where it is new here."""
    return LABELS[name][0] if name in LABELS else words(name)


def help_of(name: str) -> str:
    """What the figure means, where its name does not say it."""
    return LABELS[name][1] if name in LABELS else ""
