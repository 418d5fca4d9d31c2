"""The MQTT side: a broker's address, and a subscription that outlives the broker's absence.

MQTT 3.1.1, which every broker speaks (the embedded one too); QoS 1 and a clean session: what was published
while the station was away shows as a gap, and is the inspector's to send again. The only importer of paho.
"""

from __future__ import annotations

import queue
import ssl
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

PORTS = {"mqtt": 1883, "mqtts": 8883}
AWS_ALPN_PORT = 443
"""AWS IoT Core takes MQTT there too, where a firewall lets nothing else out, if ALPN asks for it."""
LONGEST_WAIT_S = 5


@dataclass(frozen=True, slots=True)
class Credentials:
    """A client certificate with its key, and the authority to trust in place of the system's."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The TLS settings. Raises ValueError naming the file that can't be used."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("--certificate and --key go together: give both or neither")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise ValueError(f"--ca {self.ca} can't be used: {error}") from error
        try:
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise ValueError(
                f"--certificate {self.certificate} with its --key can't be used: {error}"
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is: ``mqtt[s]://[user:password@]host[:port]``."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def locate(url: str, credentials: Credentials = Credentials()) -> Broker:
    """Read a broker's URL. Raises ValueError that says what is wrong with it."""
    parts = urlsplit(url)
    host, port = _host_and_port(parts)
    if parts.scheme == "mqtt" and credentials != Credentials():
        raise ValueError(f"a certificate is of no use without TLS: write mqtts://{host}")
    context = credentials.context() if parts.scheme == "mqtts" else None
    if context and port == AWS_ALPN_PORT:
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    username, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    return Broker(host, port, username, password, context)


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    usage = "write mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS"
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''}{parts.path} is no broker: {usage}")
    try:
        parts.hostname.encode("idna")
        return parts.hostname, parts.port or PORTS[parts.scheme]
    except ValueError as error:
        raise ValueError(f"{parts.scheme}://{parts.hostname} is no broker ({error}): {usage}") from error


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """What became of the connection."""

    state: Literal["connected", "waiting"]
    text: str


Inbox: TypeAlias = "queue.SimpleQueue[Arrival | Link]"


class Subscription:
    """Puts what arrives on ``topics`` into ``inbox``, connecting again for ever; a context manager.

    ``subscribed`` is set once the broker has confirmed: from then on nothing published is missed.
    """

    def __init__(self, broker: Broker, topics: list[str], inbox: Inbox, client_id: str = "") -> None:
        self.subscribed = threading.Event()
        self._broker, self._topics, self._inbox = broker, topics, inbox
        self._client = client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        client.username_pw_set(broker.username, broker.password)
        client.reconnect_delay_set(1, LONGEST_WAIT_S)
        if broker.tls:
            client.tls_set_context(broker.tls)
        client.on_connect, client.on_connect_fail = self._connected, self._unreachable
        client.on_disconnect, client.on_subscribe = self._disconnected, self._confirmed
        client.on_message = self._arrived

    def __enter__(self) -> Subscription:
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=30)
        self._client.loop_start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client  # nothing else holds it: paho closes its last sockets as it goes

    def _connected(
        self,
        client: Client,
        userdata: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._wait(f"broker {self._broker} refuses the connection: {reason}")
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _confirmed(
        self,
        client: Client,
        userdata: Any,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            text = f"broker {self._broker} refuses {self._topics[0]}: its access rules must allow the subscription"
            self._inbox.put(Link("waiting", text))
            return
        self._inbox.put(
            Link("connected", f"connected to {self._broker}, watching {' and '.join(self._topics)}")
        )
        self.subscribed.set()

    def _unreachable(self, client: Client, userdata: Any) -> None:
        # paho calls this from its except block but doesn't pass the error on
        self._wait(f"broker {self._broker} can't be reached ({sys.exc_info()[1]})")

    def _disconnected(
        self,
        client: Client,
        userdata: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            hint = "; AWS IoT Core also ends it where the policy allows no such client id or topic"
            self._wait(f"connection to {self._broker} lost ({reason}{hint if self._broker.tls else ''})")

    def _wait(self, what: str) -> None:
        self.subscribed.clear()
        self._inbox.put(Link("waiting", f"{what}; trying again"))

    def _arrived(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._inbox.put(Arrival(message.topic, bytes(message.payload)))
