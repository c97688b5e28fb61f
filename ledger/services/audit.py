"""The one way to write an audit event."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models

_INSERT = """
INSERT INTO ledger_auditevent
    (event, actor_id, actor_name, subject_type, subject_id, subject_label, correlation_id, data)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb)
"""


def actor_name(actor: AbstractBaseUser | AnonymousUser | None) -> str:
    """The name that is frozen into records: the user's name, or ``system``."""
    return actor.get_username() if actor is not None and actor.pk is not None else "system"


def record(
    *,
    event: str,
    actor: AbstractBaseUser | AnonymousUser | None = None,
    subject: models.Model | None = None,
    data: dict[str, Any] | None = None,
    correlation_id: uuid.UUID | None = None,
) -> None:
    """Append one event in the current schema and transaction. ``data`` must hold no secrets."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            [
                event,
                actor.pk if actor is not None else None,
                actor_name(actor),
                subject._meta.label if subject is not None else "",
                str(subject.pk) if subject is not None else "",
                str(subject)[:200] if subject is not None else "",
                correlation_id,
                json.dumps(data or {}, cls=DjangoJSONEncoder),
            ],
        )
