"""Ensemble weights: equal shares of the families that are as good as the best, and of those that make them better.

Nothing is fitted but which families take part. Fitted shares follow the noise of a few origins, and where good families
are alike, what one origin adds to a family's share the next one takes away (the combination puzzle; Stock and Watson
2004). Shares are multiples of 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from forecasting.engine.paths import MOST_ROWS

UNITS = 20
"""Shares are counted in twentieths."""
NEAR = 0.01
"""A family whose error is at most this share above the best one's is as good: which of them is best changes from origin
to origin."""
JOIN = 0.005
"""A family further off joins where the mixture with it has an error that is lower by this share."""
STEADY = ("seasonal_average", "seasonal_naive")
"""Plain families that cost nothing to keep and err elsewhere than what is learned: a mixture takes the least share (a
twentieth) of one of them where that lowers its error."""
MIN_COVERED = 0.5
"""A family that made fewer of the rows than this cannot stand alone."""
MIN_SHARED = 0.95
"""One that made fewer than this takes no part in a mixture: elsewhere its stand-in would be judged in its name."""


@dataclass(frozen=True)
class Rows:
    """Known rows of a backtest as arrays: actual, family forecasts (NaN where one declined), stand-in forecast,
    demand class (position in `classes`; -1: none known), origin (days since 1970) and series."""

    families: tuple[str, ...]
    classes: tuple[str, ...]
    y: np.ndarray
    values: np.ndarray
    stand_in: np.ndarray
    of_class: np.ndarray
    origin: np.ndarray
    series: np.ndarray

    @classmethod
    def read(cls, frame: pd.DataFrame, families: Sequence[str], classes: pd.Series, stand_ins: Sequence[str]) -> Rows:
        """The rows of a backtest frame that can be scored. classes: index unique_id."""
        known = (~frame["censored"] & frame["y"].notna()).to_numpy(dtype=bool)
        series = frame["unique_id"].to_numpy()[known]
        values = np.empty((len(series), len(families)))
        for place, name in enumerate(families):
            values[:, place] = frame[name].to_numpy(dtype="float64")[known]
        stand_in = np.full(len(series), np.nan)
        for name in (f for f in stand_ins if f in families):
            stand_in = np.where(np.isnan(stand_in), values[:, list(families).index(name)], stand_in)
        kinds = pd.Categorical(classes)
        codes = np.append(kinds.codes, -1).astype("int8")
        return cls(
            families=tuple(families),
            classes=tuple(str(name) for name in kinds.categories),
            y=frame["y"].to_numpy(dtype="float64")[known],
            values=values,
            stand_in=stand_in,
            of_class=codes[classes.index.get_indexer(pd.Index(series))],
            origin=frame["origin"].to_numpy()[known].astype("datetime64[D]").astype("int32"),
            series=series,
        )

    def where(self, mask: np.ndarray) -> Rows:
        """The rows of a boolean mask."""
        if mask.all():
            return self
        parts = (self.y, self.values, self.stand_in, self.of_class, self.origin, self.series)
        return Rows(self.families, self.classes, *(part[mask] for part in parts))

    def in_class(self, name: str) -> np.ndarray:
        """Which rows are of that demand class (boolean)."""
        return np.asarray(self.of_class == (self.classes.index(name) if name in self.classes else -1))

    @cached_property
    def made_by(self) -> np.ndarray:
        """Which families made each row, as a number: bit i for family i."""
        out = np.zeros(len(self.y), dtype="int32")
        for place in range(len(self.families)):
            out |= np.isfinite(self.values[:, place]).astype("int32") << place
        return out

    def forecast(self, shares: np.ndarray) -> np.ndarray:
        """What `combine` makes of the rows with these shares (one number a family); NaN where nobody forecast."""
        used = np.flatnonzero(shares)
        values = self.values[:, used]
        present = np.isfinite(values)
        if present.all():
            return np.asarray(values @ (shares[used] / shares[used].sum()))
        weight = np.where(present, shares[used], 0.0)
        total = weight.sum(axis=1)
        mixed = (np.where(present, values, 0.0) * weight).sum(axis=1) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, mixed, self.stand_in)

    def errors(self, shares: np.ndarray) -> np.ndarray:
        """Absolute error of each row with these shares; 0 where nobody forecast, whatever the shares."""
        return np.asarray(np.nan_to_num(np.abs(self.y - self.forecast(shares)), nan=0.0))

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """Sum of absolute errors of each mixture: `shares` is mixtures × families, each row summing to any total.

        As `combine`: weights are renormalised over the families that made a row; where none did, the stand-in's
        forecast stands; a row without any is left out (it has no forecast to judge, whatever the mixture).
        """
        total = np.zeros(len(shares))
        for pattern in np.unique(self.made_by):
            matching = np.flatnonzero(self.made_by == pattern)
            here = np.flatnonzero(pattern >> np.arange(len(self.families)) & 1)
            weight = shares[:, here]
            sums = weight.sum(axis=1)
            carried = sums > 0
            mixing = (weight[carried] / sums[carried, None]).T
            for start in range(0, len(matching), MOST_ROWS):
                rows = matching[start : start + MOST_ROWS]
                y = self.y[rows]
                if carried.any():
                    total[carried] += np.abs(y[:, None] - self.values[np.ix_(rows, here)] @ mixing).sum(axis=0)
                if not carried.all():
                    total[~carried] += np.nansum(np.abs(y - self.stand_in[rows]))
        return total


def able(rows: Rows, least: float = MIN_COVERED) -> np.ndarray:
    """Which families made at least this share of the rows (boolean); all of them where none did."""
    covered = np.isfinite(rows.values).mean(axis=0) if len(rows.y) else np.zeros(len(rows.families))
    enough = covered >= least
    return np.asarray(enough if enough.any() else np.ones(len(rows.families), dtype=bool))


def best_single(rows: Rows) -> np.ndarray:
    """The family with the least absolute error among those that can stand alone, as shares (1 for it, else 0). A family
    that declines most rows is no single: with its stand-in it is a mixture, and competes as one. Ties go to the one
    named first."""
    one_each = np.eye(len(rows.families))
    losses = np.where(able(rows), rows.losses(one_each), np.inf)
    return np.asarray(one_each[int(np.argmin(losses))])


def even_mixture(rows: Rows) -> np.ndarray:
    """Equal shares, in twentieths, of the families that are as good as the best, and of those further off that make
    their mixture better; and a twentieth of a plain one (`STEADY`) where that lowers the mixture's error. One family
    alone where there is no other.

    A family that declines rows takes no part (`MIN_SHARED`): with its stand-in it is a mixture already. It may in the
    demand class that it is made for. Ties go to the families named first.
    """
    losses = np.where(able(rows, MIN_SHARED), rows.losses(np.eye(len(rows.families))), np.inf)
    order = [int(one) for one in np.argsort(losses, kind="stable") if np.isfinite(losses[one])]
    if not order:
        return best_single(rows)
    taken = [one for one in order if losses[one] <= (1.0 + NEAR) * losses[order[0]]]
    loss = float(rows.losses(_equal(taken, len(losses))[None, :])[0])
    for one in order[len(taken) :]:
        wider = float(rows.losses(_equal([*taken, one], len(losses))[None, :])[0])
        if wider <= (1.0 - JOIN) * loss:
            taken, loss = [*taken, one], wider
    shares = _equal(taken, len(losses))
    if len(taken) > 1:
        plain = [one for one in order if one not in taken and rows.families[one] in STEADY]
        tried = [(1.0 - 1.0 / UNITS) * shares + _equal([one], len(losses)) / UNITS for one in plain]
        loss = float(rows.losses(shares[None, :])[0])
        if tried and (found := rows.losses(np.array(tried))).min() < loss:
            shares = tried[int(np.argmin(found))]
    return rounded(shares)


def _equal(taken: Sequence[int], families: int) -> np.ndarray:
    shares = np.zeros(families)
    shares[list(taken)] = 1.0 / len(taken)
    return shares


def rounded(shares: np.ndarray) -> np.ndarray:
    """Shares in twentieths that sum to 1, each within a twentieth of its own (largest remainders first)."""
    units = shares / shares.sum() * UNITS
    whole = np.floor(units + 1e-9)
    left = round(float(UNITS - whole.sum()))
    order = np.argsort(-(units - whole), kind="stable")
    whole[order[:left]] += 1
    return np.asarray(whole / UNITS)


def as_weights(families: Sequence[str], shares: np.ndarray) -> dict[str, float]:
    """Family -> share, without those that have none."""
    return {name: round(float(share), 4) for name, share in zip(families, shares, strict=True) if share > 0}
