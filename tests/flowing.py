"""A camera at a steady rate, and what becomes of each of its pictures."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge import SAMPLES, Edge
from edgehost.configuration import now_ms

PERIOD_S = 0.05
PICTURES = sorted(SAMPLES.glob("*.jpg"))
_GATE = "com.example.Gate"


@contextmanager
def images_flowing(edge: Edge) -> Iterator[dict[str, float]]:
    """A camera that takes 20 pictures a second until the end of the block: the name of each that it took, and when
    (monotonic, seconds)."""
    taken: dict[str, float] = {}
    over = threading.Event()

    def take() -> None:
        next_s = time.monotonic()
        while not over.wait(max(0.0, next_s - time.monotonic())):
            picture, name = PICTURES[len(taken) % len(PICTURES)], f"{len(taken):04}.jpg"
            taken[name] = time.monotonic()
            edge.drop(picture, name)
            next_s += PERIOD_S

    camera = threading.Thread(target=take)
    camera.start()
    try:
        yield taken
    finally:
        over.set()
        camera.join()


@contextmanager
def gate_listening(edge: Edge) -> Iterator[dict[str, float]]:
    """A component beside the inspector, as one that takes parts off the line: the name of each image that the local
    topic told it of, and when first (monotonic, seconds)."""
    access = {"aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}}}
    edge.host.configuration.merge(_GATE, (), {"accessControl": access}, now_ms())
    connection = connect(ipc_socket=str(edge.host.socket_path), authtoken=edge.host.tokens.issue(_GATE))
    client = GreengrassCoreIPCClientV2(connection)
    heard: dict[str, float] = {}

    def hear(event: Any) -> None:
        now_s = time.monotonic()
        heard.setdefault(json.loads(event.binary_message.message)["image"]["name"], now_s)

    try:
        client.subscribe_to_topic(topic=f"inspect/{edge.host.thing_name}/results", on_stream_event=hear)
        yield heard
    finally:
        client.close()


def assert_accounted_for(edge: Edge, taken: dict[str, float]) -> None:
    """Every picture has exactly one verdict, and they are numbered without a gap."""
    verdicts = {(each["image"]["name"], each["id"], each["seq"]) for each in edge.results}
    assert sorted(name for name, _, _ in verdicts) == sorted(taken)
    assert len({identity for _, identity, _ in verdicts}) == len(taken)
    assert sorted(seq for _, _, seq in verdicts) == list(range(1, len(taken) + 1))
