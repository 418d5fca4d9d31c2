"""An independent subscriber, as a production system would be: it deduplicates by id, sees gaps and asks again."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from dataclasses import replace
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgehost.broker import parse_url
from torture.account import Delivery, missing

GRACE_S = 3.0
"""A gap so young may fill by itself."""
LOOK_S = 0.5
AGAIN_S = 6.0
"""How long an answer to a request is waited for before it is made again."""
MAX_RESEND = 1_000


class Consumer:
    """Subscribes in a session that the broker keeps; ``look_after`` asks for what is missing."""

    def __init__(self, url: str, thing: str) -> None:
        self.deliveries: list[Delivery] = []
        self.last_seqs: dict[str, int] = {}
        self.statuses: list[dict[str, Any]] = []
        self.requests = 0
        self.errors: list[str] = []
        """Answers to requests that say what was wrong with them."""
        self._thing = thing
        self._lock = threading.Lock()
        self._known: dict[str, Delivery] = {}
        self._images: set[tuple[str, str | None]] = set()
        self._seqs: dict[str, set[int]] = {}
        self._ledger: str | None = None
        self._noticed_s: dict[int, float] = {}
        self._asked_s = self._looked_s = 0.0
        self._numbers = itertools.count(1)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="torture-consumer", clean_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        address = parse_url(url)
        self._client.connect(address.host, address.port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def images(self) -> set[tuple[str, str | None]]:
        """Path and hash of every image that has a verdict."""
        with self._lock:
            return set(self._images)

    def seen(self) -> int:
        """How many images have a verdict."""
        return len(self._images)

    def missing(self) -> list[int]:
        """Sequence numbers of the ledger that is in use now that have not arrived."""
        with self._lock:
            if self._ledger is None:
                return []
            return missing(list(self._seqs.get(self._ledger, ())), self.last_seqs.get(self._ledger, 0))

    def look_after(self) -> None:
        """Ask for a gap that does not fill by itself."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s, gap = now_s, self.missing()
        self._noticed_s = {seq: self._noticed_s.get(seq, now_s) for seq in gap}
        old = [seq for seq in gap if now_s - self._noticed_s[seq] > GRACE_S]
        if not old or now_s - self._asked_s < AGAIN_S:
            return
        self._asked_s = now_s
        last = max(seq for seq in old if seq < old[0] + MAX_RESEND)
        self._send({"command": "resend", "ledger": self._ledger, "first": old[0], "last": last})

    def ask_status(self) -> None:
        """Have the component tell its last sequence number now."""
        self._send({"command": "status"})

    def _send(self, command: dict[str, Any]) -> None:
        self.requests += 1
        document = json.dumps(command | {"request": str(next(self._numbers))})
        self._client.publish(f"inspect/{self._thing}/commands", document, qos=1)

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(f"inspect/{self._thing}/#", qos=1)

    def _on_message(self, _client: Client, _data: object, message: Any) -> None:
        at_s, kind = time.monotonic(), message.topic.split("/", 2)[2]
        if kind == "results":
            self._heed(at_s, message.payload)
        elif kind == "status":
            self._heed_status(json.loads(message.payload))
        elif kind == "commands/response" and (error := json.loads(message.payload)["error"]):
            self.errors.append(error)

    def _heed(self, at_s: float, payload: bytes) -> None:
        content = hashlib.sha256(payload).hexdigest()
        known = self._known.get(content)
        delivery = replace(known, at_s=at_s) if known else _read(at_s, content, payload)
        self._known[content] = delivery
        with self._lock:
            self.deliveries.append(delivery)
            self._images.add((delivery.path, delivery.sha256))
            self._seqs.setdefault(delivery.ledger, set()).add(delivery.seq)
            self._ledger = self._ledger or delivery.ledger

    def _heed_status(self, status: dict[str, Any]) -> None:
        self.statuses.append(status)
        if ledger := status["ledger"]:
            with self._lock:
                self._ledger = ledger
                self.last_seqs[ledger] = max(self.last_seqs.get(ledger, 0), status["last_seq"])


def _read(at_s: float, content: str, payload: bytes) -> Delivery:
    result = json.loads(payload)
    return Delivery(
        at_s,
        content,
        result["id"],
        result["ledger"],
        result["seq"],
        result["image"]["path"],
        result["image"]["sha256"],
        result["verdict"],
        tuple(result["reasons"]),
    )
