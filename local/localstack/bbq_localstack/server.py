"""LocalStack's server on the hosts of GATEWAY_LISTEN only: its own listens on every interface,
whatever IPv4 host is named.
"""

from typing import Any

from localstack.runtime.server.core import RuntimeServerPlugin


class LoopbackServerPlugin(RuntimeServerPlugin):  # type: ignore[misc] # LocalStack is not in the environment that mypy sees
    """GATEWAY_SERVER=loopback."""

    name = "loopback"

    def load(self, *_: Any, **__: Any) -> Any:
        """The class of the server. Imports are late, as LocalStack's own are: a reactor is
        installed at import.
        """
        from localstack.runtime.server import twisted as theirs  # noqa: PLC0415 - late, see above
        from rolo.serving.twisted import TwistedGateway  # noqa: PLC0415
        from twisted.internet import endpoints, reactor  # noqa: PLC0415

        class LoopbackServer(theirs.TwistedRuntimeServer):  # type: ignore[misc] # as above
            def register(self, gateway: Any, listen: Any, ssl_creds: Any = None) -> None:  # noqa: ARG002 - plain HTTP
                for place in listen:
                    endpoint = endpoints.TCP4ServerEndpoint(
                        reactor, place.port, interface=place.host
                    )
                    endpoint.listen(TwistedGateway(gateway))

        return LoopbackServer()
