"""``manage.py serve``: web and worker together, for one machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from config.processes import end_with_parent
from tenants.services.provisioning import ensure_platform

_STOP_SECONDS = 30


class Command(BaseCommand):
    help = "Serve the web and run background jobs until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--check-port", action="store_true", help="only say whether the port is free")

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        require_free_port(port)
        if options["check_port"]:
            return
        _make_platform()
        if settings.PRODUCTION:
            call_command("collectstatic", interactive=False, verbosity=0)
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi:application", "--workers", "1"]
        gunicorn += ["--no-control-socket", "--log-level", "warning"]
        web = [
            *gunicorn,
            "--bind",
            f"{settings.ENV.bind}:{port}",
            "--threads",
            str(settings.ENV.web_threads),
            "--timeout",
            "120",
        ]
        environment = {**os.environ, "PORT": str(port)}
        children = {
            name: subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, preexec_fn=_child)  # noqa: S603  # ours
            for name, command in {"web": web, "worker": [*manage, "worker"]}.items()
        }
        self.stdout.write(f"Serving at http://{settings.PLATFORM_HOST}:{port}/admin/ - stop with Ctrl-C.")
        self.stdout.flush()
        stopping: list[int] = []
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda received, frame: stopping.append(received))
        failed = None
        while not stopping and failed is None:
            time.sleep(0.3)
            failed = next((name for name, child in children.items() if child.poll() is not None), None)
        stop(children)
        if failed is not None:
            raise CommandError(f"The {failed} process ended by itself; its message is above. Nothing is left running.")


def _make_platform() -> None:
    """Make the platform's own row: without it its host is unknown, and nobody can sign in or apply."""
    try:
        ensure_platform()
    except DatabaseError as error:
        raise CommandError("The database is not ready: run `manage.py release` first.") from error
    connection.close()


def _child() -> None:
    """In the child: Ctrl-C goes to us, who stop the children in order; and they end if we are killed."""
    os.setpgrp()
    end_with_parent(signal.SIGTERM)


def stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """End the children: ask, wait, and only then kill."""
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    for child in children.values():
        try:
            child.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()


def require_free_port(port: int) -> None:
    """Raise ``CommandError`` (exit status 2) where ``port`` is none, is in use already, or may not be used."""
    if not 1 <= port <= 65535:
        raise CommandError(f"{port} is no port; choose one from 1 to 65535.", returncode=2)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.ENV.bind, port))
        except PermissionError as error:
            raise CommandError(
                f"Port {port} may not be used by this user. Choose one above 1023: PORT=8000 make run", returncode=2
            ) from error
        except OSError as error:
            raise CommandError(
                f"Port {port} is in use. Stop what uses it, or choose another: PORT={port + 1} make run", returncode=2
            ) from error
