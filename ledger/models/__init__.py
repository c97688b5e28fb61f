"""Tables of the ledger."""

from ledger.models.audit import AuditEvent, AuditHead
from ledger.models.run import LIVE_STATES, RUN_TRANSITIONS, Run, RunState

__all__ = ["LIVE_STATES", "RUN_TRANSITIONS", "AuditEvent", "AuditHead", "Run", "RunState"]
