"""A receiver of webhooks on this machine that checks signatures and misbehaves as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from api.service.outgoing.signatures import verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of tests alone


@dataclass
class Receiver:
    """What came in, and what is answered.

    ``answers`` are taken one by one, then 204: a status, or ``None`` for no answer until `let_go`.
    """

    port: int = 0
    answers: list[int | None] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/ood?token=hush-hush"

    @property
    def bodies(self) -> str:
        return json.dumps(self.taken)


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Answer while the block runs, on the receiver's port if it has one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.answers.pop(0) if receiver.answers else 204
            receiver.asked.set()
            if status is None:
                receiver.let_go.wait(30)
                return
            if not verify(SECRET, dict(self.headers), body):
                status = 401
            message = json.loads(body)
            if status == 204:
                assert message["id"] == self.headers["webhook-id"]
                receiver.taken.append(message)
            else:
                receiver.refused.append(message["id"])
            self.send_response(status)
            if status == 302:
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
