"""Fitting ensemble weights: the convex mixture with the least absolute error, few families, in readable shares.

A mixture is searched from the best single family by moving shares between families for as long as the pooled absolute
error falls (least absolute deviations on the simplex: Granger and Ramanathan 1984, with the loss that WAPE reports).
A family that joins has to pay for itself, so that noise brings none in. What was found is drawn half-way to equal
shares of the families that are nearly as good as the best. Shares are multiples of 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

UNITS = 20
"""Shares are counted in twentieths."""
MOVES = (10, 5, 2, 1)
JOIN = 0.001
"""A further family has to cut the error by this share, or it stays out."""
LEAST = 0.1
"""A smaller share than this is none."""
NEAR = 0.02
"""A family whose error is at most this share above the best one's is nearly as good."""
MIN_COVERED = 0.5
"""A family that made fewer of the rows than this cannot stand alone."""
MAX_ROWS = 12_000
"""A handful of weights needs no more rows than this of those that the same families made; more are thinned."""


@dataclass(frozen=True)
class Rows:
    """Known rows of a backtest as arrays: actual, family forecasts (NaN where one declined), stand-in forecast,
    demand class (position in `classes`; -1: none known), origin (days since 1970) and series. stands_for: how many
    rows a row counts as, after thinning."""

    families: tuple[str, ...]
    classes: tuple[str, ...]
    y: np.ndarray
    values: np.ndarray
    stand_in: np.ndarray
    of_class: np.ndarray
    origin: np.ndarray
    series: np.ndarray
    stands_for: np.ndarray

    @classmethod
    def read(cls, frame: pd.DataFrame, families: Sequence[str], classes: pd.Series, stand_ins: Sequence[str]) -> Rows:
        """The rows of a backtest frame that can be scored. classes: index unique_id."""
        frame = frame.loc[~frame["censored"] & frame["y"].notna()]
        values = frame[list(families)].to_numpy(dtype="float64")
        stand_in = np.full(len(frame), np.nan)
        for name in (f for f in stand_ins if f in families):
            stand_in = np.where(np.isnan(stand_in), values[:, list(families).index(name)], stand_in)
        kinds = pd.Categorical(classes)
        code = pd.Series(kinds.codes, index=classes.index).reindex(frame["unique_id"]).fillna(-1)
        return cls(
            families=tuple(families),
            classes=tuple(str(name) for name in kinds.categories),
            y=frame["y"].to_numpy(dtype="float64"),
            values=values,
            stand_in=stand_in,
            of_class=code.to_numpy().astype("int8"),
            origin=frame["origin"].to_numpy().astype("datetime64[D]").astype("int64"),
            series=frame["unique_id"].to_numpy(),
            stands_for=np.ones(len(frame)),
        )

    def where(self, mask: np.ndarray) -> Rows:
        """The rows of a boolean mask."""
        parts = (self.y, self.values, self.stand_in, self.of_class, self.origin, self.series, self.stands_for)
        return Rows(self.families, self.classes, *(part[mask] for part in parts))

    def in_class(self, name: str) -> np.ndarray:
        """Which rows are of that demand class (boolean)."""
        return np.asarray(self.of_class == (self.classes.index(name) if name in self.classes else -1))

    @cached_property
    def made_by(self) -> np.ndarray:
        """Which families made each row, as a number: bit i for family i."""
        return np.asarray(np.isfinite(self.values) @ (1 << np.arange(len(self.families))))

    def thinned(self, most: int = MAX_ROWS) -> Rows:
        """Of the rows that the same families made, those of every k-th series where there are more than `most`; each
        stands for k. So a family that made few series keeps them all."""
        _, number = np.unique(self.series, return_inverse=True)
        keep, stands_for = np.ones(len(self.y), dtype=bool), self.stands_for.copy()
        for pattern in np.unique(self.made_by):
            rows = self.made_by == pattern
            every = -(-int(rows.sum()) // most)
            kept = rows & (number % every == 0)
            if every > 1 and kept.any():
                keep &= ~rows | kept
                stands_for[kept] *= float(rows.sum() / kept.sum())
        return replace(self, stands_for=stands_for).where(keep) if not keep.all() else self

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
            rows = self.made_by == pattern
            times = self.stands_for[rows]
            here = np.flatnonzero(pattern >> np.arange(len(self.families)) & 1)
            y, stand_in = self.y[rows], self.stand_in[rows]
            weight = shares[:, here]
            sums = weight.sum(axis=1)
            carried = sums > 0
            if carried.any():
                mixed = self.values[np.ix_(rows, here)] @ (weight[carried] / sums[carried, None]).T
                total[carried] += times @ np.abs(y[:, None] - mixed)
            total[~carried] += np.nansum(np.abs(y - stand_in) * times)
        return total


def able(rows: Rows) -> np.ndarray:
    """Which families made enough of the rows to stand alone (boolean); all of them where none did."""
    covered = np.isfinite(rows.values).mean(axis=0) if len(rows.y) else np.zeros(len(rows.families))
    enough = covered >= MIN_COVERED
    return np.asarray(enough if enough.any() else np.ones(len(rows.families), dtype=bool))


def best_single(rows: Rows) -> np.ndarray:
    """The family with the least absolute error among those that can stand alone, as shares (1 for it, else 0). A family
    that declines most rows is no single: with its stand-in it is a mixture, and competes as one. Ties go to the one
    named first."""
    one_each = np.eye(len(rows.families))
    losses = np.where(able(rows), rows.losses(one_each), np.inf)
    return np.asarray(one_each[int(np.argmin(losses))])


def best_mixture(rows: Rows) -> np.ndarray:
    """The mixture with the least absolute error, as shares in twentieths; the best single where no other family pays
    for itself. At least one of its families can stand alone. Ties go to the families named first."""
    rows = rows.thinned()
    alone = able(rows)
    shares = np.round(best_single(rows) * UNITS).astype("int64")
    loss = float(rows.losses(shares[None, :] / UNITS)[0])
    for size in MOVES:
        while True:
            tried = _moves(shares, size)
            tried = tried[(tried[:, alone] > 0).any(axis=1)] if len(tried) else tried
            if not len(tried):
                break
            found = rows.losses(tried / UNITS) * (1.0 + JOIN * ((tried > 0).sum(axis=1) - 1))
            best = int(np.argmin(found))
            if not found[best] < loss * (1 - 1e-9):
                break
            shares, loss = tried[best], float(found[best])
    return np.asarray(shares / UNITS)


def even_mixture(rows: Rows) -> np.ndarray:
    """Equal shares of the families that can stand alone and are nearly as good as the best of them."""
    losses = np.where(able(rows), rows.losses(np.eye(len(rows.families))), np.inf)
    near = losses <= (1.0 + NEAR) * losses.min() if np.isfinite(losses).any() else losses == losses
    return np.asarray(near / near.sum())


def steady_mixture(rows: Rows) -> np.ndarray:
    """Half-way between the mixture with the least error and equal shares of the families that are nearly as good.

    Fitted shares follow the noise of few origins, equal ones do not (the combination puzzle; Stock and Watson 2004).
    What is left of a family with next to no share is not worth its training.
    """
    shares = (best_mixture(rows) + even_mixture(rows)) / 2.0
    return rounded(np.where(shares < LEAST, 0.0, shares))


def _moves(shares: np.ndarray, size: int) -> np.ndarray:
    """All mixtures made by giving `size` units (or all that one has, if fewer) of one family to another."""
    out = []
    for one in np.flatnonzero(shares):
        for other in range(len(shares)):
            if other != one:
                moved = shares.copy()
                amount = min(size, int(shares[one]))
                moved[one] -= amount
                moved[other] += amount
                out.append(moved)
    return np.array(out) if out else np.empty((0, len(shares)), dtype="int64")


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
