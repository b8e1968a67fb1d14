"""The stand-in behind HTTP, on 127.0.0.1 only: the REST calls of the SDKs, the jobs' life on the
clock, S3 and EventBridge.

Beside Bedrock's own paths: `GET /standin/ledger` tells what happened, `POST /standin/weather` sets
fields of `Weather`, and `GET /standin/health` answers. Nothing is kept when it ends.
"""

import contextlib
import json
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
from botocore.exceptions import ClientError

from tests.standin.bedrock import HTTP_STATUS, Bedrock, Event, Lost, Refusal

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client

TICK_SECONDS = 0.1
# Bedrock user guide, "Monitor Bedrock with EventBridge"
DETAIL_TYPE = "Batch Inference Job State Change"


class S3Files:
    """Objects of the emulator's S3."""

    def __init__(self, s3: "S3Client") -> None:
        self._s3 = s3

    def read(self, uri: str) -> bytes:
        """Raises FileNotFoundError if there is no such object, or no right to read it."""
        bucket, key = _place(uri)
        with _denied(uri):
            return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def write(self, uri: str, body: bytes) -> None:
        """Put an object. Raises FileNotFoundError if there is no such bucket, or no right to write
        to it.
        """
        bucket, key = _place(uri)
        with _denied(uri):
            self._s3.put_object(Bucket=bucket, Key=key, Body=body)


def _place(uri: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@contextlib.contextmanager
def _denied(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"].get("Code") in {"NoSuchKey", "NoSuchBucket", "AccessDenied"}:
            raise FileNotFoundError(uri) from error
        raise


class Standin:
    """Serves until it is closed. `port` may be 0; `url` says where it is."""

    def __init__(
        self, bedrock: Bedrock, *, port: int, events: "EventBridgeClient | None", event_source: str
    ) -> None:
        """`events` is None if state changes are to be sent to no bus. The bus takes no source that
        begins with `aws.`.
        """
        self.bedrock, self.lock = bedrock, threading.Lock()
        self._events, self._event_source = events, event_source
        self._waiting: list[Event] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", port), type("Handler", (_Handler,), {"standin": self})
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._threads = [
            threading.Thread(target=run, daemon=True)
            for run in (self._server.serve_forever, self._live)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Until it is closed."""
        self._closing.wait()

    def _live(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            try:
                with self.lock:
                    self._waiting += self.bedrock.advance(time.time())
                self._send([event for event in self._waiting if event.due <= time.time()])
            except Exception:  # noqa: BLE001 - an emulator that does not answer for a moment must not end the jobs' life
                traceback.print_exc(file=sys.stderr)

    def _send(self, due: list[Event]) -> None:
        for event in sorted(due, key=lambda event: event.due):
            if self._events is not None:
                detail = json.dumps(event.detail)
                entry: Any = {
                    "Source": self._event_source,
                    "DetailType": DETAIL_TYPE,
                    "Detail": detail,
                    "Resources": [event.detail["batchJobArn"]],
                }
                self._events.put_events(Entries=[entry])
            self._waiting.remove(event)


class _Handler(BaseHTTPRequestHandler):
    standin: Standin  # set by the class that Standin makes
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet

    def do_GET(self) -> None:
        self._handle({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._handle(json.loads(body or b"{}"))
        except json.JSONDecodeError:
            self._answer(400, {"message": "the body is not JSON"}, "SerializationException")

    def _handle(self, body: Any) -> None:
        try:
            with self.standin.lock:
                answer = self._route(body, time.time())
        except Refusal as refusal:
            self._answer(
                HTTP_STATUS.get(refusal.code, 400), {"message": refusal.message}, refusal.code
            )
        except Lost:
            self.close_connection = True  # without a word
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"message": str(error)}, "ValidationException")
        else:
            self._answer(200, answer)

    def _route(self, body: Any, now: float) -> Any:
        """An ARN comes as one part of the path, percent-encoded; else the operation is unknown
        (recorded).
        """
        url, bedrock = urlsplit(self.path), self.standin.bedrock
        match (self.command, *url.path.split("/")[1:]):
            case ("POST", "model-invocation-job"):
                return bedrock.create(body, now)
            case ("GET", "model-invocation-job", identifier):
                return bedrock.get(unquote(identifier), now)
            case ("GET", "model-invocation-jobs"):
                return bedrock.list_jobs(dict(parse_qsl(url.query, keep_blank_values=True)), now)
            case ("POST", "model-invocation-job", identifier, "stop"):
                return bedrock.stop(unquote(identifier), now)
            case ("GET", "standin", "health"):
                return {}
            case ("GET", "standin", "ledger"):
                return bedrock.ledger()
            case ("POST", "standin", "weather"):
                bedrock.change_weather(body, now)
                return {}
            case _:
                raise Refusal(
                    "UnknownOperationException", f"no such operation: {self.command} {url.path}"
                )

    def _answer(self, status: int, body: Any, error: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


def emulated(service: str, url: str, region: str) -> Any:
    """A client of the emulator at `url`, with the credentials that emulators take."""
    session = boto3.Session("test", "test", region_name=region)
    return session.client(service, endpoint_url=url)  # type: ignore[call-overload] # a name at run time
