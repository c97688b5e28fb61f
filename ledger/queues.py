"""The two queues of background jobs, and how their messages are taken: fairly between tenants, and on a lease.

A message says which run there is to do; django-q2's broker carries it. Its key names the queue and the tenant, so that
whoever takes the next one can choose the tenant first: the one with the fewest jobs at work, then the one that was
served longest ago. So a tenant with a hundred jobs and one with a single job take turns.

A taken message is leased: whoever works renews it, and where nobody does any more it comes back by itself. Whoever
waits for one may be woken (``ledger.wakeups``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings
from django.utils import timezone
from django_tenants.utils import get_public_schema_name

from ledger.schema import connection
from ledger.wakeups import announce

logger = logging.getLogger(__name__)


class Queue(StrEnum):
    """Which processes do a job: short ones never wait behind long ones."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True)
class Message:
    """A message that was taken: its number at the broker and what it says."""

    id: int
    queue: Queue
    schema_name: str
    run_id: str


def key_of(queue: Queue, schema_name: str) -> str:
    """Under which key the broker keeps the messages of a queue and tenant."""
    return f"{queue.value}/{schema_name}"


def put(queue: Queue, schema_name: str, run_id: str, *, name: str) -> None:
    """Tell the broker of a run."""
    from django_q import tasks
    from django_q.brokers import get_broker

    broker = get_broker(key_of(queue, schema_name))
    tasks.async_task("ledger.execution.execute", schema_name, run_id, task_name=name, broker=broker)
    announce(queue)


class _Kept:
    """Stands where a broker would, and keeps what it is given."""

    list_key = ""

    def __init__(self) -> None:
        self.payloads: list[str] = []

    def enqueue(self, payload: str) -> int:
        self.payloads.append(payload)
        return len(self.payloads)


def put_many(queue: Queue, messages: Iterable[tuple[str, str, str]]) -> None:
    """Write many messages (schema, run, name) in one statement of this transaction."""
    from django_q import tasks
    from django_q.models import OrmQ

    kept, keys = _Kept(), []
    for schema_name, run_id, name in messages:
        tasks.async_task("ledger.execution.execute", schema_name, run_id, task_name=name, broker=kept)
        keys.append(key_of(queue, schema_name))
    now = timezone.now()
    OrmQ.objects.bulk_create(OrmQ(key=key, payload=one, lock=now) for key, one in zip(keys, kept.payloads, strict=True))
    announce(queue, len(keys))


class Taker:
    """Takes the messages of one queue, one at a time; each job process has its own."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._turn = 0
        self._served: dict[str, int] = {}

    def take(self) -> Message | None:
        """The next message, leased to the caller; None where nothing waits that may be done now.

        Tenants that have as many jobs of this queue at work as they may are passed over; the platform's own jobs are
        not counted. Where another process was faster, or a message was dropped, the next one of that tenant may be
        there to take: whoever goes to wait has seen none.
        """
        again = True
        while again:
            again = False
            for key, head in self._heads():
                payload = _lease(head)
                if payload is None:
                    again = True
                    continue
                self._turn += 1
                self._served[key] = self._turn
                message = _read(head, self.queue, payload)
                if message is not None:
                    return message
                again = True
        return None

    def _heads(self) -> list[tuple[str, int]]:
        """Keys with their oldest waiting message, in the order in which they are to be served."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT key, min(id) FILTER (WHERE lock <= clock_timestamp()), "
                "count(*) FILTER (WHERE lock > clock_timestamp()) FROM public.django_q_ormq "
                "WHERE starts_with(key, %s) GROUP BY key",
                [key_of(self.queue, "")],
            )
            found = [(key, head, busy) for key, head, busy in cursor.fetchall() if head is not None]
        public = key_of(self.queue, get_public_schema_name())
        free = [one for one in found if one[0] == public or one[2] < settings.TENANT_JOBS]
        return [
            (key, head) for key, head, _ in sorted(free, key=lambda one: (one[2], self._served.get(one[0], 0), one[1]))
        ]


def renew(ids: Collection[int]) -> None:
    """Hold these messages for another lease."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE public.django_q_ormq SET lock = clock_timestamp() + make_interval(secs => %s) WHERE id = ANY(%s)",
            [settings.RUN_LOST_AFTER_SECONDS, list(ids)],
        )


def finish(message: Message) -> None:
    """The message is done with, whatever came of its run."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM public.django_q_ormq WHERE id = %s", [message.id])


def waiting(schemas: Iterable[str] | None = None) -> dict[str, dict[Queue, int]]:
    """Messages that nobody has taken yet, by tenant and queue; one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT split_part(key, '/', 2), split_part(key, '/', 1), count(*) FROM public.django_q_ormq "
            "WHERE lock <= clock_timestamp() AND split_part(key, '/', 1) = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2",
            [[queue.value for queue in Queue]],
        )
        rows = cursor.fetchall()
    wanted = None if schemas is None else set(schemas)
    counts: dict[str, dict[Queue, int]] = {}
    for schema_name, queue, number in rows:
        if wanted is None or schema_name in wanted:
            counts.setdefault(schema_name, {})[Queue(queue)] = number
    return counts


def _lease(message_id: int) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE public.django_q_ormq SET lock = clock_timestamp() + make_interval(secs => %s) "
            "WHERE id = %s AND lock <= clock_timestamp() RETURNING payload",
            [settings.RUN_LOST_AFTER_SECONDS, message_id],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _read(message_id: int, queue: Queue, payload: str) -> Message | None:
    """What it says; one that was not signed by us is thrown away."""
    from django_q.signing import BadSignature, SignedPackage

    try:
        schema_name, run_id = SignedPackage.loads(payload)["args"]
    except (BadSignature, TypeError, ValueError, KeyError):
        logger.error("a message of the queue was not written by this installation; it is dropped")
        finish(Message(message_id, queue, "", ""))
        return None
    return Message(message_id, queue, schema_name, run_id)
