"""Wakes idle job processes through a Redis, where ``FORECOURT_REDIS_URL`` names one; else nothing here does anything.

The message in the database is the truth. A token in the list of its queue says only that a look is worth while: it is
pushed after the commit, one token wakes one process, and none of them has to arrive. A process looks by itself after
``REDIS_WAIT_SECONDS``, and as often as without a Redis while that is away. A token tells nothing of whose job it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from ledger.schema import connection

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)
AWAY_SECONDS = 5.0
"""For so long a Redis that failed is left alone, so that it costs one request in that time a moment and no more."""
MOST_TOKENS = 1000
"""So many are kept at most: busy processes leave them lying, and each costs a look when they are idle again."""
TOKEN_SECONDS = 60
_ANSWER_SECONDS = 0.5
_SLICE_SECONDS = 0.2


def announce(queue: str, number: int = 1) -> None:
    """There are so many new messages in the queue: wake as many processes once this transaction has committed."""
    if settings.REDIS is not None and number > 0:
        transaction.on_commit(partial(wake, queue, number), robust=True)


def wake(queue: str, number: int = 1) -> None:
    """Wake so many idle processes of the queue now. Never fails, and waits for half a second at most."""
    link = _link()
    if link is not None:
        link.push(list_of(queue), min(number, MOST_TOKENS))


def wait(queue: str, asked: Callable[[], bool]) -> bool:
    """Wait for a token of the queue, for ``REDIS_WAIT_SECONDS`` at most, and not for long after ``asked()``.

    False where that cannot be: no Redis is set, or it is away; the caller then sleeps as if there were none.
    """
    link = _link()
    return link is not None and link.wait(list_of(queue), settings.REDIS_WAIT_SECONDS, asked)


def answers() -> bool | None:
    """Whether the Redis answers now; None where none is set."""
    link = _link()
    return None if link is None else link.answers()


def close() -> None:
    """Let go of the connections of this process; the next call makes new ones."""
    if _kept is not None:
        _kept.close()


def list_of(queue: str) -> str:
    """The list of a queue's tokens: of this installation's key and database, so that another one may use the same
    Redis."""
    own = salted_hmac("ledger.wakeups", str(connection.settings_dict["NAME"]), algorithm="sha256").hexdigest()[:16]
    return f"forecourt:{own}:{queue}"


class _Link:
    """The way of this process to the Redis of these options."""

    def __init__(self, options: dict[str, Any]) -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
        from redis.retry import Retry

        self.options = options
        self._errors = (RedisError, OSError, UnicodeError)  # the last of a host's name that cannot be one
        self._lock = threading.Lock()
        self._alone_until = 0.0
        self._told = False
        self._client: Redis = Redis(
            **options,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )

    def push(self, key: str, number: int) -> None:
        """Add tokens. In three commands and no transaction: waiting processes are served before the list is cut."""
        if self._is_left_alone():
            return
        pipeline = self._client.pipeline(transaction=False)
        pipeline.lpush(key, *["1"] * number)
        pipeline.ltrim(key, 0, MOST_TOKENS - 1)
        pipeline.expire(key, TOKEN_SECONDS)
        self._tried(pipeline.execute)

    def wait(self, key: str, seconds: float, asked: Callable[[], bool]) -> bool:
        """Take a token, or let the time go by. False where the Redis is away."""
        return not self._is_left_alone() and self._tried(partial(self._take, key, seconds, asked))

    def answers(self) -> bool:
        """Ask it, whether it was left alone or not."""
        return self._tried(self._client.ping)

    def close(self) -> None:
        """Close what is open."""
        self._client.connection_pool.disconnect()

    def _tried(self, step: Callable[[], object]) -> bool:
        """Do it, and note whether the Redis was there."""
        try:
            step()
        except self._errors as error:
            self._failed(error)
            return False
        self._answered()
        return True

    def _take(self, key: str, seconds: float, asked: Callable[[], bool]) -> None:
        """One command that the server answers when there is a token; we look at its answer in slices, so that a
        process that is told to stop need not wait for it."""
        pool = self._client.connection_pool
        held = pool.get_connection()
        done = False
        try:
            held.send_command("BLPOP", key, seconds)  # type: ignore[no-untyped-call]  # the library's
            until = time.monotonic() + seconds + _ANSWER_SECONDS
            while not asked():
                if held.can_read(timeout=_SLICE_SECONDS):
                    held.read_response()
                    done = True
                    return
                if time.monotonic() > until:
                    raise TimeoutError(f"no answer for {seconds + _ANSWER_SECONDS:g} s")
        finally:
            if not done:  # the server must not give a token to somebody who has gone
                held.disconnect()  # type: ignore[no-untyped-call]  # the library's
            pool.release(held)

    def _is_left_alone(self) -> bool:
        return time.monotonic() < self._alone_until

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._alone_until = time.monotonic() + AWAY_SECONDS
            told, self._told = self._told, True
        if not told:
            poll = settings.Q_CLUSTER["poll"]
            logger.warning("Redis does not wake job processes; they look every %g s (%s)", poll, self._words(error))

    def _answered(self) -> None:
        if self._told or self._alone_until:
            with self._lock:
                told, self._told, self._alone_until = self._told, False, 0.0
            if told:
                logger.info("Redis answers again")

    def _words(self, error: Exception) -> str:
        """What went wrong; a server may repeat a command that it does not know, and with it the password."""
        text = f"{type(error).__name__}: {error}"
        password = self.options["password"]
        return (text.replace(password, "…") if password else text)[:200]


_kept: _Link | None = None
_keeping = threading.Lock()


def _link() -> _Link | None:
    """The link of the settings' Redis, made when it is first needed; the library is not even loaded without one."""
    global _kept
    options = settings.REDIS
    if options is None:
        return None
    with _keeping:
        if _kept is None or _kept.options is not options:
            _kept = _Link(options)
        return _kept
