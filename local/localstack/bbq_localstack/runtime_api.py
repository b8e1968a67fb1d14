"""The Lambda Runtime API for one process of a function
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): the process asks for its next
invocation, and gives back a response or an error.
"""

import json
import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the process said of an invocation."""

    request: str
    is_error: bool
    body: bytes


class RuntimeApi:
    """Serves from the start; as long-lived as its process, so that no invocation is given to one
    that is gone.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()  # the process has initialised and asks for work
        self.init_error: bytes | None = None
        self.answers: queue.Queue[Answer] = queue.Queue()
        self._waiting: queue.Queue[tuple[dict[str, str], int]] = queue.Queue()
        self._closed = False
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """For AWS_LAMBDA_RUNTIME_API."""
        return f"{LOOPBACK}:{self._server.server_port}"

    def give(self, payload: dict[str, str], deadline_ms: int) -> None:
        """The next invocation: LocalStack's payload, and when it must be over, in ms since 1970."""
        self._waiting.put((payload, deadline_ms))

    def next(self) -> tuple[dict[str, str], int] | None:
        """The next invocation, whenever it comes; None once closed."""
        self.asked.set()
        while not self._closed:
            try:
                return self._waiting.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
        return None

    def close(self) -> None:
        """Nothing is answered any more."""
        self._closed = True
        self._server.shutdown()
        self._server.server_close()


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class, which http.server calls
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # .../runtime/invocation/next
            invocation = api.next()
            if invocation is None:
                return
            payload, deadline_ms = invocation
            body = payload["payload"].encode()
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Lambda-Runtime-Aws-Request-Id": payload["invoke-id"],
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": payload["invoked-function-arn"],
                "Lambda-Runtime-Trace-Id": payload["trace-id"],
            }
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        # .../runtime/invocation/ID/response, .../ID/error, or .../runtime/init/error
        def do_POST(self) -> None:
            body = self._body()
            match self.path.strip("/").split("/")[2:]:
                case ["init", "error"]:
                    api.init_error = body
                case ["invocation", request, what]:
                    api.answers.put(Answer(request=request, is_error=what == "error", body=body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def log_message(self, *_: Any) -> None:
            """Not in LocalStack's log."""

    return Handler


def error_body(kind: str, message: str) -> bytes:
    """An error as Lambda words it."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
