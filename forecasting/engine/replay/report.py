"""A replay's outcome as Markdown: the same outcome gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecasting.engine.replay.lanes import GOVERNED

_COLUMNS = (
    ("service_level", "service level", "share"),
    ("lost_sales_qty", "lost units", "number"),
    ("short_days", "series-{step}s short", "number"),
    ("mean_stock", "mean stock", "decimal"),
    ("cost_stockout", "cost of stockouts", "number"),
    ("cost_overstock", "cost of stock", "number"),
    ("total_cost", "total cost", "number"),
    ("wape", "WAPE", "share"),
    ("promotions", "promotions", "number"),
)
_LIMITS = {
    "mape_nonzero": "MAPE where something was sold",
    "stockout_miss_rate": "share of orders that did not last",
    "overstock_rate": "share of orders left over",
    "critical_failures": "critical failures",
}


def cell(value: Any, kind: str) -> str:
    """A figure for people; a dash where it is not known."""
    if value is None:
        return "–"
    if kind == "share":
        return f"{value:.1%}"
    return f"{value:,.2f}" if kind == "decimal" else f"{value:,.0f}"


def step_word(config: Mapping[str, Any]) -> str:
    """What a step of the replay is called: a day, or a week of weekly demand."""
    return {"D": "day", "W": "week"}[config["grain"]]


def summary_markdown(summary: Mapping[str, Any], name: str = "") -> str:
    """The summary: what it came to, the worlds side by side, what the reviewer's changes were worth."""
    config, lanes = summary["config"], summary["lanes"]
    unit = f" ({config['currency']})" if config["currency"] else ""
    confidence = lanes[GOVERNED]["confidence"]
    step = step_word(config)
    heads = [f"{title.format(step=step)}{unit if 'cost' in key else ''}" for key, title, _ in _COLUMNS]
    rows = [
        [one["title"], *(cell(one[key], kind) for key, _, kind in _COLUMNS)] for one in lanes.values()
    ]  # fmt: skip
    value = [
        [lanes[key]["title"], cell(one["cost"], "number"), _change(one["cost_share"]),
         cell(one["lost_sales_qty"], "number"), cell(one["short_days"], "number"), cell(one["promotions"], "number")]
        for key, one in summary["value"].items()
    ]  # fmt: skip
    over = summary["overrides"]
    out = [
        f"# Replay{' of ' + name if name else ''}: {summary['first_day']} to {summary['last_day']}",
        "",
        summary["sentence"],
        "",
        f"{summary['series']} series, {summary['trainings']} trainings ({config['cadence']}), decisions by "
        f"{config['hitl']}, horizon {config['horizon']}, families {', '.join(config['families'])}. Costs are "
        f"{confidence}. {summary['late_rows']} row(s) came in late and were not seen before.",
        "",
        "## The worlds side by side",
        "",
        *_table(["world", *heads], rows),
        "",
        "## What the governance was worth",
        "",
        "The governed world less each other one; a negative cost is money saved.",
        "",
        *_table(["beside", f"cost{unit}", "cost, relative", "lost units", f"series-{step}s short", "promotions"],
                value),
        "",
        "## Orders that a reviewer changed",
        "",
        f"{over['changed_lines']} line(s) changed, {over['judged_lines']} of them judged on what came. Forecast value "
        f"added: {cell(over['fva'], 'share')}.",
        "",
        *_table(
            ["", "lost units", "mean stock", f"total cost{unit}"],
            [[who, cell(over[key]["lost_sales_qty"], "number"), cell(over[key]["mean_stock"], "decimal"),
              cell(over[key]["total_cost"], "number")]
             for who, key in (("with the changes", "with"), ("without", "without"))],
        ),
        "",
        "## Triggers and decisions",
        "",
        *_table(["what", "times"], [[k, str(n)] for k, n in {**summary["triggers"], **summary["decisions"]}.items()]),
        "",
        "## Strategy gate",
        "",
        f"{summary['strategy']['reason']} {'Passed.' if summary['strategy']['passed'] else 'Not passed.'}",
        "",
        f"Daily log `{summary['log_sha256']}`, partition manifest `{summary['manifest_sha256']}`.",
        "",
    ]  # fmt: skip
    return "\n".join(out)


def strategy_markdown(strategy: Mapping[str, Any], summary: Mapping[str, Any], name: str = "") -> str:
    """The decision on one model or a mixture, with what was tried."""
    limits, points = strategy["limits"], strategy["points"] or [strategy["baseline"]]
    partner = strategy["partner"]
    rows = [
        [f"{one['share']:.0%} / {1 - one['share']:.0%}",
         *(cell(one[key], "number" if key == "critical_failures" else "share") for key in _LIMITS),
         cell(one["cost"], "number"), "yes" if one["passed"] else "no: " + ", ".join(one["failing"])]
        for one in points
    ]  # fmt: skip
    shown = [
        cell(value, "number" if key == "critical_failures" else "share") for key, value in limits.items()
    ]  # fmt: skip
    mixed = f"{strategy['share']:.0%} of what was governed, the rest {partner}"
    decided = "one model" if strategy["mode"] == "single" else f"a mixture ({mixed})"
    out = [
        f"# One model or a mixture{' for ' + name if name else ''}: {summary['first_day']} to {summary['last_day']}",
        "",
        f"Decision: **{decided}**. {strategy['reason']}",
        "",
        f"The gate {'is passed' if strategy['passed'] else 'is not passed'}. Mixtures: {strategy['portfolio']}"
        + (f", with {partner.replace('_', ' ')}." if partner else "."),
        "",
        *_table(
            ["governed / other", *_LIMITS.values(), "cost", "keeps every limit"],
            [["limit", *(f"≤ {text}" for text in shown), "", ""], *rows],
        ),
        "",
    ]
    return "\n".join(out)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def _change(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"
