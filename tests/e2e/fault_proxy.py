"""microburst between functions and the emulator: a proxy that answers for AWS, or cuts off what AWS
answers. It passes on the Host that was signed, so that the emulator's IAM is enforced as it is
without it.

`python -m tests.e2e.fault_proxy --upstream URL --host 127.0.0.1 --port N` starts it; its arguments
are microburst's own.
"""

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from microburst import cli, forward

Place = tuple[str, str, str]  # kind of fault, service, operation

REMEMBERED = 2000  # so many of the last faults microburst lists one by one; it counts all
COPY_OBJECT = "PutObject"  # what microburst takes it for: both are a PUT of a key


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What can happen to some calls of one service. `effect` is what a rule of microburst's says it
    does.
    """

    kind: str
    service: str
    operations: tuple[str, ...]
    effect: Mapping[str, Any]

    @property
    def places(self) -> list[Place]:
        """Each call that it may strike, with its kind."""
        return [(self.kind, self.service, operation) for operation in self.operations]


@dataclass
class FaultProxy:
    """A proxy that runs, by its administration."""

    url: str
    _places: dict[int, Place] = field(default_factory=dict)  # by microburst's number of the rule

    def weather(self, faults: Iterable[Fault], share: float) -> None:
        """From now on so large a share of each call is struck, by each of the faults that it may
        have alike. 0.0: calm.
        """
        chosen = {place: fault for fault in faults for place in fault.places} if share else {}
        kinds = Counter((service, operation) for _, service, operation in chosen)
        rules = [
            {
                "service": service,
                "operation": operation,
                "probability": share / kinds[service, operation],
                **fault.effect,
            }
            for (_, service, operation), fault in chosen.items()
        ]
        for rule, place in zip(self._call("rules", rules), chosen, strict=True):
            self._places[rule["id"]] = place

    def struck(self) -> Counter[Place]:
        """How often each (kind, service, operation) was struck since the proxy began, as it
        recorded it.
        """
        counts = Counter[Place]()
        for rule in self._call("stats")["by_rule"]:
            counts[self._places[rule["id"]]] += rule["fired"]
        return counts

    def paths(self, kind: str, operation: str) -> set[str]:
        """What this kind struck of late at this operation, as the paths of the requests: of S3's,
        the keys.
        """
        struck = {
            number
            for number, place in self._places.items()
            if (place[0], place[2]) == (kind, operation)
        }
        return {
            str(event["path"])
            for event in self._call(f"fired?limit={REMEMBERED}")
            if event["rule_id"] in struck
        }

    def requests(self) -> int:
        """How many calls it has passed on, or answered itself."""
        return int(self._call("health")["requests_seen"])

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return bool(self._call("health")["status"] == "ok")
        except urllib.error.URLError:
            return False

    def _call(self, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(f"{self.url}/_microburst/{path}", data, timeout=30) as answer:
            return json.load(answer)


# microburst 0.10.0 has no setting for it; the lock pins it
_own_headers = forward.Upstream._outbound_headers


def headers(upstream: forward.Upstream, request: Any) -> dict[str, str]:
    """What is passed on of a request: microburst's own choice, with the Host that was signed."""
    chosen: dict[str, str] = _own_headers(upstream, request)
    return chosen | {"host": request.headers["Host"]}


def main() -> None:
    """Serve until a signal comes."""
    forward.Upstream._outbound_headers = headers
    # microburst 0.10.0 leaves the length out of every answer that it passes on; S3 always says it,
    # and intake needs it.
    forward.HOP_BY_HOP = forward.HOP_BY_HOP - {"content-length"}
    cli.main()


if __name__ == "__main__":
    main()
