"""Reads of the registry's list and of a version's story."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, FloatField, Min, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, NullIf

from forecasting.models import AccuracyRecord, ChampionAssignment, Channel, GateReport, ModelVersion
from forecasting.models.assignment import AssignmentKind
from ledger.models import AuditEvent

BIG = ("manifest", "backtest", "evaluation", "notes", "error", "spec__body")
TREND_WEEKS, EVENTS_SHOWN = 12, 300


def _number(field: str, *path: str) -> Cast:
    """A number inside a JSON column; null where it is not there."""
    inner: Any = field
    for key in path[:-1]:
        inner = KeyTransform(key, inner)
    return Cast(KeyTextTransform(path[-1], inner), FloatField())


def listed_versions(rows: QuerySet[ModelVersion]) -> QuerySet[Any]:
    """Versions with the figures that a list shows, in one query and without their large columns.

    Adds is_champion, champion_since, ever_served; backtest_wape, backtest_wrmsse, backtest_coverage, holdout_wape,
    holdout_wrmsse, holdout_coverage; cost_change (total cost on the holdout against its champion's, -0.04 is 4% less);
    realised_wape of the newest record.
    """
    reigns = ChampionAssignment.objects.filter(version=OuterRef("pk"), channel=Channel.LIVE)
    open_now = reigns.filter(to_at__isnull=True)
    judged = GateReport.objects.filter(candidate=OuterRef("pk"), champion__isnull=False)
    newest = judged.order_by("-created_at", "-pk")
    ours, theirs = (_number("evidence", "business", side, "total_cost", "value") for side in ("candidate", "champion"))
    change = newest.annotate(change=ours / NullIf(theirs, Value(0.0)) - Value(1.0)).values("change")[:1]
    realised = AccuracyRecord.objects.filter(version=OuterRef("pk")).order_by("-actuals_until", "-computed_at")
    scores = {"wape": "wape", "wrmsse": "wrmsse", "coverage": "coverage80"}
    return (
        rows.select_related("spec")
        .defer(*BIG)
        .annotate(
            is_champion=Exists(open_now),
            champion_since=Subquery(open_now.values("from_at")[:1]),
            ever_served=Exists(reigns),
            **{f"backtest_{k}": _number("backtest", "scores", "overall", v, "value") for k, v in scores.items()},
            **{f"holdout_{k}": _number("evaluation", "scores", "overall", v, "value") for k, v in scores.items()},
            cost_change=Subquery(change, output_field=FloatField()),
            realised_wape=Subquery(realised.values("wape")[:1]),
        )
    )


@dataclass(frozen=True)
class Trend:
    """A few scores in order. basis: realised, holdout or backtest; what: what the steps are."""

    basis: str
    what: str
    values: tuple[float | None, ...]


def trends_of(versions: Collection[int]) -> dict[int, Trend]:
    """WAPE by week of each version, from the best source that has two weeks: realised in service, else the sealed
    holdout, else by week ahead on the backtest. Three queries, whatever the number of versions."""
    realised: dict[int, dict[tuple[int, int], float | None]] = {}
    rows = AccuracyRecord.objects.filter(version__in=versions).order_by("forecast_set__origin_date", "actuals_until")
    for version, origin, wape in rows.values_list("version_id", "forecast_set__origin_date", "wape"):
        iso = origin.isocalendar()
        realised.setdefault(version, {})[(iso.year, iso.week)] = wape  # the week's last forecast, as far as it has come
    found: dict[int, Trend] = {}
    for version, weeks in realised.items():
        if len(weeks) > 1:
            found[version] = Trend("realised", "week of the forecast", tuple(weeks.values())[-TREND_WEEKS:])
    left = set(versions) - set(found)
    if left:
        found |= _holdout_trends(left)
    left -= set(found)
    if left:
        found |= _backtest_trends(left)
    return found


def _holdout_trends(versions: Collection[int]) -> dict[int, Trend]:
    rows = GateReport.objects.filter(candidate__in=versions).annotate(weeks=KeyTransform("weeks", "evidence"))
    found = {}
    for version, weeks in rows.order_by("created_at", "pk").values_list("candidate_id", "weeks"):
        values = tuple((((week.get("candidate") or {}).get("wape")) or {}).get("value") for week in weeks or [])
        if len(values) > 1:
            found[version] = Trend("holdout", "week of the holdout", values)
    return found


def _backtest_trends(versions: Collection[int]) -> dict[int, Trend]:
    by_week = KeyTransform("by_week", KeyTransform("scores", "backtest"))
    rows = ModelVersion.objects.filter(pk__in=versions).annotate(weeks=by_week).values_list("pk", "weeks")
    found = {}
    for version, weeks in rows:
        values = tuple((row.get("wape") or {}).get("value") for row in (weeks or {}).values())
        if len(values) > 1:
            found[version] = Trend("backtest", "week ahead", values)
    return found


@dataclass(frozen=True)
class Moment:
    """One thing that happened to a version. model, pk: the object to look at."""

    at: datetime
    what: str
    who: str
    detail: str
    model: str
    pk: str


_SAID = ("reason", "verdict", "good", "failing", "mode", "refused")
_OF_ASSIGNMENTS = ("champion.assigned", "forecast.stored", "forecast.published")


def timeline_of(version: ModelVersion) -> list[Moment]:
    """The version's story, newest first: from the audit trail (of it, its judgements and its requests) and from its
    times as champion."""
    reports = [str(pk) for pk in version.gate_reports.values_list("pk", flat=True)]
    asked = [str(pk) for pk in version.promotion_requests.values_list("pk", flat=True)]
    about = Q(subject_type="forecasting.ModelVersion", subject_id=str(version.pk))
    for label, keys in (("forecasting.GateReport", reports), ("forecasting.PromotionRequest", asked)):
        if keys:
            about |= Q(subject_type=label, subject_id__in=keys)
    events = AuditEvent.objects.filter(about).exclude(event__in=_OF_ASSIGNMENTS).order_by("-at", "-pk")[:EVENTS_SHOWN]
    story = [
        Moment(one.at, one.event, one.actor_name, _said(one.data), one.subject_type, one.subject_id) for one in events
    ]
    story += _forecasts(version)
    for reign in version.assignments.select_related("version"):
        story += _reign(reign)
    return sorted(story, key=lambda one: one.at, reverse=True)


def _said(data: dict[str, Any]) -> str:
    told = []
    for key in _SAID:
        value = data.get(key)
        if value not in (None, "", []):
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value).replace("_", " ")
            told.append(words if key == "reason" else f"{key}: {words}")
    return "; ".join(told)


def _forecasts(version: ModelVersion) -> list[Moment]:
    """Its first forecast, with how many followed: daily ones would hide the rest."""
    rows = version.forecast_sets.filter(channel=Channel.LIVE)
    found = rows.aggregate(first=Min("created_at"), count=Count("pk"), published=Count("published_at"))
    first = rows.order_by("created_at").first()
    if first is None:
        return []
    detail = f"{found['count']:,} forecast{'' if found['count'] == 1 else 's'} so far, {found['published']:,} published"
    return [Moment(found["first"], "forecast.first", "system", detail, "forecasting.ForecastSet", str(first.pk))]


def _reign(reign: ChampionAssignment) -> list[Moment]:
    key, channel = str(reign.pk), "" if reign.channel == Channel.LIVE else f"channel {reign.channel}; "
    began = Moment(
        reign.from_at, f"champion.{reign.kind}", reign.assigned_by_name,
        f"{channel}{reign.reason}", "forecasting.ChampionAssignment", key,
    )  # fmt: skip
    if reign.to_at is None:
        return [began]
    after = (
        ChampionAssignment.objects.select_related("version")
        .filter(channel=reign.channel, from_at__gte=reign.to_at)
        .exclude(pk=reign.pk)
        .order_by("from_at", "pk")
        .first()
    )
    back = after is not None and after.kind == AssignmentKind.ROLLBACK
    what = "champion.rolled_back" if back else "champion.followed"
    by = after.assigned_by_name if after is not None else "system"
    followed = f"{channel}followed by {after.version.label}" if after is not None else channel
    return [began, Moment(reign.to_at, what, by, followed, "forecasting.ChampionAssignment", key)]
