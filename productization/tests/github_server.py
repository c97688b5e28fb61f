"""A server on this machine that answers as GitHub's REST API documents."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class GitHub:
    """What the server says. answers: path without its query -> (status, headers, body); asked: what came."""

    url: str = ""
    answers: dict[str, tuple[int, dict[str, str], Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    delay: float = 0.0


@contextmanager
def github_server() -> Iterator[GitHub]:
    """Serve on a free port until the block ends."""
    said = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            time.sleep(said.delay)
            path, _, query = self.path.partition("?")
            missing: tuple[int, dict[str, str], Any] = (
                404,
                {},
                {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"},
            )
            status, headers, body = said.answers.get(path, missing)
            if callable(body):
                body = body(query)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield said
    finally:
        server.shutdown()
        server.server_close()
