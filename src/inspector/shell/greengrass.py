"""Greengrass IPC: configuration, publishes, commands, state. With ``subscription`` the only importer of awsiot.

1. Every call can be given up, and closes its stream, which the SDK leaves open where a reply does not end it.
2. The SDK never reconnects: a broken connection is replaced by ``connect``, which subscribes again.
3. What comes in is handed to ``deliver``, from the SDK's own thread, and handled elsewhere.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

import awsiot.greengrasscoreipc
from awscrt.exceptions import AwsCrtError
from awsiot import eventstreamrpc as rpc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient

from inspector.ports import TIMEOUT_S, Busy, Denied, Disconnected, Refused, Unreachable
from inspector.shell.budget import Budget, Send
from inspector.shell.exchange import Exchanges
from inspector.shell.subscription import Subscription

log = logging.getLogger(__name__)

MESSAGES, MESSAGES_BYTES = 10, 15_000
"""What Greengrass Lite bears on its way to AWS IoT Core; to exceed the bytes costs a place until it reconnects."""
ENVELOPE_BYTES = 16
"""What MQTT adds to a topic and a payload."""
LINGER_S = 0.25
"""Greengrass Lite says yes when a message is sent; AWS IoT Core acknowledges it a round trip later."""
CONNECT_S = 3.0
HANDSHAKES_CUT = 5
_SLICE_S = 0.1
VALIDATION = "new_subscribe_to_validate_configuration_updates"
SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"


class TokenRefusedError(Exception):
    """Greengrass does not know this process any more: only a restart brings a new token."""


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """The component's configuration was changed: read it again."""


