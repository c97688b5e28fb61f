"""Dry runs of the demo tenants' onboarding: the artifact package of each, the same bytes on any day."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from integrations.demo import CONTRACTS
from integrations.demo.write import LAST_SALE
from integrations.engine.contract import load_contract
from integrations.engine.report import write_artifacts
from integrations.services.files import match_files
from integrations.services.ingest import read_files


@dataclass(frozen=True, slots=True)
class DryRun:
    """What one tenant's dry run came to, and the files it wrote."""

    tenant: str
    verdict: str
    rows_read: int
    rows_rejected: int
    artifacts: tuple[Path, ...]


def dry_runs(*, data: Path, out: Path) -> Iterator[DryRun]:
    """Read each demo tenant's files (``data/<tenant>``, as ``write_demo_files`` writes them) under its contract, and
    write the package of ``write_artifacts`` to ``out/<tenant>``. Loads nothing and needs no database.

    Future and history are measured from the tenant's last sale, never from today.
    """
    for tenant, last_sale in LAST_SALE.items():
        contract = load_contract((CONTRACTS / f"{tenant}.yaml").read_bytes())
        files = match_files(contract=contract, data=data / tenant, max_bytes=2**40)
        result = read_files(contract=contract, files=files, as_of=last_sale.date())
        paths = write_artifacts(result, out / tenant)
        yield DryRun(
            tenant, result.verdict.value, result.total("rows_read"), result.total("rows_rejected"), tuple(paths)
        )


def differing(runs: Sequence[DryRun], *, kept: Path) -> list[Path]:
    """The artifacts that are not, byte for byte, in ``kept/<tenant>``, and those that stand there and should not."""
    wanted = {kept / run.tenant / path.name: path for run in runs for path in run.artifacts}
    stale = [path for run in runs for path in (kept / run.tenant).glob("*") if path not in wanted]
    return [target for target, path in wanted.items() if not _same(path, target)] + stale


def _same(path: Path, target: Path) -> bool:
    return target.is_file() and filecmp.cmp(path, target, shallow=False)
