"""What happens to a delivery after its receipt: its place in the source's order, its states, and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from integrations.delivery_errors import BytesGone, ReasonMissing
from integrations.errors import SourcePaused, TenantSuspended
from integrations.models import Delivery, DriftItem, Source
from integrations.models.delivery import DELIVERY_TRANSITIONS, DeliveryState
from integrations.models.drift import DriftState
from integrations.models.source import SourceState
from ledger.errors import TransitionRefused
from ledger.models import LIVE_STATES, Run, RunState
from ledger.schema import connection
from ledger.services import runs
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role
from tenants.selectors import get_tenant

KIND = "integrations.ingest"


def check_takes_files(source: Source) -> None:
    """Raise ``TenantSuspended`` or ``SourcePaused`` where no file is taken now."""
    tenant = get_tenant(connection.schema_name)  # as it is now, not as the connection remembers it
    if not tenant.is_serving:
        raise TenantSuspended(tenant.schema_name, tenant.status_reason)
    if Source.objects.filter(pk=source.pk, state=SourceState.PAUSED).exists():
        raise SourcePaused(source.name)


def start_run(*, delivery: Delivery, actor: AbstractBaseUser | None) -> Run:
    """Queue the run that reads a delivery; each delivery has a scope of its own, so that runs may queue."""
    run = runs.enqueue(kind=KIND, inputs={"delivery": delivery.pk}, scope=scope_of(delivery), requested_by=actor)
    delivery.run_id = run.pk
    delivery.save(update_fields=["run_id"])
    return run


def run_of(delivery: Delivery) -> Run:
    """The run that reads the delivery; every delivery that is booked has one."""
    if delivery.run_id is None:
        raise Run.DoesNotExist(f"{delivery} has no run")
    return Run.objects.get(pk=delivery.run_id)


def scope_of(delivery: Delivery) -> str:
    """The scope of a delivery's run."""
    return f"{delivery.source.name}/{delivery.pk}"


# --- the order -------------------------------------------------------------------------------------------------------


def live_before(delivery: Delivery) -> Run | None:
    """The live run of an earlier delivery of the same source, which this one waits for."""
    earlier = Delivery.objects.filter(source_id=delivery.source_id, pk__lt=delivery.pk, run_id__isnull=False)
    return Run.objects.filter(pk__in=earlier.values("run_id"), state__in=LIVE_STATES).order_by("queued_at").first()


def one_at_a_time(source: Source) -> None:
    """Let starts of one source follow one another until the transaction ends; loads lock the source's row too long."""
    with connection.cursor() as cursor:
        key = f"{connection.schema_name}/{source.pk}/ingest"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def _running_after(delivery: Delivery) -> bool:
    later = Delivery.objects.filter(source_id=delivery.source_id, pk__gt=delivery.pk, run_id__isnull=False)
    return Run.objects.filter(pk__in=later.values("run_id"), state=RunState.RUNNING).exists()


def held_before(delivery: Delivery) -> Delivery | None:
    """The earlier delivery of the same source that waits for a person, and this one with it."""
    earlier = Delivery.objects.filter(source_id=delivery.source_id, pk__lt=delivery.pk, state=DeliveryState.HELD)
    return earlier.order_by("pk").first()


def may_start(run: Run) -> bool:
    """Whether a queued run of the ingest may start: its source takes files, no earlier delivery is live or held, and no
    later one is being read (a resumed run may be older than that one). Call it in the transaction that starts the run.
    """
    delivery = _of_run(run)
    if delivery is None:
        return True
    one_at_a_time(delivery.source)
    if _running_after(delivery):
        return False
    free = live_before(delivery) is None and held_before(delivery) is None
    return free and delivery.source.state != SourceState.PAUSED


def waits_for(run: Run) -> str:
    """What a queued run of the ingest waits for, in words; empty where nothing but a worker keeps it."""
    delivery = _of_run(run)
    if delivery is None:
        return ""
    held = held_before(delivery)
    if held is not None:
        return (
            f"It waits behind delivery {held.pk} of {held.source.name}, which is held because its columns changed. "
            "A tenant admin decides under “Changed columns”; this one is read after that"
        )
    if delivery.source.state == SourceState.PAUSED:
        return f"It waits because {delivery.source.name} is paused. It is read once the source is resumed"
    if live_before(delivery) is not None:
        return f"It waits for an earlier delivery of {delivery.source.name}: they are read in their order"
    return ""


def run_ended(run: Run) -> None:
    """What an ended run leaves: a cancelled delivery is discarded, a refused one says why, and the next one is sent."""
    delivery = _of_run(run)
    if delivery is None:
        return
    if delivery.state == DeliveryState.RECEIVED:
        if run.state == RunState.CANCELLED:
            change_state(delivery, DeliveryState.DISCARDED, problem="Its run was cancelled.")
            drop_bytes(delivery)
        elif run.state == RunState.FAILED and run.error_code not in ("crash", "lost"):
            change_state(delivery, DeliveryState.REFUSED, problem=run.error)
    send_next(source=delivery.source)


