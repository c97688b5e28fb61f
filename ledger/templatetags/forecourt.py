"""How figures, dates and states read on every page."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django import template
from django.template.context import RequestContext
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ledger.jobs import job_title

register = template.Library()

UNKNOWN = "–"
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "PLN": "zł"}
_TONES: dict[str, str] = {
    "succeeded": "good", "running": "info", "queued": "plain", "failed": "bad", "cancelled": "plain", "lost": "warn",
    "active": "good", "trial": "info", "suspended": "bad", "draft": "plain", "paused": "warn", "superseded": "plain",
    "loaded": "good", "requires_custom_adapter": "warn", "passed": "good", "error": "bad", "warning": "warn",
    "info": "info",
    "training": "info", "candidate": "info", "challenger": "good", "retired": "plain", "champion": "good",
    "eligible": "good", "blocked": "bad", "insufficient_evidence": "warn",
    "pending": "warn", "approved": "good", "rejected": "bad", "lapsed": "plain", "withdrawn": "plain",
    "cold_start": "plain", "warming": "info", "production_tier_candidate": "info", "production_tier_active": "good",
    "valid": "good", "revoked": "bad", "expired": "plain", "published": "good", "shadow": "plain",
}  # fmt: skip


@register.filter
def words(value: object) -> str:
    """A code as words: ``production_tier_active`` becomes ``Production tier active``; a version's ``v7`` stays."""
    text = str(value or "").replace("_", " ").strip()
    return text if text[:1] == "v" and text[1:2].isdigit() else text[:1].upper() + text[1:]


@register.filter
def event_words(event: object) -> str:
    """An event's name as words: ``promotion.approved`` becomes ``Promotion approved``."""
    return words(str(event or "").replace(".", " "))


@register.filter
def run_title(kind: object) -> str:
    """What people call this kind of job."""
    return job_title(str(kind))


@register.simple_tag
def badge(value: object, text: object = None, tone: str | None = None) -> SafeString:
    """A state as a badge; the word carries the meaning, the colour only repeats it."""
    shown = text if text is not None else words(value)
    return format_html('<span class="fc-badge is-{}">{}</span>', tone or _TONES.get(str(value), "plain"), shown)


@register.filter
def num(value: object, digits: int = 0) -> str:
    """A number with thousands separators and ``digits`` decimals; a dash where it is not known."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        try:
            value = float(str(value))
        except ValueError:
            return UNKNOWN
    return f"{value:,.{digits}f}"


@register.filter
def pct(value: object, digits: int = 1) -> str:
    """A share as percent; a dash where it is not known."""
    return f"{value * 100:,.{digits}f}%" if isinstance(value, int | float) else UNKNOWN


@register.filter
def signed_pct(value: object, digits: int = 1) -> str:
    """A change as percent, with its sign."""
    return f"{value * 100:+,.{digits}f}%" if isinstance(value, int | float) else UNKNOWN


def money_text(value: object, currency: str, digits: int = 0) -> str:
    """An amount in ``currency``; a dash where it is not known."""
    if not isinstance(value, int | float):
        return UNKNOWN
    sign = "−" if value < 0 else ""
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"{sign}{symbol}{abs(value):,.{digits}f}"


@register.simple_tag(takes_context=True)
def money(context: RequestContext, value: object, digits: int = 0) -> str:
    """An amount in the tenant's currency."""
    tenant = getattr(context.get("request"), "tenant", None)
    return money_text(value, getattr(tenant, "currency", "USD"), digits)


@register.filter
def day(value: object) -> str:
    """A day or moment as a day, such as 5 Mar 2026; ISO text is read as well."""
    moment = _moment(value)
    if moment is None:
        return UNKNOWN
    if isinstance(moment, datetime):
        moment = timezone.localtime(moment)
    return f"{moment.day} {moment:%b %Y}"


@register.filter
def moment(value: object) -> str:
    """A moment in the tenant's time zone, such as 5 Mar 2026, 14:05."""
    at = _moment(value)
    if at is None:
        return UNKNOWN
    if not isinstance(at, datetime):
        return day(at)
    at = timezone.localtime(at)
    return f"{at.day} {at:%b %Y, %H:%M}"


@register.filter
def ago(value: object) -> str:
    """How long ago a moment or day was, in its largest unit."""
    at = _moment(value)
    if at is None:
        return UNKNOWN
    if not isinstance(at, datetime):
        days = (timezone.localdate() - at).days
        return "today" if days == 0 else f"{span(abs(days) * 86400)} {'ago' if days > 0 else 'ahead'}"
    seconds = (timezone.now() - at).total_seconds()
    return "just now" if -60 < seconds < 60 else f"{span(abs(seconds))} {'ago' if seconds > 0 else 'from now'}"


@register.filter
def span(seconds: object) -> str:
    """A duration in its largest unit, whole: ``3 days``; seconds below two minutes."""
    if not isinstance(seconds, int | float):
        return UNKNOWN
    for size, unit in ((31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size * (2 if unit == "minute" else 1):
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    count = int(seconds)
    return f"{count} second{'s' if count != 1 else ''}"


@register.filter
def size(value: object) -> str:
    """Bytes for people."""
    if not isinstance(value, int | float):
        return UNKNOWN
    amount, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"


@register.filter
def lookup(mapping: object, key: object) -> Any:
    """The entry of a mapping, or nothing."""
    return mapping.get(key) if isinstance(mapping, dict) else None


def _moment(value: object) -> date | datetime | None:
    if isinstance(value, str) and value:
        try:
            value = datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if timezone.is_aware(value) else timezone.make_aware(value)
    return value if isinstance(value, date) else None
