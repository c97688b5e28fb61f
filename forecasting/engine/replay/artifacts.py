"""The files that a replay leaves behind; the same outcome gives the same bytes."""

from __future__ import annotations

import json
from typing import Any

from forecasting.engine.replay.charts import cost_svg, timeline_svg
from forecasting.engine.replay.outcome import Outcome
from forecasting.engine.replay.report import strategy_markdown, summary_markdown
from forecasting.engine.types import canonical_json

MANIFEST, LOG, SUMMARY_JSON, SUMMARY_MD = (
    "replay_partition_manifest.json", "replay_daily_log.jsonl", "replay_summary.json", "replay_summary.md",
)  # fmt: skip
DECISIONS, STRATEGY = "replay_hitl_decisions.json", "replay_model_strategy_decision.md"
COST_CHART, TIMELINE_CHART = "replay_cost.svg", "replay_timeline.svg"
FILES = (MANIFEST, LOG, SUMMARY_JSON, SUMMARY_MD, DECISIONS, STRATEGY, COST_CHART, TIMELINE_CHART)


def files_of(outcome: Outcome, name: str = "") -> dict[str, str]:
    """File name -> content. name: of the tenant, for the headings."""
    return {
        MANIFEST: _pretty(outcome.manifest),
        LOG: "".join(canonical_json(line) + "\n" for line in outcome.lines),
        SUMMARY_JSON: _pretty(outcome.summary),
        SUMMARY_MD: summary_markdown(outcome.summary, name),
        DECISIONS: _pretty(outcome.decisions),
        STRATEGY: strategy_markdown(outcome.strategy, outcome.summary, name),
        COST_CHART: cost_svg(outcome.summary, outcome.lines),
        TIMELINE_CHART: timeline_svg(outcome.summary, outcome.lines),
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
