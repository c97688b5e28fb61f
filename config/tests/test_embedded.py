"""The embedded PostgreSQL: shared, stopped with its last user, and none the worse for kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from config.conf import BASE_DIR
from config.database import embedded
from config.database.embedded import running_socket

_USER = """
import sys, time, pathlib, psycopg
from config.database import embedded
socket = embedded.ensure_server(pathlib.Path(sys.argv[1]), create_database="forecourt")
with psycopg.connect(host=socket, user="postgres", dbname="forecourt") as connection:
    print(connection.execute("SELECT 6 * 7").fetchone()[0], flush=True)
sys.stdin.read()
"""


class Process:
    """A process that uses the server until its input is closed."""

    def __init__(self, data_dir: Path) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _USER, str(data_dir)],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def leave(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        self.popen.wait(timeout=30)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(timeout=30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def make() -> Process:
        process = Process(tmp_path / "data")
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
    pid = _postmaster(tmp_path)
    if pid is not None:
        os.kill(pid, signal.SIGINT)
        _wait(lambda: _postmaster(tmp_path) is None)


def _postmaster(tmp_path: Path) -> int | None:
    try:
        pid = int((tmp_path / "data/postgres/postmaster.pid").read_text().splitlines()[0])
    except (OSError, IndexError):
        return None
    return pid if psutil.pid_exists(pid) else None


def _wait(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_embedded__killed_users_and_a_killed_server__serves_the_next_and_stops_with_the_last(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    first, second = start(), start()  # at the same time, on an empty folder
    assert (first.answer(), second.answer()) == ("42", "42")
    server = _postmaster(tmp_path)
    assert server is not None

    first.kill()
    third = start()
    assert third.answer() == "42"
    assert _postmaster(tmp_path) == server, "one server serves them all"

    os.kill(server, signal.SIGKILL)
    assert _wait(lambda: _postmaster(tmp_path) is None)
    fourth = start()
    assert fourth.answer() == "42"
    assert _postmaster(tmp_path) not in (None, server)

    second.leave()
    third.kill()
    socket = running_socket(tmp_path / "data")
    assert socket is not None
    with psycopg.connect(host=socket, user="postgres", dbname="forecourt") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    fourth.kill()  # nobody leaves in good order, and the server stops all the same
    assert _wait(lambda: _postmaster(tmp_path) is None), "the last user is gone, so is the server"


@pytest.mark.parametrize("content", [None, "", f"{os.getpid()}\n"], ids=["no file", "an empty file", "another process"])
def test_embedded__no_server_is_starting__is_not_waited_for(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "postgres").mkdir()
    if content is not None:
        (tmp_path / "postgres" / "postmaster.pid").write_text(content)
    begun = time.monotonic()
    embedded._wait_while_starting(tmp_path)
    assert time.monotonic() - begun < 30 and running_socket(tmp_path) is None
