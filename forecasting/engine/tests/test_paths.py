"""Pieces of whole paths: nothing lost, nothing torn, and the same figures whatever their size."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest

from forecasting.engine import conformal_residuals, paths, scores
from forecasting.engine.conformal import Calibration
from forecasting.engine.paths import path_begins, path_order, pieces
from forecasting.engine.scores import score_frame

SERIES, ORIGINS, HORIZON = 17, 3, 9


def rows(seed: int = 5) -> pd.DataFrame:
    """Rolling-origin rows with gaps, unknown actuals and declined forecasts, by origin, series and step."""
    rng = np.random.default_rng(seed)
    keys = pd.MultiIndex.from_product(
        [pd.to_datetime(["2024-01-31", "2024-02-09", "2024-02-18"]), range(1, SERIES + 1), range(1, HORIZON + 1)],
        names=["origin", "unique_id", "h"],
    )
    frame = keys.to_frame(index=False)
    n = len(frame)
    frame["y"], frame["yhat"] = rng.poisson(6, n).astype("float64"), rng.gamma(4.0, 1.5, n)
    frame["naive"], frame["censored"] = rng.gamma(4.0, 1.5, n), rng.random(n) < 0.1
    for name in ("y", "yhat", "naive"):
        frame.loc[rng.random(n) < 0.03, name] = np.nan
    return frame.loc[rng.random(n) < 0.95].reset_index(drop=True)


def scales(frame: pd.DataFrame) -> pd.DataFrame:
    found = frame[["unique_id", "origin"]].drop_duplicates()
    k = found["unique_id"].to_numpy(dtype="float64")
    return found.assign(rmsse_scale=np.where(k % 5 == 0, 0.0, k), mase_scale=np.where(k % 7 == 0, np.nan, k), weight=k)


@pytest.mark.parametrize("most", [1, 8, 9, 10, 100, 10_000])
def test_pieces__any_size__every_row_once_and_no_path_in_two(most: int):
    frame = rows()
    found = list(pieces(frame, most))
    assert np.array_equal(np.concatenate([np.arange(len(frame))[one] for one in found]), np.arange(len(frame)))
    names = [set(zip(part["unique_id"], part["origin"], strict=True)) for part in (frame.iloc[one] for one in found)]
    assert sum(map(len, names)) == len(set().union(*names))
    assert all(len(frame.iloc[one]) < most + HORIZON for one in found)


def test_pieces__no_rows__none():
    assert list(pieces(rows().iloc[:0])) == []
    assert len(path_begins(rows().iloc[:0])) == 0


@pytest.mark.parametrize("by", [["origin", "unique_id"], ["unique_id", "origin"]])
def test_path_order__sorted_either_way__as_it_is(by: list[str]):
    assert path_order(rows().sort_values([*by, "h"])) is None


def test_path_order__paths_torn__stand_together_in_the_order_given():
    frame = rows().sample(frac=1.0, random_state=2)
    order = path_order(frame)
    assert order is not None
    made = frame.iloc[order]
    assert len(path_begins(made)) == len(frame[["unique_id", "origin"]].drop_duplicates())
    whole = frame.groupby(["unique_id", "origin"])["h"].agg(list)
    assert made.groupby(["unique_id", "origin"])["h"].agg(list).equals(whole)


@pytest.mark.parametrize("most", [1, 20, 150])
@pytest.mark.parametrize("shuffled", [False, True])
def test_scores_and_calibration__pieces_of_any_size_and_any_order__the_same_figures(
    monkeypatch: pytest.MonkeyPatch, most: int, shuffled: bool
):
    frame = rows()
    classes = pd.Series({k: "smooth" if k % 3 else "lumpy" for k in range(1, SERIES)})
    stores = pd.Series({k: float(k % 4) if k % 5 else np.nan for k in range(1, SERIES)})

    def figures(of: pd.DataFrame) -> tuple[list[object], list[object]]:
        calibration = Calibration.fit(of.loc[of["unique_id"] % 6 > 0], classes)  # to which some series are new
        found = score_frame(of, scales(frame), quantiles=calibration.quantiles, intervals=calibration.apply,
                            classes=classes, stores=stores)  # fmt: skip
        return _flat(calibration.to_json()), _flat(found.to_json())

    whole = figures(frame)
    cut = lambda of, _=0: pieces(of, most)  # noqa: E731
    for module in (scores, conformal_residuals):
        monkeypatch.setattr(module, "pieces", cut)
    monkeypatch.setattr(conformal_residuals, "MOST_ROWS", most)
    assert len(frame) < paths.MOST_ROWS, "the first figures are of one piece"
    parts = figures(frame.sample(frac=1.0, random_state=4) if shuffled else frame)
    for one, other in zip(whole, parts, strict=True):
        assert [value for value in one if not isinstance(value, float)] == [
            value for value in other if not isinstance(value, float)
        ]
        floats = [[value for value in of if isinstance(value, float)] for of in (one, other)]
        assert floats[1] == pytest.approx(floats[0], rel=1e-9, abs=1e-12)
    assert any(isinstance(value, float) for value in whole[1])


def _flat(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in (key, *_flat(value[key]))]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in _flat(one)]
    return [value]


def many(series: int) -> pd.DataFrame:
    """Whole paths: 4 origins of 28 steps."""
    rng = np.random.default_rng(series)
    origins = pd.to_datetime(["2024-01-07", "2024-02-04", "2024-03-03", "2024-03-31"])
    keys = pd.MultiIndex.from_product([origins, range(1, series + 1), range(1, 29)], names=["origin", "unique_id", "h"])
    frame = keys.to_frame(index=False)
    n = len(frame)
    return frame.assign(y=rng.poisson(6, n) * 1.0, yhat=rng.gamma(4.0, 1.5, n), naive=6.0, censored=False)


def most_memory(work: Callable[[], object]) -> int:
    """The most bytes that it held at once."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_scores_and_calibration__twice_the_series__what_is_reckoned_on_the_way_stays():
    few, more = many(2_500), many(5_000)
    assert len(few) > 4 * paths.MOST_ROWS, "several pieces, or there is nothing to see"
    classes = pd.Series("smooth", index=range(1, 5_001))
    calibration = Calibration.fit(few, classes)

    def scored(frame: pd.DataFrame) -> int:
        found = frame[["unique_id", "origin"]].drop_duplicates().assign(rmsse_scale=1.0, mase_scale=1.0, weight=1.0)
        ready = partial(score_frame, quantiles=calibration.quantiles, intervals=calibration.apply)
        return most_memory(lambda: ready(frame, found, classes=classes, stores=classes))

    assert scored(more) < 1.2 * scored(few)
    extra = most_memory(lambda: Calibration.fit(more, classes)) - most_memory(lambda: Calibration.fit(few, classes))
    assert extra < 75 * (len(more) - len(few)), "a calibration keeps a few figures a row"
