"""Greengrass IPC: configuration, publishes, commands, state. The only importer of awsiot.

1. Every call has a timeout, and closes its stream, which the SDK leaves open where a reply does not end it.
2. The SDK never reconnects: a broken connection is replaced by ``connect``, which subscribes again.
3. What comes in is handed to ``deliver``, from the SDK's own thread, and handled elsewhere.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

import awsiot.greengrasscoreipc
from awscrt.exceptions import AwsCrtError
from awsiot import eventstreamrpc as rpc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient

from inspector.ports import Denied, Refused, Unreachable

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
HANDSHAKES_CUT = 5
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
    """The connection or one of its subscriptions broke."""

    cause: str


Event = ConfigurationChanged | ValidationRequested | CommandReceived | ConnectionLost


def is_started_by_greengrass() -> bool:
    """Whether the environment holds what Greengrass gives to a component."""
    return SOCKET in os.environ and "SVCUID" in os.environ


class Greengrass:
    """A connection to the nucleus. ``connect`` first; publishes may come from any thread."""

    def __init__(self, deliver: Callable[[Event], None]) -> None:
        self._deliver = deliver
        self._client: GreengrassCoreIPCClient | None = None
        self._operations: list[Any] = []
        self._handshakes_cut = 0
        self._connection = 0

    def connect(self) -> None:
        """Connect, or connect again. Raises Unreachable, or TokenRefusedError where no retry will help."""
        self.close()
        handler = _Lifecycle(self._deliver_while_connected())
        try:
            self._client = awsiot.greengrasscoreipc.connect(lifecycle_handler=handler, timeout=TIMEOUT_S)
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

    def _deliver_while_connected(self) -> Callable[[Event], None]:
        """Deliver what comes over the connection made now; what an older one still says is void."""
        connection = self._connection

        def deliver(event: Event) -> None:
            if connection == self._connection:
                self._deliver(event)

        return deliver

    def close(self) -> None:
        """Close the connection and all that runs over it."""
        self._connection += 1
        client, self._client = self._client, None
        self._operations.clear()
        if client:
            client.close()

    def configuration(self) -> dict[str, Any]:
        """The component's whole configuration. Raises Unreachable."""
        request = model.GetConfigurationRequest(key_path=[])
        response = self._call("new_get_configuration", request)
        return dict(response.value or {})

    def publish_to_topic(self, topic: str, payload: bytes) -> None:
        """Publish to components on this device, as a binary message: Greengrass Lite chokes on long JSON lists."""
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))
        request = model.PublishToTopicRequest(topic=topic, publish_message=message)
        self._call("new_publish_to_topic", request, topic)

    def publish_to_iot_core(self, topic: str, payload: bytes) -> None:
        """Publish to AWS IoT Core at QoS 1. That Greengrass accepts a message does not mean it was delivered."""
        request = model.PublishToIoTCoreRequest(
            topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload
        )
        self._call("new_publish_to_iot_core", request, topic)

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

    def listen(self, command_topic: str) -> None:
        """Subscribe to configuration changes, validation requests and commands.

        What this nucleus does not serve, or denies, is said in the log and done without: configuration is polled
        too. Raises Unreachable.
        """
        configuration = model.SubscribeToConfigurationUpdateRequest(key_path=[])
        validation = model.SubscribeToValidateConfigurationUpdatesRequest()
        commands = model.SubscribeToIoTCoreRequest(topic_name=command_topic, qos=model.QOS.AT_LEAST_ONCE)
        self._subscribe("new_subscribe_to_configuration_update", configuration, self._on_configuration)
        self._subscribe("new_subscribe_to_validate_configuration_updates", validation, self._on_validation)
        self._subscribe("new_subscribe_to_iot_core", commands, self._on_command, command_topic)

    def _subscribe(
        self, name: str, request: Any, on_event: Callable[[Any], None], topic: str | None = None
    ) -> None:
        handler = _Stream(on_event, self._deliver_while_connected())
        try:
            operation = self._activate(name, request, topic, handler)
        except (Denied, Refused, Unreachable) as error:
            if self._client is None:
                raise
            log.warning("not subscribed", extra={"operation": type(request).__name__, "cause": str(error)})
        else:
            handler.is_open = True
            self._operations.append(operation)

    def _on_configuration(self, _: model.ConfigurationUpdateEvents) -> None:
        self._deliver(ConfigurationChanged())

    def _on_validation(self, events: model.ValidateConfigurationUpdateEvents) -> None:
        event = events.validate_configuration_update_event
        self._deliver(ValidationRequested(event.deployment_id, event.configuration or {}))

    def _on_command(self, event: model.IoTCoreMessage) -> None:
        self._deliver(CommandReceived(bytes(event.message.payload or b"")))

    def _call(self, name: str, request: Any, topic: str | None = None) -> Any:
        operation = self._activate(name, request, topic)
        response = operation.get_response().result(0)
        operation.close()
        return response

    def _activate(
        self, name: str, request: Any, topic: str | None, *handler: rpc.StreamResponseHandler
    ) -> Any:
        """Send a request and wait for its reply; return the operation, whose response is there."""
        client = self._client
        if client is None:
            raise Unreachable("not connected to Greengrass")
        operation = None
        try:
            operation = getattr(client, name)(*handler)
            operation.activate(request).result(TIMEOUT_S)
            operation.get_response().result(TIMEOUT_S)
        except Exception as error:  # the publish's boundary: whatever it was, it has a place below
            if operation is not None:
                operation.close()
            raise _explain(error, topic) from error
        return operation


class _Lifecycle(rpc.LifecycleHandler):
    """Tells that the connection broke."""

    def __init__(self, deliver: Callable[[Event], None]) -> None:
        self._deliver_event = deliver

    def on_disconnect(self, reason: Exception | None) -> None:
        if reason is not None:
            self._deliver_event(ConnectionLost(repr(reason)))

    def on_error(self, error: Exception) -> bool:
        return True


class _Stream(rpc.StreamResponseHandler):
    """Passes a subscription's events on, and tells when it ends; ``is_open`` once the first reply has come."""

    def __init__(self, on_event: Callable[[Any], None], deliver: Callable[[Event], None]) -> None:
        self.is_open = False
        self._on_event = on_event
        self._deliver_event = deliver

    def on_stream_event(self, event: Any) -> None:
        self._on_event(event)

    def on_stream_error(self, error: Exception) -> bool:
        return True

    def on_stream_closed(self) -> None:
        if self.is_open:
            self._deliver_event(ConnectionLost("a subscription was closed"))


def _explain(error: Exception, topic: str | None) -> Exception:
    """What an SDK exception means for a publisher. ``str`` of the SDK's errors may be empty, hence ``repr``."""
    if isinstance(error, model.UnauthorizedError):
        fix = "add it to accessControl in the component's configuration"
        return Denied(
            f"not authorized to use {topic}: {error!r}; {fix}" if topic else f"not authorized: {error!r}"
        )
    if isinstance(error, model.InvalidArgumentsError):
        return Refused(f"Greengrass refused the request: {error!r}")
    return Unreachable(repr(error))
