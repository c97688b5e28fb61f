"""Training chains, as a list of their first runs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from ledger.models import Run

RETRAIN_KIND, GATE_KIND = "forecasting.retrain", "forecasting.gate"


class ChainManager(models.Manager["Chain"]):
    """First runs of chains: trainings, and judgements that were asked for alone."""

    def get_queryset(self) -> QuerySet[Chain]:
        """Each with ``last_kind``, ``last_state``, ``last_outputs``, ``last_error`` and ``last_finished_at`` of its
        newest step; the steps come one after the other, so that its state is the chain's."""
        first = Q(kind__in=[RETRAIN_KIND, GATE_KIND], inputs__chain=True, parent__isnull=True)
        steps = Run.objects.filter(parent=OuterRef("pk")).order_by("-queued_at", "-pk")
        shown = ("kind", "state", "outputs", "error", "finished_at")
        newest = {name: Subquery(steps.values(name)[:1]) for name in shown}
        return (
            super()
            .get_queryset()
            .filter(first)
            .annotate(has_steps=Exists(steps))
            .annotate(
                last_kind=Coalesce(newest["kind"], F("kind")),
                last_state=Coalesce(newest["state"], F("state")),
                last_outputs=Coalesce(newest["outputs"], F("outputs")),
                last_error=Coalesce(newest["error"], F("error")),
                last_finished_at=Case(When(has_steps=True, then=newest["finished_at"]), default=F("finished_at")),
            )
        )


class Chain(Run):
    """A chain by its first run; nothing of its own is stored."""

    objects: ClassVar[ChainManager] = ChainManager()

    class Meta:
        proxy = True
        verbose_name = "chain"
        ordering = ["-queued_at"]
