"""Which forecast set a request means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import OuterRef, Subquery

from forecasting.models import ChampionAssignment, Channel, ForecastSet
from ledger.api.errors import NotHere

CHAMPION = "champion"


@dataclass(frozen=True)
class ServedSet:
    """A forecast set, whether its version is champion now, and since when these very rows answer the request."""

    found: ForecastSet
    is_champion: bool
    since: datetime

    @property
    def version(self) -> int:
        return self.found.version.number


def read_version(text: str) -> str | int:
    """Parser of the parameter ``version``; raises ``ValueError`` saying what is allowed."""
    if text == CHAMPION:
        return CHAMPION
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"must be 'champion' or the number of a version such as 7, not {text[:40]!r}")
    return int(text)


def find_set(*, version: str | int, origin: date | None) -> ServedSet:
    """The newest set of the champion (published ones only) or of a version by number; or the one from ``origin``.

    Drills are never served. One query; a second one only to say what there is where nothing fits (``NotHere``).
    """
    open_now = ChampionAssignment.objects.filter(
        channel=Channel.LIVE, to_at__isnull=True, version=OuterRef("version_id")
    )
    rows = ForecastSet.objects.select_related("version").filter(channel=Channel.LIVE)
    rows = rows.annotate(champion_since=Subquery(open_now.values("from_at")[:1]))
    if version == CHAMPION:
        rows = rows.filter(champion_since__isnull=False, published_at__isnull=False)
    else:
        rows = rows.filter(version__number=version)
    if origin is not None:
        rows = rows.filter(origin_date=origin)
    found = rows.order_by("-origin_date", "-pk").first()
    if found is None:
        raise _nothing(version, origin)
    # After a rollback an older set serves again: it counts as changed since then, not since it was made.
    moments = (found.created_at, found.published_at, found.champion_since)
    since = max(moment for moment in moments if moment is not None)
    return ServedSet(found, found.champion_since is not None, since)


def target_days(found: ForecastSet, step_days: int = 1) -> tuple[date, date]:
    """First and last day that a set speaks of."""
    return found.origin_date + timedelta(days=1), found.origin_date + timedelta(days=found.horizon * step_days)


def _nothing(version: str | int, origin: date | None) -> NotHere:
    rows = ForecastSet.objects.filter(channel=Channel.LIVE).order_by("-version__number", "-origin_date")
    known = [f"v{number} from {day}" for number, day in rows.values_list("version__number", "origin_date")[:8]]
    there = f"Forecasts exist of: {', '.join(known)}." if known else "No version has forecasts yet."
    since = f" from origin {origin}" if origin is not None else ""
    if version == CHAMPION:
        return NotHere(
            f"No champion's forecasts{since} serve. A promotion request has to be approved, or ask by number. {there}"
        )
    return NotHere(f"There are no forecasts of version {version}{since}. {there}")
