"""HTTP for the simulator: the four calls as botocore sends and reads them, and `/_simulator/` to
watch and disturb it.

Errors travel as botocore expects of rest-json: the code in `x-amzn-errortype`, the text as
`message`. Only the loopback interface is served and no signature is checked: it stands in for
Bedrock on a developer's machine, nothing else.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local.bedrock_simulator.errors import ACCESS, INTERNAL, THROTTLED, VALIDATION, BedrockError
from local.bedrock_simulator.faults import UnknownFaultError

if TYPE_CHECKING:
    import random

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from local.bedrock_simulator.access import Access
    from local.bedrock_simulator.driver import Driver, Now
    from local.bedrock_simulator.events import Events
    from local.bedrock_simulator.faults import Faults
    from local.bedrock_simulator.jobs import Job

MAX_BODY_BYTES = 1024**2
_LIST_NUMBERS, _LIST_TIMES = ("maxResults",), ("submitTimeAfter", "submitTimeBefore")

Handler = Callable[..., Response]


class App:
    """The WSGI application. `chance` decides on faults of calls; a job's own lot comes from the
    rules' seed.
    """

    def __init__(
        self, driver: Driver, events: Events, chance: random.Random, access: Access | None = None
    ) -> None:
        self._driver, self._events, self._chance, self._access = driver, events, chance, access
        self._counts = Counter(throttled=0, failed=0, denied=0, accepted_then_timed_out=0)
        self._counts_lock = threading.Lock()
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(path), handler)
            for method, path, handler in (
                ("POST", r"/model-invocation-job", self._create),
                ("GET", r"/model-invocation-jobs", self._list),
                ("POST", r"/model-invocation-job/([^/]+)/stop", self._stop),
                ("GET", r"/model-invocation-job/([^/]+)", self._get),
                ("GET", r"/_simulator/health", self._health),
                ("GET", r"/_simulator/jobs", self._jobs),
                ("GET", r"/_simulator/stats", self._stats),
                ("GET", r"/_simulator/denied", self._denied),
                ("GET", r"/_simulator/faults", self._show_faults),
                ("POST", r"/_simulator/faults", self._set_faults),
                ("POST", r"/_simulator/foreign-jobs", self._start_foreign),
                ("DELETE", r"/_simulator/foreign-jobs", self._end_foreign),
                ("POST", r"/_simulator/quotas", self._set_quota),
            )
        ]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = MAX_BODY_BYTES
        # read even if not wanted: what is left would be taken for the connection's next request
        request.get_data()
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        # As it was sent: an ARN whose slash is not encoded is another path, and no operation of
        # Bedrock's.
        sent = str(request.environ.get("RAW_URI", request.path)).partition("?")[0]
        known_path = False
        for method, path, handler in self._routes:
            found = path.fullmatch(sent)
            known_path = known_path or found is not None
            if found and method == request.method:
                return self._guarded(handler, request, *map(urllib.parse.unquote, found.groups()))
        if not sent.startswith("/_simulator/"):
            return _unknown_operation()
        return _json(
            {"message": f"There is no {request.method} {request.path} here."},
            405 if known_path else 404,
        )

    def _guarded(self, handler: Handler, request: Request, *groups: str) -> Response:
        try:
            return handler(request, *groups)
        except BedrockError as error:
            return _error(error)
        except UnknownFaultError as error:
            return _json({"message": str(error)}, 400)

    # The four calls.

    def _create(self, request: Request) -> Response:
        faults = self._faults()
        self._call_faults("Create", faults)
        body = _body(request)
        if self._access:
            self._access.create(request.headers.get("Authorization", ""), body)
        if self._strikes("denied", faults.deny):
            raise BedrockError(ACCESS)
        if self._strikes("accepted_then_timed_out", faults.accept_then_timeout):
            return self._accept_then_time_out(request, body, faults)
        return _json({"jobArn": self._driver.call(lambda now: now.bedrock.create(body, now.time))})

    def _accept_then_time_out(
        self, request: Request, body: dict[str, Any], faults: Faults
    ) -> Response:
        """Create makes the job, or is refused as ever; only the answer to an accepted one is
        lost.
        """
        if faults.timeout_makes_job == "after":
            time.sleep(faults.timeout_seconds)
            self._driver.call(lambda now: now.bedrock.create(body, now.time))
        else:
            self._driver.call(lambda now: now.bedrock.create(body, now.time))
            time.sleep(faults.timeout_seconds)
        if faults.timeout_answer == "close":
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return Response()
        if faults.timeout_answer == "504":
            return _json({"message": "Gateway time-out"}, 504)
        return _error(BedrockError(INTERNAL))

    def _get(self, request: Request, identifier: str) -> Response:
        self._call_faults("Get", self._faults())
        self._authorize(request, "GetModelInvocationJob", identifier)
        return _json(self._driver.call(lambda now: now.bedrock.get(identifier, now.time)))

    def _list(self, request: Request) -> Response:
        self._call_faults("List", self._faults())
        self._authorize(request, "ListModelInvocationJobs", "*")
        query = {name: _query_value(name, value) for name, value in request.args.items()}
        return _json(self._driver.call(lambda now: now.bedrock.list(query, now.time)))

    def _stop(self, request: Request, identifier: str) -> Response:
        self._call_faults("Stop", self._faults())
        self._authorize(request, "StopModelInvocationJob", identifier)
        self._driver.call(lambda now: now.bedrock.stop(identifier, now.time))
        return _json({})

    def _authorize(self, request: Request, action: str, resource: str) -> None:
        if self._access:
            self._access.other(request.headers.get("Authorization", ""), action, resource)

    def _call_faults(self, call: str, faults: Faults) -> None:
        if call in faults.fault_calls:
            if self._strikes("throttled", faults.throttle):
                raise BedrockError(THROTTLED)
            if self._strikes("failed", faults.fail):
                raise BedrockError(INTERNAL)

    def _strikes(self, fault: str, rate: float) -> bool:
        with self._counts_lock:
            struck = self._chance.random() < rate
            self._counts[fault] += struck
        return struck

    def _faults(self) -> Faults:
        return self._driver.call(lambda now: now.bedrock.faults)

    # Administration.

    def _health(self, _: Request) -> Response:
        return _json({"status": "ok"})

    def _jobs(self, _: Request) -> Response:
        return _json(
            {
                "jobs": self._driver.call(
                    lambda now: [_job(job) for job in now.bedrock.jobs.values()]
                )
            }
        )

    def _stats(self, _: Request) -> Response:
        stats = self._driver.call(
            lambda now: {
                **now.bedrock.counts,
                "largest_alive": {
                    model: dict(counts) for model, counts in now.bedrock.largest_alive.items()
                },
                "alive": {model: now.bedrock.alive(model) for model in now.bedrock.largest_alive},
                "quotas": {model: now.bedrock.quota(model) for model in now.bedrock.largest_alive},
            }
        )
        return _json({**stats, **self._counts, "events": self._events.counts()})

    def _denied(self, _: Request) -> Response:
        return _json({"denied": self._access.denied if self._access else []})

    def _show_faults(self, _: Request) -> Response:
        return _json(asdict(self._faults()))

    def _set_faults(self, request: Request) -> Response:
        wanted = _body(request)
        seconds = _seconds(wanted.pop("for_seconds", None))

        def act(now: Now) -> Faults:
            now.bedrock.disturb(wanted, seconds, now.time)
            return now.bedrock.faults

        return _json(asdict(self._driver.call(act)))

    def _start_foreign(self, request: Request) -> Response:
        body = _body(request)
        model, count = _text(body, "model"), _whole(body, "count")
        seconds = _seconds(body.get("seconds"))
        arns = self._driver.call(
            lambda now: now.bedrock.start_foreign(model, count, seconds, now.time)
        )
        return _json({"jobArns": arns, "refused": count - len(arns)})

    def _end_foreign(self, _: Request) -> Response:
        return _json({"ended": self._driver.call(lambda now: now.bedrock.end_foreign(now.time))})

    def _set_quota(self, request: Request) -> Response:
        body = _body(request)
        model, limit = _text(body, "model"), _whole(body, "limit")
        self._driver.call(lambda now: now.bedrock.set_quota(model, limit))
        return _json({"model": model, "limit": limit})


def serve(app: App, listener: socket.socket) -> BaseWSGIServer:
    """A server on a socket that listens already, a thread for each connection; run it with
    `serve_forever`.
    """
    host, port = listener.getsockname()
    return make_server(
        host, port, app, threaded=True, request_handler=_QuietHandler, fd=listener.fileno()
    )


class _QuietHandler(WSGIRequestHandler):
    # or each answer on a kept connection waits some 40 ms for an acknowledgement
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: a demo's output is about jobs."""


