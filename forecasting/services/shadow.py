"""The daily forecast beside the champion: every live challenger, from the same origin, published to nobody."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from forecasting import selectors
from forecasting.errors_shadow import NobodyServes, ShadowIncomplete
from forecasting.models import ForecastSet, ModelVersion
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.chain_steps import check_may_start
from forecasting.services.publishing import forecast_version
from forecasting.services.shadow_facts import shadow_versions
from forecasting.services.shadow_scores import compare_shadows
from ledger.context import RunContext
from ledger.errors import DomainError
from ledger.models import Run
from ledger.services import runs

SHADOW = "forecasting.shadow"


def start_shadow(*, actor: AbstractBaseUser | None) -> Run:
    """Queue the day's forecasts of champion and challengers now. Needs analyst or tenant_admin, or None for the system.

    Raises RoleRequired, TenantSuspended, NobodyServes, RunAlreadyLive.
    """
    check_may_start(actor)
    if selectors.current_champion() is None:
        raise NobodyServes()
    return runs.enqueue(kind=SHADOW, requested_by=actor)


def has_shadow_work() -> bool:
    """Whether there is a champion, and demand to forecast from; asked by the schedule."""
    return selectors.current_champion() is not None and selectors.newest_day() is not None


def forecast_shadows(*, ctx: RunContext) -> dict[str, Any]:
    """Score what has come, then forecast from the newest day: the champion, whose forecasts serve, and its shadow.

    Each version is a piece of its own: one that cannot forecast does not keep the others from it. What is there already
    is not made again. Raises NobodyServes; ShadowIncomplete, when all the others were made, where one failed.
    """
    champion = selectors.current_champion()
    if champion is None:
        raise NobodyServes()
    versions = shadow_versions(champion.version)
    total = len(versions) + 3
    ctx.progress(0, total, "Measuring what has come")
    records = measure_accuracy(ctx=ctx)
    compared = compare_shadows(ctx=ctx)
    ctx.progress(1, total, f"Forecasting with the champion {champion.version.label}")
    served = _serving(ctx, champion.version)
    made: list[int] = []
    early: list[int] = []
    failed: dict[int, str] = {}
    for done, version in enumerate(versions, start=2):
        ctx.progress(done, total, f"Forecasting with {version.label} in the shadow")
        if version.as_of > served.origin_date:  # it knows days that the champion had not seen
            early.append(version.number)
            continue
        try:
            forecast_version(ctx=ctx, version=version, origin=served.origin_date)
        except DomainError as error:
            failed[version.number] = str(error)
        else:
            made.append(version.number)
    if failed:
        raise ShadowIncomplete(failed, made)
    return {
        "origin": served.origin_date.isoformat(),
        "champion": champion.version.number,
        "champion_forecast_set": served.pk,
        "versions": made,
        "newer_than_the_origin": early,
        "records": len(records),
        "windows": compared,
    }


def _serving(ctx: RunContext, champion: ModelVersion) -> ForecastSet:
    """The champion's forecasts from the newest day, made now where they are not there yet."""
    return forecast_version(ctx=ctx, version=champion, origin=None)
