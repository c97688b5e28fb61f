"""Checks a schema's audit chain link by link."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.schema import connection

# The digest is spelled out here once more, on purpose: whoever can change rows as the database's owner can also change
# the trigger's function, and the verifier must not trust it.
_DIGEST = """
encode(sha256(convert_to(
    prev_hash || '|' || jsonb_build_object(
        'sequence', sequence, 'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'event', event,
        'actor_id', actor_id, 'actor_name', actor_name, 'subject_type', subject_type, 'subject_id', subject_id,
        'subject_label', subject_label, 'correlation_id', correlation_id, 'data', data)::text, 'UTF8')), 'hex')
"""
_BROKEN = f"""
SELECT id, sequence, event, hash <> digest AS altered, prev_hash <> before AS unlinked,
       sequence <> expected AS gap, expected
FROM (
    SELECT id, sequence, event, hash, prev_hash, {_DIGEST} AS digest,
           COALESCE(lag(hash) OVER chain, repeat('0', 64)) AS before,
           COALESCE(lag(sequence) OVER chain, 0) + 1 AS expected
    FROM ledger_auditevent WINDOW chain AS (ORDER BY sequence)
) AS links
WHERE hash <> digest OR prev_hash <> before OR sequence <> expected
ORDER BY sequence
"""  # noqa: S608  # a constant of this module


@dataclass(frozen=True)
class BrokenLink:
    """A row that is not what was written, or a place where rows are missing."""

    row_id: int | None
    sequence: int
    event: str
    problem: str


@dataclass(frozen=True)
class ChainReport:
    """One schema's chain: how many events, its head (to be kept elsewhere as an anchor), what is broken."""

    schema_name: str
    events: int
    head: str
    broken: tuple[BrokenLink, ...]

    @property
    def intact(self) -> bool:
        return not self.broken


def verify_chain() -> ChainReport:
    """Recompute every hash of the current schema's chain in one query."""
    broken: list[BrokenLink] = []
    with connection.cursor() as cursor:
        cursor.execute(_BROKEN)
        for row_id, sequence, event, altered, unlinked, gap, expected in cursor.fetchall():
            if altered:
                broken.append(BrokenLink(row_id, sequence, event, "its content is not what was recorded"))
            elif gap:
                broken.append(
                    BrokenLink(row_id, sequence, event, f"events {expected} to {sequence - 1} before it are missing")
                )
            elif unlinked:
                broken.append(BrokenLink(row_id, sequence, event, "it does not follow the row before it"))
        cursor.execute("SELECT count(*), COALESCE(max(sequence), 0) FROM ledger_auditevent")
        events, last = cursor.fetchone()
        cursor.execute("SELECT hash FROM ledger_auditevent ORDER BY sequence DESC LIMIT 1")
        found = cursor.fetchone()
        last_hash = found[0] if found else "0" * 64
        cursor.execute("SELECT sequence, hash FROM ledger_audithead")
        head = cursor.fetchone() or (0, "0" * 64)
    if head[0] > last:
        broken.append(BrokenLink(None, head[0], "", f"events {last + 1} to {head[0]} at the end are missing"))
    elif (head[0], head[1]) != (last, last_hash):
        broken.append(BrokenLink(None, last, "", "the head does not match the last event"))
    return ChainReport(schema_name=connection.schema_name, events=events, head=last_hash, broken=tuple(broken))
