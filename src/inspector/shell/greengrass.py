"""Greengrass IPC: configuration, publishes, commands, state. The only importer of awsiot.

1. Every call has a timeout, and closes its stream, which the SDK leaves open where a reply does not end it.
2. The SDK never reconnects: a broken connection is replaced by ``connect``, which subscribes again.
3. What comes in is handed to ``deliver``, from the SDK's own thread, and handled elsewhere.
"""

from __future__ import annotations

import logging
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

from inspector.ports import Denied, Refused, Unreachable

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
CONNECT_S = 3.0
HANDSHAKES_CUT = 5
_SLICE_S = 0.1
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
        self._subscriptions: dict[str, _Stream] = {}
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
        self._subscribe("new_subscribe_to_validate_configuration_updates", validation, self._on_validation)
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
        stream = _Stream(on_event, self._report_lost(), topic, cause)
        self._subscriptions[name] = stream
        stream.open(getattr(self._client, name), request)
        if known:
            known.close()

    def _on_configuration(self, _: model.ConfigurationUpdateEvents) -> None:
        self._deliver(ConfigurationChanged())

    def _on_validation(self, events: model.ValidateConfigurationUpdateEvents) -> None:
        event = events.validate_configuration_update_event
        self._deliver(ValidationRequested(event.deployment_id, event.configuration or {}))

    def _on_command(self, event: model.IoTCoreMessage) -> None:
        self._deliver(CommandReceived(bytes(event.message.payload or b"")))

    def _call(self, name: str, request: Any, topic: str | None = None) -> Any:
        """Send a request and return its reply."""
        client = self._client
        if client is None:
            raise Unreachable("not connected to Greengrass")
        operation = None
        try:
            operation = getattr(client, name)()
            self._await(operation.activate(request))
            return self._await(operation.get_response())
        except Exception as error:  # the publish's boundary: whatever it was, it has a place in _explain
            raise _explain(error, topic) from error
        finally:
            if operation is not None:
                operation.close()

    def _await(self, future: Future[Any]) -> Any:
        """The future's result, unless patience ends first, which may get shorter meanwhile."""
        started_s = time.monotonic()
        while not wait([future], _SLICE_S).done:
            if time.monotonic() - started_s > self._patience_s:
                raise FutureTimeoutError(f"no reply within {self._patience_s:g} s")
        return future.result()


class _Lifecycle(rpc.LifecycleHandler):
    """Tells that the connection broke."""

    def __init__(self, report_lost: Callable[[str], None]) -> None:
        self._report_lost = report_lost

    def on_disconnect(self, reason: Exception | None) -> None:
        if reason is not None:
            self._report_lost(repr(reason))

    def on_error(self, error: Exception) -> bool:
        return True


class _Stream(rpc.StreamResponseHandler):
    """A subscription: passes its events on, and tells when it ends after it once was open."""

    def __init__(
        self,
        on_event: Callable[[Any], None],
        report_lost: Callable[[str], None],
        topic: str | None,
        cause: str | None,
    ) -> None:
        self.topic = topic
        self.is_over = False
        self.cause = cause
        """Why it could not be opened, the last time that was said."""
        self._is_open = False
        self._on_event = on_event
        self._report_lost = report_lost
        self._operation: Any = None

    def open(self, operation: Callable[[rpc.StreamResponseHandler], Any], request: Any) -> None:
        """Send the request; the reply is dealt with when it comes."""
        name = type(request).__name__
        try:
            self._operation = operation(self)
            self._operation.activate(request)
            self._operation.get_response().add_done_callback(lambda reply: self._opened(name, reply))
        except Exception as error:  # noqa: BLE001  # as in _call; the connection's end is told by its handler
            self._fail(name, error)

    def _opened(self, name: str, reply: Future[Any]) -> None:
        if error := reply.exception():
            self._fail(name, error)
        else:
            self._is_open = True

    def _fail(self, name: str, error: BaseException) -> None:
        self.is_over = True
        cause = str(_explain(error, self.topic))
        if cause != self.cause:
            log.warning("not subscribed", extra={"operation": name, "cause": cause})
        self.cause = cause

    def close(self) -> None:
        """End it without telling."""
        self._is_open = False
        if self._operation is not None:
            self._operation.close()

    def on_stream_event(self, event: Any) -> None:
        self._on_event(event)

    def on_stream_error(self, error: Exception) -> bool:
        return True

    def on_stream_closed(self) -> None:
        self.is_over = True
        if self._is_open:
            self._report_lost("a subscription was closed")


def _explain(error: BaseException, topic: str | None) -> Exception:
    """What an SDK exception means for a publisher. ``str`` of the SDK's errors may be empty, hence ``repr``."""
    if isinstance(error, model.UnauthorizedError):
        fix = "add it to accessControl in the component's configuration"
        return Denied(
            f"not authorized to use {topic}: {error!r}; {fix}" if topic else f"not authorized: {error!r}"
        )
    if isinstance(error, model.InvalidArgumentsError):
        return Refused(f"Greengrass refused the request: {error!r}")
    return Unreachable(repr(error))
