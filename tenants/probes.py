"""The addresses that machines ask, on whatever host: alive, ready, metrics."""

from __future__ import annotations

import hmac
import ipaddress

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from ledger.presence import worker_is_present
from ledger.schema import connection
from tenants.prometheus import CONTENT_TYPE, exposition
from tenants.selectors import readiness_problems

NO_WORKER = "no worker is there: jobs wait"


def answer(request: HttpRequest) -> HttpResponse | None:
    """The answer to a machine's question, None where this is none."""
    probe = {"/healthz": _alive, "/readyz": _ready, "/metrics": _metrics}.get(request.path)
    return None if probe is None else probe(request)


def _alive(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def _ready(request: HttpRequest) -> HttpResponse:
    """503 with a line for each reason. A load balancer asks with ``?worker=optional``: a page can be served without
    one, and a worker that is being replaced must not take the site away."""
    problems = readiness_problems()
    worker = not problems and worker_is_present()
    if not problems and not worker and request.GET.get("worker") != "optional":
        problems = [NO_WORKER]
    text = "\n".join(problems) if problems else f"ready{'' if worker else ' (without a worker)'}"
    return HttpResponse(f"{text}\n", content_type="text/plain", status=503 if problems else 200)


def _metrics(request: HttpRequest) -> HttpResponse:
    if not _may_scrape(request):
        return HttpResponse("not found\n", content_type="text/plain", status=404)
    try:
        return HttpResponse(exposition(), content_type=CONTENT_TYPE)
    except DatabaseError:
        connection.close()
        return HttpResponse("the database does not answer\n", content_type="text/plain", status=503)


def _may_scrape(request: HttpRequest) -> bool:
    """With the token, where one is set; else only from this machine itself, and not through a proxy on it."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    if any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP")):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