@dataclass(frozen=True, slots=True)
class ValidationRequested:
    """A deployment asks whether a configuration would do, before it applies it."""

    deployment_id: str
    configuration: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A message on the command topic."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """A connection or one of its subscriptions broke; ``connection`` tells which, for it may be an old one."""

    cause: str
    connection: int


Event = ConfigurationChanged | ValidationRequested | CommandReceived | ConnectionLost


def is_started_by_greengrass() -> bool:
    """Whether the environment holds what Greengrass gives to a component."""
    return SOCKET in os.environ and "SVCUID" in os.environ


class Greengrass:
    """A connection to the nucleus. ``connect`` first; publishes may come from any thread."""

    def __init__(self, deliver: Callable[[Event], None]) -> None:
        self._deliver = deliver
        self._client: GreengrassCoreIPCClient | None = None
        self._exchanges = Exchanges()
        self._to_topic = Budget(MESSAGES, math.inf, lambda: 0.0)
        self._to_iot_core = Budget(MESSAGES, MESSAGES_BYTES, self._linger_s)
        self._subscriptions: dict[str, Subscription] = {}
        self._handshakes_cut = 0
        self.connection = 0
        """Counts connections: which one there is now."""
        self._patience_s = TIMEOUT_S

    def hurry(self) -> None:
        """The process is to stop: wait no longer than a second for any reply, those under way included."""
        self._patience_s = 1.0

    def connect(self) -> None:
        """Connect, or connect again. Raises Unreachable, or TokenRefusedError where no retry will help."""
        self.close()
        handler = _Lifecycle(self._report_lost())
        try:
            self._client = awsiot.greengrasscoreipc.connect(lifecycle_handler=handler, timeout=CONNECT_S)
            self._handshakes_cut = 0
        except rpc.AccessDeniedError as error:
            raise TokenRefusedError("Greengrass refused the token in SVCUID") from error
        except (AwsCrtError, RuntimeError, OSError, FutureTimeoutError) as error:
            self._count_handshake_cut(error)
            raise Unreachable(f"no connection to Greengrass: {error!r}") from error

    def _count_handshake_cut(self, error: Exception) -> None:
        """Greengrass Lite refuses a token by closing the connection, which a busy one may do too: allow a few."""
        if isinstance(error, AwsCrtError) and error.name == "AWS_IO_SOCKET_CLOSED":
            self._handshakes_cut += 1
        if self._handshakes_cut >= HANDSHAKES_CUT:
            raise TokenRefusedError(f"Greengrass closed {HANDSHAKES_CUT} connections in a row") from error

    def _report_lost(self) -> Callable[[str], None]:
        """Tells that the connection made now is lost, whenever that is."""
        connection = self.connection
        return lambda cause: self._deliver(ConnectionLost(cause, connection))

    def close(self) -> None:
        """Close the connection and all that runs over it."""
        self.connection += 1
        client, self._client = self._client, None
        self._subscriptions = {}
        self._exchanges = Exchanges()
        if client:
            client.close()

    def configuration(self) -> dict[str, Any]:
        """The component's whole configuration. Raises Unreachable."""
        request = model.GetConfigurationRequest(key_path=[])
        response = self._call("new_get_configuration", request)
        return dict(response.value or {})

    def publish_to_topic(self, topic: str, payload: bytes) -> Future[None]:
        """Publish to components on this device, as a binary message: Greengrass Lite chokes on long JSON lists."""
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))
        request = model.PublishToTopicRequest(topic=topic, publish_message=message)
        return self._to_topic.send(len(payload), lambda: self._send("new_publish_to_topic", request, topic))

    def publish_to_iot_core(self, topic: str, payload: bytes) -> Future[None]:
        """Publish to AWS IoT Core at QoS 1. That Greengrass accepts a message does not mean it was delivered."""
        size_bytes, send = self._to_iot_core_request(topic, payload)
        return self._to_iot_core.send(size_bytes, send)

    def tell_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish to AWS IoT Core as soon as there is room, and wait for the reply."""
        size_bytes, send = self._to_iot_core_request(topic, payload)
        started_s = time.monotonic()
        while True:
            try:
                self._await(self._to_iot_core.send_soon(size_bytes, send, _SLICE_S))
                return
            except Busy:
                if time.monotonic() - started_s > self._patience_s:
                    cause = f"no room on the way to AWS IoT Core within {self._patience_s:g} s"
                    raise Unreachable(cause) from None

    def _to_iot_core_request(self, topic: str, payload: bytes) -> tuple[int, Send]:
        """How much a message takes of the budget, and what sends it."""
        request = model.PublishToIoTCoreRequest(
            topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload
        )
        size_bytes = len(topic) + len(payload) + ENVELOPE_BYTES
        return size_bytes, lambda: self._send("new_publish_to_iot_core", request, topic)

    def _linger_s(self) -> float:
        """Classic Greengrass, told from Lite by its asking for validation, takes all that fits into its spool."""
        validation = self._subscriptions.get(VALIDATION)
        return 0.0 if validation and validation.is_open else LINGER_S

    def report_running(self) -> None:
        """Tell Greengrass that the component works. Raises Unreachable."""
        self._call("new_update_state", model.UpdateStateRequest(state=model.ReportedLifecycleState.RUNNING))

    def report_validity(self, deployment_id: str, errors: tuple[str, ...]) -> None:
        """Answer a validation request: accepted where there are no errors. Raises Unreachable."""
        status = model.ConfigurationValidityStatus
        report = model.ConfigurationValidityReport(
            status=status.REJECTED if errors else status.ACCEPTED,
            deployment_id=deployment_id,
            message="; ".join(errors) or None,
        )
        request = model.SendConfigurationValidityReportRequest(configuration_validity_report=report)
        self._call("new_send_configuration_validity_report", request)

    def listen(self, command_topic: str, *, renew: bool = False) -> None:
        """Subscribe to configuration changes, validation requests and commands, where that is not done already.

        ``renew`` subscribes to commands again in any case: Greengrass Lite loses subscriptions silently. Nothing is
        waited for: offline, classic Greengrass answers a subscription to AWS IoT Core only once it is online. What
        is refused or not served is said in the log, once, and tried again when this is called again.
        """
        configuration = model.SubscribeToConfigurationUpdateRequest(key_path=[])
        validation = model.SubscribeToValidateConfigurationUpdatesRequest()
        commands = model.SubscribeToIoTCoreRequest(topic_name=command_topic, qos=model.QOS.AT_LEAST_ONCE)
        self._subscribe("new_subscribe_to_configuration_update", configuration, self._on_configuration)
        self._subscribe(VALIDATION, validation, self._on_validation)
        self._subscribe("new_subscribe_to_iot_core", commands, self._on_command, command_topic, renew=renew)

    def _subscribe(
        self,
        name: str,
        request: Any,
        on_event: Callable[[Any], None],
        topic: str | None = None,
        *,
        renew: bool = False,
    ) -> None:
        known = self._subscriptions.get(name)
        is_open = known and known.topic == topic and not known.is_over
        if self._client is None or (is_open and not renew):
            return
        cause = known.cause if known and known.topic == topic else None
        # Greengrass Lite asks nobody to validate: that is no reason to warn
        level = logging.INFO if name == VALIDATION else logging.WARNING
        subscription = Subscription(topic, on_event, self._report_lost(), _explain, cause, level)
        self._subscriptions[name] = subscription
        subscription.open(getattr(self._client, name), request)
        if known:
            known.close()

    def _on_configuration(self, _: model.ConfigurationUpdateEvents) -> None:
        self._deliver(ConfigurationChanged())

    def _on_validation(self, events: model.ValidateConfigurationUpdateEvents) -> None:
        event = events.validate_configuration_update_event
        self._deliver(ValidationRequested(event.deployment_id, event.configuration or {}))

    def _on_command(self, event: model.IoTCoreMessage) -> None:
        self._deliver(CommandReceived(bytes(event.message.payload or b"")))

    def _call(self, name: str, request: Any) -> Any:
        """Send a request and return its reply."""
        return self._await(self._send(name, request))

    def _send(self, name: str, request: Any, topic: str | None = None) -> Future[Any]:
        """Send a request; the future is its reply, and has the error if it was not even sent."""
        client = self._client
        try:
            if client is None:
                raise Disconnected("not connected to Greengrass")
            operation = getattr(client, name)()
            return self._exchanges.send(operation, request, lambda error: _explain(error, topic))
        except Exception as error:  # noqa: BLE001  # the publish's boundary: whatever it was, it has a place in _explain
            unsent: Future[Any] = Future()
            unsent.set_exception(_explain(error, topic))
            return unsent

    def _await(self, reply: Future[Any]) -> Any:
        """The reply, unless patience ends first, which may get shorter meanwhile."""
        started_s = time.monotonic()
        while not wait([reply], _SLICE_S).done:
            if time.monotonic() - started_s > self._patience_s and reply.cancel():
                raise Unreachable(f"no reply within {self._patience_s:g} s")
        return reply.result()


class _Lifecycle(rpc.LifecycleHandler):
    """Tells that the connection broke."""

    def __init__(self, report_lost: Callable[[str], None]) -> None:
        self._report_lost = report_lost

    def on_disconnect(self, reason: Exception | None) -> None:
        if reason is not None:
            self._report_lost(repr(reason))

    def on_error(self, error: Exception) -> bool:
        return True


def _explain(error: BaseException, topic: str | None) -> Exception:
    """What an error means for a publisher. ``str`` of the SDK's errors may be empty, hence ``repr``."""
    match error:
        case Disconnected():
            return error
        case model.UnauthorizedError():
            fix = "add it to accessControl in the component's configuration"
            return Denied(
                f"not authorized to use {topic}: {error!r}; {fix}" if topic else f"not authorized: {error!r}"
            )
        case model.InvalidArgumentsError():
            return Refused(f"Greengrass refused the request: {error!r}")
        case model.InvalidTokenError():
            return TokenRefusedError(f"Greengrass does not know this process any more: {error!r}")
        case rpc.ConnectionClosedError() | rpc.StreamClosedError() | AwsCrtError():
            return Disconnected(repr(error))
        case RuntimeError() if "CONNECTION_CLOSED" in str(error):  # awscrt's own word for the same
            return Disconnected(repr(error))
    return Unreachable(repr(error))
