"""Windows and standings in shadow, to the database and back."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from forecasting.engine.bootstrap import Evidence
from forecasting.engine.scores import Score
from forecasting.engine.shadow import CHALLENGER, CHAMPION, Standing, WindowResult
from forecasting.models import ShadowStanding, ShadowWindow

_ARRAYS = ("actual", "champion_error", "challenger_error", "champion_cost", "challenger_cost")


def write_window(
    standing: ShadowStanding, result: WindowResult, *, sets: list[list[int]], input_sha256: str, run_id: UUID | None
) -> ShadowWindow:
    """Write or replace the window of that start."""
    row, _ = ShadowWindow.objects.update_or_create(
        standing=standing,
        start=result.start,
        defaults={
            "end": result.end,
            "complete": result.complete,
            "days": result.days,
            "origins": result.origins,
            "n_series": result.n_series,
            "rows": result.rows,
            "paths": result.paths,
            "scores": result.scores_json(),
            "confidence": result.confidence,
            "differences": {name: one.to_json() for name, one in result.differences.items()},
            "winner": result.winner,
            "basis": result.basis,
            "reason": result.reason[:240],
            "series_ids": [int(i) for i in result.series["unique_id"]],
            **{name: _numbers(result.series[name]) for name in _ARRAYS},
            "sets": sets,
            "input_sha256": input_sha256,
            "run_id": run_id,
        },
    )
    return row


def result_of(row: ShadowWindow) -> WindowResult:
    """A stored window as the engine pools it."""
    columns: dict[str, Any] = {"unique_id": row.series_ids}
    for name in _ARRAYS:
        columns[name] = np.array([np.nan if v is None else v for v in getattr(row, name)], dtype="float64")
    scores = {
        side: {name: Score.from_json(one) for name, one in row.scores.get(side, {}).items()}
        for side in (CHAMPION, CHALLENGER)
    }
    differences = {name: Evidence(**one) for name, one in row.differences.items()}
    return WindowResult(
        row.start, row.end, row.complete, row.days, row.origins, row.n_series, row.rows, row.paths, scores,
        row.confidence, differences, row.winner, row.basis, row.reason, pd.DataFrame(columns),
    )  # fmt: skip


def write_standing(standing: ShadowStanding, whole: Standing, *, unit: str) -> None:
    """Write what the judged windows come to together."""
    standing.weeks, standing.won, standing.lost, standing.tied = whole.weeks, whole.won, whole.lost, whole.tied
    standing.first_day, standing.last_day = whole.first_day, whole.last_day
    standing.scores = {s: {name: one.to_json() for name, one in table.items()} for s, table in whole.scores.items()}
    standing.differences = {name: one.to_json() for name, one in whole.differences.items()}
    standing.sentence = whole.sentence(unit)[:240]
    standing.save()


def _numbers(values: pd.Series) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values.to_numpy(dtype="float64")]