def _job(job: Job) -> dict[str, Any]:
    return {
        "jobArn": job.arn,
        "jobId": job.id,
        "jobName": job.name,
        "clientRequestToken": job.token,
        "modelId": job.model,
        "status": job.status,
        "message": job.message,
        "foreign": job.foreign,
        "times": {status: _iso(moment) for status, moment in job.times.items()},
        "epoch_seconds": {status: moment.timestamp() for status, moment in job.times.items()},
    }


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError as error:
        raise BedrockError(VALIDATION, "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise BedrockError(VALIDATION, "The body must be a JSON object.")
    return body


def _query_value(name: str, value: str) -> object:
    """What cannot be read stays as it is, for the rules to refuse."""
    try:
        if name in _LIST_NUMBERS:
            return int(value)
        if name in _LIST_TIMES:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return value
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise UnknownFaultError(f"{name} is required, as a string.")
    return value


def _whole(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10_000:  # noqa: PLR2004 - a limit on everything
        raise UnknownFaultError(f"{name} is required, as a whole number from 0 to 10000.")
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UnknownFaultError("seconds must be a number of seconds, or null for no end.")
    return float(value)


def _json(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, default=_iso), status, mimetype="application/json")


def _error(error: BedrockError) -> Response:
    response = _json({"message": error.message}, error.http_status)
    response.headers["x-amzn-errortype"] = error.code
    return response


def _unknown_operation() -> Response:
    """Recorded 2026-09-03 for a job's ARN that is not percent-encoded: 404 with this code."""
    response = _json({"message": ""}, 404)
    response.headers["x-amzn-errortype"] = "UnknownOperationException"
    return response


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
