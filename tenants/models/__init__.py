"""Tables of the public schema."""

from tenants.models.application import (
    APPLICATION_TRANSITIONS,
    OPEN_STATES,
    ApplicationState,
    Attempt,
    TenantApplication,
)
from tenants.models.dispatch import Dispatch, DispatchEntry, EntryOutcome
from tenants.models.erasure import ErasureCertificate
from tenants.models.heartbeat import Heartbeat
from tenants.models.mail import (
    INVITATION_TRANSITIONS,
    MAIL_TRANSITIONS,
    Invitation,
    InvitationState,
    MailKind,
    MailState,
    OutgoingMail,
)
from tenants.models.rollout import Rollout, RolloutEntry, RolloutOutcome, RolloutState
from tenants.models.schemas import KnownShape, SchemaMade, SchemaStanding, SchemaState, SchemaTemplate
from tenants.models.slo import RequestCount, SloSample
from tenants.models.tenant import TENANT_TRANSITIONS, Domain, Tenant, TenantStatus, TenantTier

__all__ = [
    "APPLICATION_TRANSITIONS",
    "INVITATION_TRANSITIONS",
    "MAIL_TRANSITIONS",
    "OPEN_STATES",
    "TENANT_TRANSITIONS",
    "ApplicationState",
    "Attempt",
    "Dispatch",
    "DispatchEntry",
    "Domain",
    "EntryOutcome",
    "ErasureCertificate",
    "Heartbeat",
    "Invitation",
    "InvitationState",
    "KnownShape",
    "MailKind",
    "MailState",
    "OutgoingMail",
    "RequestCount",
    "Rollout",
    "RolloutEntry",
    "RolloutOutcome",
    "RolloutState",
    "SchemaMade",
    "SchemaStanding",
    "SchemaState",
    "SchemaTemplate",
    "SloSample",
    "Tenant",
    "TenantApplication",
    "TenantStatus",
    "TenantTier",
]
