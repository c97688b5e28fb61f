"""The job's side of a delivery: the stored files under their own names, read as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction

from integrations.delivery_errors import DeliveryClosed, NoContractInForce
from integrations.drift_errors import DeliveryBlocked
from integrations.engine.contract import Role
from integrations.models import Contract, Delivery, DeliveryFile, Source
from integrations.models.delivery import DeliveryState, Via
from integrations.models.source import ContractState
from integrations.services.delivery_life import check_takes_files, held_before, live_before, one_at_a_time
from integrations.services.files import batch_fingerprint
from integrations.services.ingest import IngestOutcome, ingest_files
from integrations.services.spool import staged
from ledger.context import RunContext
from ledger.errors import RunAlreadyLive
from ledger.models import Run
from ledger.services.audit import actor_name, record


def read_delivery(*, ctx: RunContext) -> IngestOutcome:
    """Read the delivery that the run is for and load it, wholly or not at all.

    Raises ``DeliveryClosed``, ``NoContractInForce``, ``BytesGone`` and what ``ingest_files`` raises.
    """
    delivery = Delivery.objects.select_related("source", "contract__source", "received_by").get(
        pk=ctx.inputs["delivery"]
    )
    check_takes_files(delivery.source)
    if delivery.state == DeliveryState.LOADED and delivery.batch is not None:  # a killed attempt had come to its end
        return IngestOutcome(delivery.batch, repeated=delivery.repeated)
    if delivery.state not in (DeliveryState.RECEIVED, DeliveryState.REFUSED):
        raise DeliveryClosed(str(delivery), delivery.get_state_display())
    row = delivery.contract or delivery.source.active_contract
    if row is None:
        raise NoContractInForce(delivery.source.name)
    stored = list(delivery.files.order_by("name"))  # as a folder would be read
    with staged([(file.name, file.path) for file in stored]) as paths:
        files: dict[Role, list[Path]] = {}
        for file, path in zip(stored, paths, strict=True):
            files.setdefault(Role(file.role), []).append(path)
        return ingest_files(
            contract_row=row,
            files=files,
            actor=ctx.run.requested_by,
            ctx=ctx,
            activate=delivery.via == Via.ONBOARDING and row.state == ContractState.DRAFT,
            delivery=delivery,
            hashes={path: file.sha256 for file, path in zip(stored, paths, strict=True)},
        )


@transaction.atomic
def book_command(
    *,
    source: Source,
    contract_row: Contract,
    files: Mapping[Role, Sequence[Path]],
    hashes: Mapping[Path, str],
    run: Run,
    actor: AbstractBaseUser | None,
) -> Delivery:
    """Write down what a command reads from this host's disk as a delivery that stores no bytes; idempotent for a run.

    Raises ``RunAlreadyLive`` where an earlier delivery of the source has not ended yet, ``DeliveryBlocked`` where one
    is held.
    """
    Source.objects.select_for_update().get(pk=source.pk)
    one_at_a_time(source)  # after the row: a load holds that for long, and claims of other runs wait for this
    known = Delivery.objects.filter(run_id=run.pk).first()
    if known is not None:
        return known
    pairs = [(role, path) for role, paths in files.items() for path in paths]
    delivery = Delivery.objects.create(
        source=source,
        via=Via.COMMAND,
        content_sha256=batch_fingerprint(contract_sha256="", hashes=[(role, hashes[path]) for role, path in pairs]),
        contract=contract_row,
        run_id=run.pk,
        received_by=actor if isinstance(actor, User) else None,
        received_by_name=actor_name(actor),
    )
    live = live_before(delivery)
    if live is not None:
        raise RunAlreadyLive(live)
    held = held_before(delivery)
    if held is not None:
        raise DeliveryBlocked(source.name, held.pk)
    DeliveryFile.objects.bulk_create(
        DeliveryFile(
            delivery=delivery, role=str(role), name=path.name[:255], sha256=hashes[path], bytes=path.stat().st_size
        )
        for role, path in pairs
    )
    facts = [{"role": str(role), "name": path.name, "sha256": hashes[path]} for role, path in pairs]
    record(
        event="delivery.received",
        actor=actor,
        subject=delivery,
        data={"source": source.name, "via": Via.COMMAND, "files": facts},
        correlation_id=run.correlation_id,
    )
    return delivery
