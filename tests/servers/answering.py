"""An HTTP server on the loopback address that answers like a chat API, and fails as one is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["NO_ANSWERS", "Answering", "answering"]

Behaviour = int | str
"""A status other than 200, ``hang up``, ``cut off``, ``empty``, ``null``, ``without an index``, a name of
``NO_ANSWERS``, or else the text of the answer."""
NO_ANSWERS: dict[str, bytes] = {
    "an error": b'{"error": {"message": "upstream is overloaded", "code": 503}}',
    "an error in the choice": b'{"choices": [{"index": 0, "finish_reason": "error", "message": {"content": ""}}]}',
    "no choices": b'{"object": "chat.completion", "choices": []}',
    "no message": b'{"choices": [{"index": 0, "finish_reason": "stop"}]}',
    "no object": b"null",
    "no JSON": b"<html>come back later</html>",
}
"""Replies with status 200 that hold no answer."""


class Answering(ThreadingHTTPServer):
    """Answers request n with behaviour n, and all after the last with the last; keeps what it was sent."""

    daemon_threads = True

    def __init__(self, behaviours: list[Behaviour], port: int = 0) -> None:
        self.behaviours = behaviours
        self.received: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """Where chat completions are asked for."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1/chat/completions"


class _Handler(BaseHTTPRequestHandler):
    server: Answering
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.received)
            self.server.received.append(body)
            self.server.keys.append(self.headers.get("Authorization"))
        behaviour = self.server.behaviours[min(number, len(self.server.behaviours) - 1)]
        if behaviour == "hang up":
            self.close_connection = True
            self.connection.close()
        elif isinstance(behaviour, int):
            self._send(behaviour, b'{"error": {"message": "not now"}}')
        elif behaviour in NO_ANSWERS:
            self._send(200, NO_ANSWERS[behaviour])
        else:
            text = {"empty": "", "null": None, "cut off": "B", "without an index": "A"}.get(behaviour, behaviour)
            message = {"role": "assistant", "content": text}
            number = {} if behaviour == "without an index" else {"index": 0}
            answer = {"choices": [{**number, "message": message, "finish_reason": "stop"}]}
            self._send(200, json.dumps(answer).encode(), whole=behaviour != "cut off")

    def _send(self, status: int, sent: bytes, *, whole: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent if whole else sent[: len(sent) // 2])
        self.close_connection = self.close_connection or not whole

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(*behaviours: Behaviour, port: int = 0) -> Iterator[Answering]:
    """Run a server while the block runs."""
    server = Answering(list(behaviours), port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
