"""Champion and challengers on the same days: reckoned after each measuring of accuracy, window by window, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
from django.db import transaction

from forecasting import selectors
from forecasting.engine.outlook import Came, came
from forecasting.engine.panel import STEP_DAYS
from forecasting.engine.shadow import Days, SideForecasts, Standing, WindowResult, compare_window, pool, window_of
from forecasting.engine.types import canonical_json, sha256_text
from forecasting.models import ForecastSet, ModelVersion, ShadowStanding, ShadowWindow
from forecasting.services.artifacts import load_calibration
from forecasting.services.data_profile import active_profile
from forecasting.services.engine_errors import engine_errors
from forecasting.services.policy import PolicyBody, active_policy, body_of
from forecasting.services.shadow_facts import (
    Pair,
    content_of_days,
    days_between,
    pairs_of,
    shadow_versions,
    stored_forecasts,
)
from forecasting.services.shadow_store import result_of, write_standing, write_window
from forecasting.services.snapshots import demand_snapshot
from forecasting.services.windows import plan_window
from ledger.context import RunContext
from ledger.errors import DomainError
from ledger.services.audit import record

_RULES = "1"
"""Of the reckoning itself: windows are reckoned again where it changes."""


@dataclass(frozen=True)
class _Due:
    """A window that has to be reckoned: the pairs with rows or orders in it."""

    start: date
    end: date
    pairs: tuple[Pair, ...]
    input_sha256: str


def compare_shadows(*, ctx: RunContext | None, until: date | None = None) -> int:
    """Reckon every window of every live challenger for which days, forecasts or policy changed; how many.

    Only what the champion's spec published counts on its side, and only rows that both forecast: the figures of a
    backtest are no part of it. A correction of past days reckons its windows again. The same state reckons nothing.
    A version whose files cannot be read is left as it was, and the run that needs them says so.
    """
    newest, champion = selectors.newest_day(until), selectors.current_champion()
    if newest is None or champion is None:
        return 0
    body, grain = body_of(active_policy()), active_profile().grain
    since, _ = window_of(newest - timedelta(weeks=body.shadow.weeks), grain)
    done = 0
    for version in shadow_versions(champion.version):
        pairs = pairs_of(version, champion.version, since=since, until=newest)
        due = _due(version, champion.version, pairs, newest, body, grain)
        if due:
            done += _reckon(ctx, version, champion.version, due, newest, body)
    return done


def _due(
    version: ModelVersion, champion: ModelVersion, pairs: list[Pair], newest: date, body: PolicyBody, grain: str
) -> list[_Due]:
    if not pairs:
        return []
    step = timedelta(days=STEP_DAYS[grain])
    last = min(newest, max(one.origin + one.horizon * step for one in pairs))
    if last <= pairs[0].origin:
        return []
    content = content_of_days(pairs[0].origin, last)
    stored = ShadowWindow.objects.filter(standing__challenger=version, standing__champion_spec=champion.spec_id)
    known = dict(stored.values_list("start", "input_sha256"))
    due = []
    for start, end in sorted({window_of(day, grain) for day in days_between(pairs[0].origin + step, last)}):
        stop = min(end, newest)
        inside = [one for one in pairs if one.origin + step <= stop and one.origin + one.horizon * step >= start]
        if not inside:
            continue
        seen = days_between(inside[0].origin, stop)
        facts = {
            "rules": _RULES,
            "sets": [[one.champion, one.challenger] for one in inside],
            "days": [[day.isoformat(), content.get(day)] for day in seen],
            "policy": body.business.model_dump(mode="json"),
            "bootstrap": [body.gates.bootstrap_seed, body.gates.bootstrap_resamples],
            "grain": grain,
        }
        key = sha256_text(canonical_json(facts))
        if known.get(start) != key:
            due.append(_Due(start, end, tuple(inside), key))
    return due


def _reckon(
    ctx: RunContext | None,
    version: ModelVersion,
    champion: ModelVersion,
    due: list[_Due],
    newest: date,
    body: PolicyBody,
) -> int:
    """Reckon the windows of one challenger that are due, and what all its windows come to."""
    pairs = sorted({pair for one in due for pair in one.pairs}, key=lambda pair: pair.origin)
    with engine_errors(), demand_snapshot() as demand:
        source = demand.source(plan_window(as_of=newest, mode="serving"))
        step = STEP_DAYS[source.grain]
        asked = [(one.origin, min(one.horizon, (newest - one.origin).days // step)) for one in pairs]
        facts = dict(zip([one.origin for one in pairs], came(source, asked, demand.executor, values=True), strict=True))
        grain = source.grain
    try:
        sides = _sides(version, pairs, newest)
    except DomainError:
        return 0
    made: list[tuple[_Due, WindowResult]] = []
    for one in due:
        origins = [pair.origin for pair in one.pairs]
        result = compare_window(
            sides[0].of(origins), sides[1].of(origins), _days(facts, origins), start=one.start, end=one.end,
            until=newest, policy=body.business_policy(), grain=grain, seed=body.gates.bootstrap_seed,
            resamples=body.gates.bootstrap_resamples,
        )  # fmt: skip
        if result is not None:
            made.append((one, result))
    return _write(ctx, version, champion, made, body, grain)


@dataclass(frozen=True)
class _Side:
    forecasts: SideForecasts

    def of(self, origins: Iterable[date]) -> SideForecasts:
        """The forecasts from some origins."""
        frame = self.forecasts.frame
        chosen = frame["origin"].isin([pd.Timestamp(day) for day in origins])
        return SideForecasts(frame.loc[chosen], self.forecasts.calibration)


def _sides(version: ModelVersion, pairs: list[Pair], newest: date) -> tuple[_Side, _Side]:
    """The champion's spec and the challenger. The champion's orders come from the newest of its fits that served."""
    served = ForecastSet.objects.select_related("version__spec").get(pk=pairs[-1].champion)
    both = (
        (served.version, [one.champion for one in pairs]),
        (version, [one.challenger for one in pairs]),
    )
    champion, challenger = (
        _Side(SideForecasts(stored_forecasts(sets, newest), load_calibration(of))) for of, sets in both
    )
    return champion, challenger


def _days(facts: Mapping[date, Came], origins: list[date]) -> Days:
    chosen = [facts[origin] for origin in origins]
    first = facts[min(origins)].values
    if first is None:
        raise AssertionError("what came was asked with the values of a unit")
    return Days(
        pd.concat([one.rows for one in chosen], ignore_index=True),
        pd.concat([one.scales for one in chosen], ignore_index=True),
        first,
    )


@transaction.atomic
def _write(
    ctx: RunContext | None,
    version: ModelVersion,
    champion: ModelVersion,
    made: list[tuple[_Due, WindowResult]],
    body: PolicyBody,
    grain: str,
) -> int:
    if ctx is not None:
        ctx.fence()
    if not made:
        return 0
    ShadowStanding.objects.get_or_create(challenger=version, champion_spec_id=champion.spec_id)
    # The lock lets one run at a time reckon what the windows of a standing come to.
    standing = ShadowStanding.objects.select_for_update().get(challenger=version, champion_spec_id=champion.spec_id)
    before = standing.sentence
    for one, result in made:
        sets = [[pair.champion, pair.challenger] for pair in one.pairs]
        write_window(
            standing, result, sets=sets, input_sha256=one.input_sha256, run_id=ctx.run.pk if ctx is not None else None
        )
    whole: Standing = pool(
        [result_of(row) for row in standing.windows.order_by("start")],
        seed=body.gates.bootstrap_seed,
        resamples=body.gates.bootstrap_resamples,
    )
    write_standing(standing, whole, unit="week" if grain == "D" else "window of four weeks")
    facts = {
        "challenger": version.number,
        "champion_spec": champion.spec.sha256,
        "windows": [result.start.isoformat() for _, result in made],
        "before": before,
        "now": standing.sentence,
    }
    correlation = ctx.run.correlation_id if ctx is not None else None
    record(event="shadow.compared", subject=standing, data=facts, correlation_id=correlation)
    return len(made)
