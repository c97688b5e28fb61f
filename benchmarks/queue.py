"""How long one look at the queue takes: ``python -m benchmarks.queue``; what it writes is rolled back."""

from __future__ import annotations

import os
import statistics
import time


def main() -> None:
    """Fill the long queue for a thousand tenants and take from it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.db import transaction
    from django.utils import timezone
    from django_q.models import OrmQ
    from django_q.signing import SignedPackage

    from ledger.queues import Queue, Taker, finish, key_of

    for tenants, each in ((10, 10), (1000, 1), (1000, 10), (1000, 50)):
        with transaction.atomic():
            OrmQ.objects.all().delete()
            now = timezone.now()
            OrmQ.objects.bulk_create(
                (
                    OrmQ(
                        key=key_of(Queue.LONG, f"shop_{tenant}"),
                        payload=SignedPackage.dumps({"args": (f"shop_{tenant}", str(number))}),
                        lock=now,
                    )
                    for number in range(each)
                    for tenant in range(tenants)
                ),
                batch_size=5000,
            )
            taker, seconds, served = Taker(Queue.LONG), [], set()
            for _ in range(100):
                began = time.perf_counter()
                message = taker.take()
                assert message is not None
                finish(message)
                seconds.append(time.perf_counter() - began)
                served.add(message.schema_name)
            transaction.set_rollback(True)
        print(
            f"{tenants} tenants, {tenants * each} messages: median {1000 * statistics.median(seconds):.1f} ms, "
            f"worst {1000 * max(seconds):.1f} ms for a take; 100 takes served {len(served)} tenants"
        )


if __name__ == "__main__":
    main()