def send_next(*, source: Source) -> None:
    """Tell the broker of the source's earliest delivery that waits, once the transaction has committed."""
    waiting = Delivery.objects.filter(source=source, state__in=[DeliveryState.RECEIVED, DeliveryState.REFUSED])
    for run_id in waiting.filter(run_id__isnull=False).order_by("pk").values_list("run_id", flat=True):
        run = Run.objects.filter(pk__in=[run_id], state=RunState.QUEUED).first()
        if run is not None:
            runs.send(run)
            return


def _of_run(run: Run) -> Delivery | None:
    return Delivery.objects.filter(run_id=run.pk).select_related("source").first()


# --- its life --------------------------------------------------------------------------------------------------------


def change_state(delivery: Delivery, state: DeliveryState, **fields: Any) -> Delivery:
    """Move a delivery along its transition table and save it; raise ``TransitionRefused``."""
    if state not in DELIVERY_TRANSITIONS[delivery.state]:
        raise TransitionRefused(str(delivery), delivery.state, state)
    delivery.state = state
    for name, value in fields.items():
        setattr(delivery, name, value)
    delivery.save()
    return delivery


def drop_bytes(delivery: Delivery) -> None:
    """Forget where the bytes are and delete them once the transaction has committed; the rows and hashes stay."""
    paths = [path for path in delivery.files.values_list("path", flat=True) if path]
    if not paths:
        return
    delivery.files.exclude(path="").update(path="", dropped_at=timezone.now())
    delete_on_commit(paths)


def delete_on_commit(paths: Sequence[str]) -> None:
    """Delete stored files once the transaction has committed; one that cannot be deleted stops nothing."""
    for path in paths:
        transaction.on_commit(partial(default_storage.delete, path), robust=True)


@transaction.atomic
def release_delivery(*, delivery_id: int, reason: str, actor: AbstractBaseUser | None) -> Run:
    """Read a held delivery after all, under the contract that is in force then; a new run is queued for it.

    Raises ``TransitionRefused`` unless it is held, ``BytesGone``, ``SourcePaused``, ``ReasonMissing``,
    ``RoleRequired``.
    """
    delivery = _lock(delivery_id, reason, actor)
    if DeliveryState.RECEIVED not in DELIVERY_TRANSITIONS[delivery.state]:
        raise TransitionRefused(str(delivery), delivery.state, DeliveryState.RECEIVED)
    check_takes_files(delivery.source)
    if delivery.files.filter(path="").exists():
        raise BytesGone(str(delivery))
    change_state(delivery, DeliveryState.RECEIVED, problem="")
    run = start_run(delivery=delivery, actor=actor)
    data = {"source": delivery.source.name, "reason": reason.strip()}
    record(event="delivery.released", actor=actor, subject=delivery, data=data, correlation_id=run.correlation_id)
    return run


@transaction.atomic
def discard_delivery(*, delivery_id: int, reason: str, actor: AbstractBaseUser | None) -> Delivery:
    """Give a held or refused delivery up; what waited behind it goes on.

    The bytes of a refused one are deleted, its hashes stay. Those of a held one, which nobody has read yet, are kept as
    long as all others are, and its item of the inbox is closed with it.

    Raises ``TransitionRefused`` where it is loaded, discarded or still waiting, ``ReasonMissing``, ``RoleRequired``.
    """
    delivery = _lock(delivery_id, reason, actor)
    run = Run.objects.filter(pk__in=[delivery.run_id], state__in=LIVE_STATES).first()
    if run is not None:
        raise TransitionRefused(str(delivery), run.get_state_display().lower(), DeliveryState.DISCARDED)
    was_held = delivery.state == DeliveryState.HELD
    change_state(delivery, DeliveryState.DISCARDED, problem=reason.strip())
    if was_held:
        close_item(delivery, reason=reason, actor=actor)
    else:
        if delivery.batch is not None:
            delivery.batch.files.exclude(kept_path="").update(kept_path="")
        drop_bytes(delivery)
    data = {"source": delivery.source.name, "reason": reason.strip()}
    record(event="delivery.discarded", actor=actor, subject=delivery, data=data)
    send_next(source=delivery.source)
    return delivery


def close_item(delivery: Delivery, *, reason: str, actor: AbstractBaseUser | None) -> None:
    """Close what the inbox of changed columns asks about a delivery that is discarded."""
    for item in DriftItem.objects.select_for_update().filter(delivery=delivery, state=DriftState.OPEN):
        item.state, item.reason = DriftState.DISCARDED, reason.strip()
        item.decided_at, item.decided_by_name = timezone.now(), actor_name(actor)
        item.decided_by = actor if isinstance(actor, User) else None
        item.save()
        data = {"source": delivery.source.name, "delivery": delivery.pk, "reason": item.reason}
        record(event="drift.discarded", actor=actor, subject=item, data=data)


def _lock(delivery_id: int, reason: str, actor: AbstractBaseUser | None) -> Delivery:
    if actor is not None:
        require_role(actor, TenantRole.TENANT_ADMIN)
    if not reason.strip():
        raise ReasonMissing()
    source_id = Delivery.objects.values_list("source_id", flat=True).get(pk=delivery_id)
    Source.objects.select_for_update().get(pk=source_id)
    return Delivery.objects.select_for_update(of=("self",)).select_related("source", "batch").get(pk=delivery_id)
