"""Reads of demand, champions and forecasts that are more than one filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Max, Min, Q

from forecasting.errors import VersionUnknown
from forecasting.models import (
    ChampionAssignment,
    Channel,
    Demand,
    ForecastNodePath,
    ForecastPath,
    ForecastSet,
    ModelVersion,
    VersionStatus,
)


def newest_day(until: date | None = None) -> date | None:
    """Newest day of demand (on or before `until`); None where there is none."""
    rows = Demand.objects.all() if until is None else Demand.objects.filter(date__lte=until)
    newest: date | None = rows.aggregate(day=Max("date"))["day"]
    return newest


def first_day() -> date | None:
    """First day of demand; None where there is none."""
    first: date | None = Demand.objects.aggregate(day=Min("date"))["day"]
    return first


# --- champions --------------------------------------------------------------------------------------------------------


def current_champion(channel: str = Channel.LIVE) -> ChampionAssignment | None:
    """The open assignment of a channel, with its version and spec."""
    return (
        ChampionAssignment.objects.select_related("version__spec").filter(channel=channel, to_at__isnull=True).first()
    )


def champion_on(day: date, channel: str = Channel.LIVE) -> ChampionAssignment | None:
    """Who was champion on a business day: the last assignment that counted from that day or before."""
    return (
        ChampionAssignment.objects.select_related("version__spec")
        .filter(channel=channel, effective_on__lte=day)
        .order_by("-effective_on", "-from_at")
        .first()
    )


def newest_candidate(*, with_forecasts: bool = False) -> ModelVersion | None:
    """The newest version that is a candidate or challenger and not the champion."""
    rows = ModelVersion.objects.select_related("spec").filter(
        status__in=[VersionStatus.CANDIDATE, VersionStatus.CHALLENGER]
    )
    rows = rows.exclude(assignments__channel=Channel.LIVE, assignments__to_at__isnull=True)
    if with_forecasts:
        rows = rows.filter(Q(pk__in=ForecastSet.objects.values("version_id")))
    return rows.order_by("-number").first()


def version_named(name: str) -> ModelVersion:
    """The version called "champion", "candidate", its number or "v" and its number. Raises VersionUnknown."""
    text = name.strip().lower()
    if text == "champion":
        champion = current_champion()
        if champion is None:
            raise VersionUnknown(
                "There is no champion yet. Approve a promotion request, or export a version by number."
            )
        return champion.version
    if text == "candidate":
        candidate = newest_candidate(with_forecasts=True)
        if candidate is None:
            raise VersionUnknown(
                "There is no candidate with forecasts. Run the chain first: manage.py run_chain SCHEMA."
            )
        return candidate
    number = text.removeprefix("v")
    version = None
    if number.isascii() and number.isdecimal() and len(number) < 10:
        version = ModelVersion.objects.select_related("spec").filter(number=int(number)).first()
    if version is None:
        known = ", ".join(f"v{n}" for n in ModelVersion.objects.values_list("number", flat=True)[:8]) or "none yet"
        raise VersionUnknown(f"There is no version {name!r}. Use champion, candidate or one of: {known}.")
    return version


# --- forecasts --------------------------------------------------------------------------------------------------------


def serving_set(channel: str = Channel.LIVE) -> ForecastSet | None:
    """The forecasts that serve: the newest published set of the channel's champion."""
    champion = current_champion(channel)
    if champion is None:
        return None
    return (
        ForecastSet.objects.select_related("version__spec")
        .filter(channel=channel, version=champion.version, published_at__isnull=False)
        .order_by("-origin_date")
        .first()
    )


def newest_set(version: ModelVersion, channel: str = Channel.LIVE, as_of: date | None = None) -> ForecastSet | None:
    """The newest forecasts of a version, made on or before `as_of`."""
    rows = ForecastSet.objects.select_related("version__spec").filter(version=version, channel=channel)
    if as_of is not None:
        rows = rows.filter(origin_date__lte=as_of)
    return rows.order_by("-origin_date").first()


def set_served_on(day: date, channel: str = Channel.LIVE) -> ForecastSet | None:
    """What the champion of a day had published from that day or before."""
    champion = champion_on(day, channel)
    return None if champion is None else newest_set(champion.version, channel, as_of=day)


@dataclass(frozen=True)
class DayPoint:
    """One day of a series: what sold; None where no row stands for the day."""

    day: date
    quantity: float
    stocked_out: bool


def demand_of(series_id: int, *, first: date, last: date) -> list[DayPoint]:
    """Demand rows of a series between two days, both included, oldest first."""
    rows = Demand.objects.filter(series_id=series_id, date__range=(first, last)).order_by("date")
    return [DayPoint(*row) for row in rows.values_list("date", "quantity", "stocked_out")]


@dataclass(frozen=True)
class ForecastPoint:
    """One step of a stored path."""

    day: date
    horizon: int
    yhat: float
    lo80: float
    hi80: float
    lo95: float
    hi95: float


def path_points(path: ForecastPath | ForecastNodePath) -> list[ForecastPoint]:
    """The steps of a path, in order."""
    arrays = zip(path.yhat, path.lo80, path.hi80, path.lo95, path.hi95, strict=True)
    return [
        ForecastPoint(path.start_date + timedelta(days=k * path.step_days), k + 1, *values)
        for k, values in enumerate(arrays)
    ]
