"""A model damaged on purpose, for the rollback drill: the numbers that its boosters have stored are altered.

A drill needs a model that is really wrong, in its files and not by a switch: each booster's first tree has its leaves
shifted, which multiplies what is forecast under either of the transforms that the boosters know. It is saved, hashed,
registered and loaded like any other.
"""

from __future__ import annotations

import math
from dataclasses import replace

from forecasting.engine.families.base import Fitted
from forecasting.engine.families.lightgbm_boosters import Boosters, Part
from forecasting.engine.families.lightgbm_fitted import FittedBoosters
from forecasting.engine.fitted import FittedModel
from forecasting.engine.types import ModelSpec

FACTOR = 3.0
FAMILY = "lightgbm_direct"
ROUNDS = 30


def damageable(spec: ModelSpec) -> ModelSpec:
    """A small spec of one LightGBM, on the terms of `spec` (horizon, grain, season): some champions, as a weekday
    average, have learned nothing that could be damaged."""
    return ModelSpec(
        (FAMILY,),
        horizon=spec.horizon,
        season_length=spec.season_length,
        grain=spec.grain,
        params={FAMILY: {"rounds": ROUNDS}},
        seed=spec.seed,
    )


def damaged(fitted: FittedModel, factor: float = FACTOR) -> FittedModel:
    """The model with every booster's first tree shifted by log(factor): its forecasts are about `factor` times too
    large. Raises ValueError where it has no booster."""
    parts = [{name: _damaged(part, factor) for name, part in one.parts.items()} for one in fitted.segments]
    if not any(isinstance(part, FittedBoosters) and part.boosters for row in parts for part in row.values()):
        raise ValueError("the model has no booster that could be damaged")
    segments = tuple(replace(one, parts=row) for one, row in zip(fitted.segments, parts, strict=True))
    return replace(fitted, segments=segments, files={})


def _damaged(part: Fitted, factor: float) -> Fitted:
    if not isinstance(part, FittedBoosters) or part.boosters is None:
        return part
    boosters = {name: _shifted(one, factor) for name, one in part.boosters.parts.items()}
    return replace(part, boosters=Boosters(boosters, part.boosters.usual))


def _shifted(part: Part, factor: float) -> Part:
    import lightgbm as lgb

    booster = lgb.Booster(model_str=part.booster.model_to_string())
    leaves = booster.dump_model(num_iteration=1)["tree_info"][0]["num_leaves"]
    for leaf in range(leaves):
        booster.set_leaf_output(0, leaf, booster.get_leaf_output(0, leaf) + math.log(factor))
    # The text that will be stored is what predicts from now on, so that a reload cannot differ.
    return replace(part, booster=lgb.Booster(model_str=booster.model_to_string()))


__all__ = ["FACTOR", "FAMILY", "damageable", "damaged"]
