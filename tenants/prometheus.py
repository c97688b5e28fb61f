"""What Prometheus scrapes: the fleet, the queues and the service levels, in its text format. Nothing names a person.

The figures are read from the public schema when they are asked for, a query each, whatever the number of tenants; so
every web process of every host gives the same answer. Format: prometheus.io, "Exposition formats", version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger import wakeups
from ledger.models import Run, RunState
from ledger.presence import worker_is_present
from ledger.queues import Queue
from tenants.models import Heartbeat, RequestCount, Tenant, TenantStatus
from tenants.services.dispatching import jobs_waiting
from tenants.services.platform_audit import last_verified
from tenants.services.slo_measuring import compliance_now
from tenants.slos import SloState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class Metric:
    """A gauge with its samples: labels and value."""

    name: str
    help: str
    samples: list[tuple[dict[str, str], float]]

    def lines(self) -> Iterator[str]:
        """Its text."""
        yield f"# HELP forecourt_{self.name} {self.help}"
        yield f"# TYPE forecourt_{self.name} gauge"
        for labels, value in self.samples:
            named = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()))
            yield f"forecourt_{self.name}{{{named}}} {value:g}" if named else f"forecourt_{self.name} {value:g}"


def exposition() -> str:
    """The whole page."""
    with schema_context(get_public_schema_name()):
        return "\n".join(line for metric in _metrics() for line in metric.lines()) + "\n"


def _metrics() -> Iterator[Metric]:
    counts = dict(
        Tenant.objects.exclude(schema_name=get_public_schema_name()).values_list("status").annotate(n=Count("pk"))
    )
    yield Metric("tenants", "Tenants by status.", [({"status": s}, counts.get(s, 0)) for s in TenantStatus.values])
    waiting = jobs_waiting()
    yield Metric("jobs_waiting", "Jobs in the queue.", [({"queue": q.value}, waiting[q]) for q in Queue])
    yield Metric("worker_present", "Whether any worker of this database lives.", [({}, int(worker_is_present()))])
    redis = wakeups.answers()
    if redis is not None:
        yield Metric("redis_up", "Whether the Redis that wakes job processes answers.", [({}, int(redis))])
    platform = Run.objects.filter(state__in=[RunState.QUEUED, RunState.RUNNING]).count()
    yield Metric("platform_runs_live", "Runs of the platform itself that are queued or at work.", [({}, platform)])
    verified = last_verified()
    if verified is not None:
        whole = int(verified.state == RunState.SUCCEEDED)
        yield Metric("platform_audit_verified", "Whether the platform's audit trail was whole at last.", [({}, whole)])
    yield from _fleet()
    yield from _requests()
    yield from _levels()


def _fleet() -> Iterator[Metric]:
    sums = Heartbeat.objects.aggregate(
        open=Sum("open_incidents"),
        sev1=Sum("open_sev1"),
        pending=Sum("pending_approvals"),
        late=Count("pk", filter=Q(slo_critical__gt=0)),
        oldest=Min("last_forecast_at", filter=~Q(champion="")),
    )
    yield Metric("incidents_open", "Open incidents of all tenants.", [({}, sums["open"] or 0)])
    yield Metric("incidents_sev1", "Of them, those of severity 1.", [({}, sums["sev1"] or 0)])
    yield Metric("approvals_pending", "Promotion requests that wait for a person.", [({}, sums["pending"] or 0)])
    yield Metric("tenants_slo_critical", "Tenants with a service level missed for two windows.", [({}, sums["late"])])
    if sums["oldest"] is not None:
        age = (timezone.now() - sums["oldest"]).total_seconds()
        yield Metric("forecast_age_seconds_max", "Age of the oldest forecast that serves.", [({}, age)])


def _requests() -> Iterator[Metric]:
    since = timezone.now() - _WINDOW
    sums = RequestCount.objects.filter(minute__gte=since).aggregate(
        requests=Sum("requests"), errors=Sum("errors"), slow=Sum("slow")
    )
    yield Metric(
        "api_requests_5m",
        "API requests of the last five minutes; errors and slow ones are among them.",
        [
            ({"kind": kind}, sums[name] or 0)
            for kind, name in (("all", "requests"), ("error", "errors"), ("slow", "slow"))
        ],
    )


def _levels() -> Iterator[Metric]:
    levels = compliance_now()
    shares = [({"slo": slo.name}, found.share) for slo, found in levels if found.share is not None]
    left = [({"slo": slo.name}, found.budget_left) for slo, found in levels if found.budget_left is not None]
    yield Metric("slo_objective", "The promised share.", [({"slo": slo.name}, slo.objective) for slo, _ in levels])
    yield Metric("slo_share", "The share that was kept, over the rolling window.", shares)
    yield Metric("slo_budget_left", "Share of the error budget that is left; below 0 it is overdrawn.", left)
    yield Metric(
        "slo_state",
        "1 for the state that the level is in.",
        [({"slo": slo.name, "state": s.value}, int(found.state is s)) for slo, found in levels for s in SloState],
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
