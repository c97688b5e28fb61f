"""Terms of a judgement in plain words, for a reviewer who is no data scientist."""

from __future__ import annotations

GLOSSARY: dict[str, tuple[str, str]] = {
    "total_cost": (
        "Total cost of stock",
        "What ordering by these forecasts would have cost in the holdout: lost margin where shelves were empty, plus "
        "what holding and marking down the rest costs. Both models are put through the same orders.",
    ),
    "cost_stockout": (
        "Cost of empty shelves",
        "The margin on what could not be sold: units short, times price minus cost.",
    ),
    "cost_overstock": (
        "Cost of stock left over",
        "Units that were ordered and not sold in time, times what holding and marking them down costs.",
    ),
    "lost_sales": ("Lost sales", "Units that customers wanted and that an order by the forecast would not have held."),
    "stockout_rate": (
        "Stockout rate",
        "The share of orders that fall short of what was wanted. 6% means: six of a hundred orders run out.",
    ),
    "overstock_rate": ("Overstock rate", "The share of all ordered units that is left over at the end of the order."),
    "wape": (
        "WAPE",
        "Weighted absolute percentage error: all misses added up, divided by all sales. 30% means that, of a hundred "
        "units sold, the forecasts were off by thirty in sum. Lower is better.",
    ),
    "wrmsse": (
        "wRMSSE",
        "The error compared with simply repeating yesterday, weighted by revenue, so that it counts more where the "
        "money is. Below 1 is better than repeating yesterday; lower is better.",
    ),
    "bias": (
        "Bias",
        "Whether forecasts lean to one side: above 0 they are too high on the whole, below 0 too low. Nearer to 0 is "
        "better.",
    ),
    "calibration": (
        "Calibration",
        "Each forecast comes with a band that promises to hold the truth in 80% of cases. This checks whether it does. "
        "Orders rest on these bands.",
    ),
    "beats_naive": (
        "Forecast value added",
        "How much smaller the error is than that of repeating the same weekday of last week. A model that does not "
        "beat this is not worth its trouble.",
    ),
    "inputs": (
        "Same rows",
        "Both models forecast exactly the same products on the same days, and every figure could be reckoned; else a "
        "comparison would mean nothing.",
    ),
    "partition": (
        "Sealed holdout",
        "The last weeks of data are locked away from training, like an exam paper. Looking more than once lets a model "
        "be tuned to it, so every opening is counted and needs a reason.",
    ),
    "samples": ("Enough to judge by", "Too few weeks or products could make a lucky model look good."),
    "evidence": (
        "More than luck",
        "Products are drawn at random, with repetition, 2,000 times, and the costs compared each time. The share of "
        "draws in which the candidate is cheaper says how sure we can be.",
    ),
    "operations": (
        "House in order",
        "No severe incident is open and no promised service level is broken: otherwise mend that first.",
    ),
    "champion": ("Champion", "The model whose forecasts serve now."),
    "candidate": ("Candidate", "The model that is to take its place."),
    "wins": ("In shadow", "A challenger forecasts every day beside the champion without serving, and both are scored."),
}


def explained(name: str) -> dict[str, str] | None:
    """A term and what it means; None where there is nothing to explain."""
    found = GLOSSARY.get(name)
    return {"term": found[0], "text": found[1]} if found is not None else None
