"""What served on a day: by the clock in the tenant's time zone, and what had been published for that day of demand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from django.db.models import QuerySet
from django.utils import timezone

from forecasting.engine.panel import STEP_DAYS
from forecasting.models import ChampionAssignment, Channel, ForecastNodePath, ForecastPath, ForecastSet, Level
from forecasting.models.assignment import AssignmentKind
from ledger.templatetags.forecourt import day as day_text
from ledger.templatetags.forecourt import moment as moment_text


class DayState(StrEnum):
    """Whether a day has an answer."""

    SERVED = "served"
    BEFORE_FIRST = "before_first"
    NO_CHAMPION = "no_champion"
    FUTURE = "future"


@dataclass(frozen=True)
class ServicePeriod:
    """A time on the day in which one champion served one forecast set (None: it had none yet).

    since, until: when this began and ended; it may be on other days. until is None while it lasts.
    """

    assignment: ChampionAssignment
    forecast_set: ForecastSet | None
    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class DayForecast:
    """The forecast of a day. target_date: the step that holds the day (a week's last day in weekly grain).

    served: whether it was in service on that day; else it had been published for it (known_then), or was afterwards.
    """

    forecast_set: ForecastSet
    target_date: date
    step: int
    served: bool
    known_then: bool
    total: ForecastNodePath | None

    def total_value(self, name: str) -> float | None:
        """yhat, lo80, hi80, lo95 or hi95 of all series together; None where the set was stored without totals."""
        return None if self.total is None else float(getattr(self.total, name)[self.step - 1])


@dataclass(frozen=True)
class ServedDay:
    """The answer for one day. periods: in the order of the clock; empty unless state is served."""

    day: date
    zone: str
    state: DayState
    message: str
    periods: tuple[ServicePeriod, ...]
    forecast: DayForecast | None

    @property
    def champion(self) -> ChampionAssignment | None:
        """Who served at the end of the day (today: now)."""
        return self.periods[-1].assignment if self.periods else None


def assignments_on(day: date, channel: str = Channel.LIVE) -> QuerySet[ChampionAssignment]:
    """The assignments that served at some time of a day in the present time zone, oldest first."""
    start, end = _bounds(day)
    rows = ChampionAssignment.objects.filter(channel=channel, from_at__lt=end).exclude(to_at__lte=start)
    return rows.select_related("version__spec", "request").order_by("from_at", "pk")


def served_on(day: date, *, now: datetime | None = None, channel: str = Channel.LIVE) -> ServedDay:
    """Who served on a day, with which forecasts, and what these said of that day. Nothing is guessed: a day before any
    champion and a day that has not come say so. The day is one of the present time zone."""
    now = now or timezone.now()
    today = timezone.localdate(now)
    zone = timezone.get_current_timezone_name()
    first = ChampionAssignment.objects.filter(channel=channel).order_by("from_at", "pk").first()
    if first is None:
        state, message = DayState.NO_CHAMPION, "No version has become champion yet. A reviewer approves the first."
    elif day > today:
        state, message = DayState.FUTURE, f"{day_text(day)} has not come: today is {day_text(today)} ({zone})."
    elif day < timezone.localdate(first.from_at):
        state = DayState.BEFORE_FIRST
        message = f"Nothing served on {day_text(day)}: the first champion began on {moment_text(first.from_at)}."
    else:
        state, message = DayState.SERVED, ""
    periods = _periods(day, channel) if state == DayState.SERVED else ()
    if state == DayState.SERVED:
        message = _told(day, periods)
    return ServedDay(day, zone, state, message, periods, _forecast_of(day, periods, channel, now))


def _bounds(day: date) -> tuple[datetime, datetime]:
    """The day's first moment and that of the next, in the present time zone: 23 to 25 hours where clocks change."""
    zone = timezone.get_current_timezone()
    day = min(max(day, date(1900, 1, 1)), date(2900, 1, 1))  # what lies beyond cannot be told in every time zone
    return datetime.combine(day, time.min, zone), datetime.combine(day + timedelta(days=1), time.min, zone)


def _told(day: date, periods: tuple[ServicePeriod, ...]) -> str:
    if not periods:
        return f"No champion served on {day_text(day)}."
    versions = list(dict.fromkeys(period.assignment.version.label for period in periods))
    if len(versions) == 1:
        return f"{versions[0]} served on {day_text(day)}."
    return f"The champion changed on {day_text(day)}: {', then '.join(versions)}."


def _periods(day: date, channel: str) -> tuple[ServicePeriod, ...]:
    """Each assignment's part of the day, cut where it began to serve newer forecasts."""
    start, end = _bounds(day)
    reigns = list(assignments_on(day, channel))
    sets = ForecastSet.objects.filter(
        channel=channel, version__in={one.version_id for one in reigns}, published_at__isnull=False
    )
    by_version: dict[int, list[ForecastSet]] = {}
    for made in sets.select_related("version__spec").order_by("published_at", "origin_date", "pk"):
        by_version.setdefault(made.version_id, []).append(made)
    return tuple(
        period for reign in reigns for period in _of_reign(reign, by_version.get(reign.version_id, []), start, end)
    )


def _of_reign(
    reign: ChampionAssignment, sets: list[ForecastSet], start: datetime, end: datetime
) -> list[ServicePeriod]:
    """What one assignment served: at any moment the published set of the newest origin."""
    turns: list[tuple[datetime, ForecastSet | None]] = [(reign.from_at, None)]
    for made in sets:
        since = max(made.published_at or reign.from_at, reign.from_at)
        current = turns[-1][1]
        if reign.to_at is not None and since >= reign.to_at:
            break
        if current is None or made.origin_date > current.origin_date:
            if turns[-1][0] == since:
                turns.pop()
            turns.append((since, made))
    ends = [since for since, _ in turns[1:]] + [reign.to_at]
    return [
        ServicePeriod(reign, made, since, until)
        for (since, made), until in zip(turns, ends, strict=True)
        if since < end and (until is None or until > start)
    ]


def _forecast_of(day: date, periods: tuple[ServicePeriod, ...], channel: str, now: datetime) -> DayForecast | None:
    """The forecast of the day that served on it, the last one of them; else the newest published for it."""
    for period in reversed(periods):
        found = _speaks(period.forecast_set, day) if period.forecast_set is not None else None
        if found is not None and period.forecast_set is not None:
            return _with_total(period.forecast_set, *found, served=True, known_then=True)
    rows = ForecastSet.objects.filter(channel=channel, published_at__isnull=False, origin_date__lt=day)
    reach = [made for made in rows.select_related("version__spec").order_by("-origin_date", "-published_at")[:50]]
    end = _bounds(day)[1]
    reach.sort(key=lambda made: made.published_at is None or made.published_at >= end)  # known then comes first
    for made in reach:
        found = _speaks(made, day)
        if found is not None:
            known = made.published_at is not None and made.published_at < min(end, now)
            return _with_total(made, *found, served=False, known_then=known)
    return None


def _speaks(made: ForecastSet, day: date) -> tuple[date, int] | None:
    """The step of a set that holds the day, and its number from 1; None where it does not reach it."""
    step_days = STEP_DAYS[made.version.spec.body["grain"]]
    step = -(-(day - made.origin_date).days // step_days)
    return (made.origin_date + timedelta(days=step * step_days), step) if 1 <= step <= made.horizon else None


def _with_total(made: ForecastSet, target: date, step: int, *, served: bool, known_then: bool) -> DayForecast:
    total = ForecastNodePath.objects.filter(forecast_set=made, level=Level.TOTAL).first()
    return DayForecast(made, target, step, served, known_then, total)


@dataclass(frozen=True)
class SeriesForecast:
    """One series' forecast of a day."""

    series_id: int
    store_id: str
    product_id: str
    family: str
    yhat: float
    lo80: float
    hi80: float


def rows_of(forecast: DayForecast, *, limit: int) -> list[SeriesForecast]:
    """The first series of a day's forecast, by store and product, as they were stored."""
    paths = ForecastPath.objects.filter(forecast_set=forecast.forecast_set).select_related("series")
    k = forecast.step - 1
    return [
        SeriesForecast(
            path.series_id, path.series.store_id, path.series.product_id, path.family,
            path.yhat[k], path.lo80[k], path.hi80[k],
        )
        for path in paths.order_by("series__store_id", "series__product_id")[:limit]
    ]  # fmt: skip


def approver_of(assignment: ChampionAssignment) -> str:
    """Who stands behind an assignment: the reviewer of its request; of a refresh the reviewer of the spec that it fits
    anew; of a rollback the person who did it. Empty where nobody is recorded."""
    if assignment.request is not None:
        return assignment.request.decided_by_name
    if assignment.kind != AssignmentKind.REFRESH:
        return assignment.assigned_by_name
    earlier = ChampionAssignment.objects.filter(
        channel=assignment.channel, version__spec=assignment.version.spec, request__isnull=False,
        from_at__lte=assignment.from_at,
    )  # fmt: skip
    found = earlier.select_related("request").order_by("-from_at").first()
    return found.request.decided_by_name if found is not None and found.request is not None else ""
