"""Files that a scenario sends: the tenant's own newest day once more, whole or without saying which products."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path

from config.simulation.errors import SimulationRefused
from config.simulation.world import World
from integrations.engine.contract import DataContract, Role
from integrations.errors import IntegrationError
from integrations.models import Contract, Delivery, DriftItem, Source
from integrations.models.delivery import DeliveryState, Via
from integrations.models.drift import DriftState
from integrations.models.source import ContractState
from integrations.services.contracts import contract_of
from integrations.services.deliveries import Upload, receive
from integrations.services.drift import discard_drift
from integrations.services.files import match_files
from ledger.models import Run

_ENDED = (DeliveryState.LOADED, DeliveryState.REFUSED, DeliveryState.HELD)


def source_of(world: World) -> tuple[Source, DataContract]:
    """A source whose sales are delivered as CSV, with its contract in force. Raises ``SimulationRefused``."""
    active = Contract.objects.filter(state=ContractState.ACTIVE).select_related("source").order_by("source__name")
    for row in active:
        contract = contract_of(row)
        sales = contract.files.transactions
        if str(sales.format) == "csv" and row.source.last_sync_at is not None:
            return row.source, contract
    raise SimulationRefused("No source of this tenant delivers its sales as CSV and was loaded before. Choose another.")


def newest_day(world: World, contract: DataContract, *, spoilt: bool, turn: int) -> bytes:
    """All rows of the newest day in the tenant's own sales file, as a file; ``turn`` puts them in another order.

    Loading it again gives the same demand: it is the whole day. Raises ``SimulationRefused``.
    """
    sales = contract.files.transactions
    heading, rows = _read(_sales_file(world, contract), sales.delimiter, sales.encoding)
    columns = {field: heading.index(column) for column, field in contract.field_map.items() if column in heading}
    try:
        days = [datetime.strptime(row[columns["date"]].strip(), contract.date_format).date() for row in rows]
    except (KeyError, ValueError, IndexError) as error:
        raise SimulationRefused(f"The tenant's sales file cannot be read for its newest day: {error}") from error
    last = max(days)
    chosen = [list(row) for row, day in zip(rows, days, strict=True) if day == last]
    shift = turn % max(len(chosen), 1)
    chosen = chosen[shift:] + chosen[:shift]
    if spoilt:
        for row in chosen:
            row[columns["product_id"]] = ""  # an export that lost its join: which product was sold is not said
    out = io.StringIO()
    writer = csv.writer(out, delimiter=sales.delimiter, lineterminator="\n")
    writer.writerows([heading, *chosen])
    return out.getvalue().encode(sales.encoding)


def deliver(world: World, source: Source, contract: DataContract, content: bytes, *, name: str) -> Delivery:
    """Send it through the service that every door uses, and wait until the worker has read it."""
    pattern = contract.files.transactions.pattern
    filled = pattern.replace("*", f"-{name}") if "*" in pattern else pattern
    receipt = receive(source=source, uploads=[Upload(filled, io.BytesIO(content))], via=Via.COMMAND, actor=None)
    number = receipt.delivery.pk
    ended = world.wait(
        lambda: Delivery.objects.filter(pk=number, state__in=_ENDED).first(), f"The reading of delivery {number}"
    )
    if ended.run_id is not None:
        world.done(Run.objects.get(pk=ended.run_id))
    waiting = DriftItem.objects.filter(delivery_id=number, state=DriftState.OPEN).first()
    if waiting is not None:  # everything later would wait behind it
        discard_drift(item_id=waiting.pk, reason="A file of a simulated incident", actor=None)
    return Delivery.objects.get(pk=number)


def _sales_file(world: World, contract: DataContract) -> Path:
    try:
        files = match_files(contract=contract, data=world.files, max_bytes=10**10)
    except IntegrationError as error:
        raise SimulationRefused(
            f"The tenant's own files are not at {world.files}: {error} Name them with --files."
        ) from error
    return sorted(files[Role.TRANSACTIONS])[-1]


def _read(path: Path, delimiter: str, encoding: str) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        heading = next(reader)
        return heading, [row for row in reader if row]
