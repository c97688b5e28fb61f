"""Whether days that a candidate was judged on were written again since."""

from __future__ import annotations

from datetime import date

from django.db.models import DateTimeField, Q, Subquery, Value
from django.db.models.functions import Coalesce

from forecasting.models import Demand, GateReport, KnownFuture
from integrations.models import IngestBatch
from integrations.models.batch import BatchState
from ledger.models import Run


def judged_days_changed(report: GateReport) -> str | None:
    """Which delivery changed days that this report judged, in words; None where none did.

    A day names the delivery that last wrote it, and a delivery that repeats what is there writes nothing. Reports that
    judged no days (a refresh's guard) are None.
    """
    end = (report.evidence.get("holdout") or {}).get("end")
    if not end:
        return None
    last = date.fromisoformat(end)
    began = Run.objects.filter(pk=report.run_id).values("started_at")[:1]  # of judging; it read before it wrote
    since = Coalesce(Subquery(began), Value(report.created_at), output_field=DateTimeField())
    later = IngestBatch.objects.filter(state=BatchState.LOADED, received_at__gte=since, first_day__lte=last)
    for batch in later.order_by("pk"):
        written = Q(batch_id=batch.pk, date__lte=last, date__gte=batch.first_day)
        ahead = batch.files.filter(role="covariates").exists()  # else there is nothing to look for in a large table
        if Demand.objects.filter(written).exists() or (ahead and KnownFuture.objects.filter(written).exists()):
            return f"{batch} of {batch.received_at:%Y-%m-%d %H:%M} UTC changed days on or before {last}"
    return None
