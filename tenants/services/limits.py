"""How often a public form may be used; counted in the database, so that several web processes count together."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.schema import connection
from tenants.models import Attempt

LONGEST = timedelta(days=1)


def allow(kind: str, value: str, *, limit: int, within: timedelta) -> bool:
    """Count one use of ``kind`` by ``value``; ``False`` where ``limit`` uses within the time were counted already.

    Uses of one key are counted one after the other, so that many requests at once do not slip through together.
    """
    key = salted_hmac(f"forecourt.limit.{kind}", value, algorithm="sha256").hexdigest()
    now = timezone.now()
    with schema_context(get_public_schema_name()), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
        mine = Attempt.objects.filter(key=key)
        mine.filter(at__lt=now - LONGEST).delete()
        if mine.filter(at__gt=now - within).count() >= limit:
            return False
        Attempt.objects.create(key=key, at=now)
    return True


def network_of(request: HttpRequest) -> str:
    """The network that a request comes from: an IPv4 address, or an IPv6 /64 (a household has all of it).

    ``X-Forwarded-For`` counts only as far as our own proxies wrote it (``FORECOURT_TRUSTED_PROXIES``).
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()]
        if len(hops) >= settings.TRUSTED_PROXIES:
            address = hops[-settings.TRUSTED_PROXIES]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
